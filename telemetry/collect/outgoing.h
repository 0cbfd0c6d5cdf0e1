/* From what was collected to what leaves: filter, redactors, then OTLP.  The daemon and `mainstay telemetry preview`
 * use the same: one function of each class decides, rewrites and encodes.
 *
 *	metrics    each sample by its name and labels; label values redacted
 *	alert      by its name; text and group labels redacted
 *	logs       by its source, once a batch; each line and its attributes redacted
 *	inventory  by its group; every text in it redacted */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/egress/redact.h"
#include "telemetry/otlp/otlp_encode.h"

struct buf;
struct filter;
struct rule_alert;
struct sample_set;

#define OUTGOING_METRICS_PATH "/v1/metrics"
#define OUTGOING_LOGS_PATH    "/v1/logs"
#define OUTGOING_TYPE	      "application/x-protobuf"

/* What decides and rewrites; all borrowed.  Before a record that was made with it is written, pseudonym_save() what the
 * redactor uses: then each token of it can be revealed. */
struct outgoing {
	struct filter *filter;
	struct redact *redact;
	const char *site; /* "" before enrolment */
	struct redact_tally tally; /* what was replaced, ever */
};

/* Append the collector's numbers about itself.  spool_fd is lib/telemetry/spool; held_since_us is since when f
 * counts.  Numbers that cannot be read are left out. */
void outgoing_own(struct sample_set *out, int spool_fd, const struct filter *f, uint64_t held_since_us,
	uint64_t now_us);

/* Append the request that carries those samples of in that may leave; nothing where none may.  Returns 0
 * with how many do, or a fault. */
int outgoing_metrics(struct outgoing *o, struct buf *out, const struct sample_set *in, uint64_t now_us,
	size_t *ret_n);

/* The same for one alert. */
int outgoing_alert(struct outgoing *o, struct buf *out, const struct rule_alert *alert, uint64_t now_us,
	size_t *ret_n);

/* The same for one group of the inventory, whole as it is now: body is an object of texts, whole numbers, truths, objects
 * and arrays, at most OUTGOING_DEPTH_MAX deep; shape names what an entry holds ("inventory name,version,arch").  A
 * fault, too, where body is deeper or a text longer than 64 KiB. */
enum { OUTGOING_DEPTH_MAX = 6 };
int outgoing_inventory(struct outgoing *o, struct buf *out, const char *group, const char *shape,
	const json_t *body, uint64_t now_us, size_t *ret_n);

/* May lines of this log leave?  Asked once a batch.  service NULL: the host's; shape: "log stdout", "log file", "log
 * journal"; example: one of its lines, for review. */
bool outgoing_log(struct outgoing *o, const char *service, const char *field, const char *shape,
	const char *example, uint64_t now_us);

/* The lines that follow stand in these bytes (redact_lines()); NULL, 0: no more of them do.  arg is the struct outgoing. */
void outgoing_log_lines(const void *p, size_t len, void *arg);

/* Append one line as it leaves, of len bytes of UTF-8; *secret_lines goes from line to line of one source, 0 at first:
 * how many lines of a key that began may still follow.  arg is the struct outgoing.  Returns as a log_redact_fn. */
int outgoing_log_line(uint32_t *secret_lines, const void *line, size_t len, struct buf *out, void *arg);
