/* etc/syslog: where the customer wants copies of leaves (copies.h) instead of in the host's journal.  One line, the
 * absolute path of a datagram socket ("unix:" before it may stand); "none" for no copies at all; no file: the host's.
 * Only a socket of this machine: the monitor has no network, and what listens there (rsyslog, syslog-ng) carries on. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/un.h>

struct monitor;

enum { SYSLOG_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) };
#define SYSLOG_FILE "syslog"
#define SYSLOG_NONE "none"

struct syslog_file {
	struct stat seen; /* of the file when it was last read; all zero: there was none */
	char path[SYSLOG_PATH_MAX]; /* "": the host's; SYSLOG_NONE */
	char trouble[200];	    /* why it does not count; "" */
};

/* Look whether the file is another one, and if so read it: only what nobody else could have written (ours.h).  What is
 * wrong is logged once, stands in trouble, and leaves the place as it was.  true: path may be another one. */
bool syslog_file_look(struct syslog_file *f, const struct monitor *m);
