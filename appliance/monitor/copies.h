/* Copies of leaves in the host's own logs, so that who watches those sees what happens here.
 *
 *	journal   native protocol (systemd, "Journal Export" fields) to /run/systemd/journal/socket:
 *	          MESSAGE MESSAGE_ID PRIORITY SYSLOG_IDENTIFIER MAINSTAY_LEAF MAINSTAY_KIND MAINSTAY_ACTOR
 *	          MAINSTAY_OBJECT MAINSTAY_DIGEST MAINSTAY_REASON MAINSTAY_SITE
 *	syslog    RFC 5424 with structured data [mainstay@32473 leaf= kind= actor= object= digest= reason= site=]
 *	          to /dev/log, where there is no journal (where there is one, /dev/log is its own)
 *
 * etc/syslog (syslog_file.h) names another socket for the syslog form, or none.
 *
 * They are copies: the log itself is what counts.  Where neither socket exists, or the reader does not keep up,
 * the copy is left out without harm and counted.  Nothing here blocks.  What others wrote is escaped: each copy
 * is one line. */
#pragma once

#include <stdint.h>

#include "appliance/audit/audit.h"

struct copies {
	int fd; /* -1: none is open */
	bool is_syslog, is_off;
	const char *journal_path, *syslog_path; /* borrowed; NULL: never */
	uint64_t next;				/* the first leaf that was not offered yet */
	uint64_t left_out;
};

/* Begin with leaf next.  Opens nothing yet.  Paths NULL for both: the system's. */
void copies_init(struct copies *c, const char *journal_path, const char *syslog_path,
	uint64_t next);
void copies_done(struct copies *c);
/* From the next leaf on elsewhere: path (borrowed) is a socket that takes the syslog form, "" the system's own, "none"
 * none. */
void copies_redirect(struct copies *c, const char *path);

/* Offer one leaf; site may be "".  c->next becomes e->n + 1. */
void copies_say(struct copies *c, const char *site, const struct audit_entry *e);

/* Offer every leaf of the log that was not offered yet.  Returns 0, or what audit_each() refused or failed
 * with: it is tried again with the next. */
int copies_catch_up(struct copies *c, const char *site, struct audit *a);
