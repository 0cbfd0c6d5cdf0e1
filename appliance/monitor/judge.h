/* The judge: a worker that parses what came from outside, without files, network or a say in anything.
 *
 * One job per exec, on the inherited SEQPACKET fd 3: frame CALL{VERB kind, TEXT name} with two memory files, the
 * input and an empty one for the output; answered by OK (the output is written), REFUSED or FAULT as in
 * call_wire.h.  Output:
 *
 *	tuf, card           {"signed": base64 of the canonical bytes of `signed`, "sigs": [{"keyid","sig"}]}
 *	record              an envelope, the same form: payload bytes (base64) and sigs
 *	policy, cluster     the YAML as canonical JSON, schema-checked
 *	quorum              {"policy": the witness policy in its canonical form}
 *	definition, index   the canonical JSON, schema-checked
 *	targets             what telemetry.scrape of mainstay.yaml names: target_json()
 *
 * The monitor verifies signatures over those bytes before it parses them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "appliance/base/buf.h"

struct monitor;

enum judge_kind {
	JUDGE_TUF,
	JUDGE_CARD,
	JUDGE_POLICY,
	JUDGE_CLUSTER,
	JUDGE_DEFINITION,
	JUDGE_INDEX,
	JUDGE_RECORD,
	JUDGE_QUORUM,
	JUDGE_TARGETS,
	JUDGE_KIND_MAX
};

enum {
	JUDGE_INPUT_MAX = 8 * 1024 * 1024,
	JUDGE_OUTPUT_MAX = 16 * 1024 * 1024,
	JUDGE_SIGS_MAX = 64,
	JUDGE_RUNNING_MAX = 2,
	JUDGE_QUEUE_MAX = 64,
	JUDGE_TIME_S = 20,
};

const char *judge_kind_text(enum judge_kind kind); /* "tuf" */
bool judge_kind_parse(enum judge_kind *ret, const char *text);

/* The worker's side, a pure function: what the judge answers to these bytes.  Returns 0 with out holding
 * the JSON, the reason (logged), or a fault. */
int judge_job(enum judge_kind kind, const char *name, const void *p, size_t len, struct buf *out);

/* The worker's side around it: one job on fd.  Returns 0 when it was answered, also with a refusal; or a fault. */
int judge_serve(int fd);

/* The monitor's side.  done runs exactly once, later, from the loop: r 0 with the worker's answer (borrowed),
 * its refusal (relayed, refuse_last()), or a fault (it crashed, ran too long, or there is no spawner).
 * Returns 0, REASON_BUSY where the queue is full, or a fault; done does not run then. */
typedef void judge_done_fn(int r, const json_t *answer, void *arg);
int monitor_judge(struct monitor *m, enum judge_kind kind, const char *name, const void *p,
	size_t len, judge_done_fn *done, void *arg);

struct judge_queue;
int judge_queue_new(struct judge_queue **ret, struct monitor *m);
struct judge_queue *judge_queue_free(struct judge_queue *q); /* jobs under way end without done */

/* The parts of an answer to tuf, card or record: the exact signed bytes appended to out_signed, and the
 * signatures' array (borrowed).  What the worker sends is as hostile as its input.  Returns 0 or
 * REASON_MALFORMED. */
int judge_signed(const json_t *answer, struct buf *out_signed, const json_t **ret_sigs);
