/* What the courier asks and brings: courier.hello, contact.  (courier.record is enrolment's, outbox.reply
 * outbox_verbs.h's.) */
#pragma once

#include <jansson.h>

struct monitor;

int courier_verbs_init(struct monitor *m);

/* What the courier needs to know; the caller's.  NULL where there is no memory. */
json_t *courier_verbs_config(struct monitor *m);
/* The proxy that the courier was told, with its password; "" for none.  Borrowed. */
const char *courier_verbs_proxy(const struct monitor *m);

/* A new statement of the courier's key, by this site key, later than any before; the caller's.  By the present site key it is the one
 * that the courier is told from now on.  Returns 0 or a fault. */
struct ed25519;
int courier_verbs_statement(struct monitor *m, const struct ed25519 *by, json_t **ret);
/* The site key is another one: the courier's key needs a statement by it. */
void courier_verbs_rekeyed(struct monitor *m);
/* How far the hub's clock is ahead of ours, in milliseconds, as the command says that had its signed answer (never the courier, from which the answer itself is wanted); a hint, which
 * can make ours doubtful and is used for the end of the courier's key.  NULL: nothing was said.  Returns 0 or
 * REASON_MALFORMED (logged). */
int courier_verbs_hear_clock(struct monitor *m, const char *offset_ms);

/* Verify that the parameters of a call (status, signature_input, signature, content_digest, committed, body)
 * carry a reply signed by the hub's key over this nonce; offset_ms, where a command says it, is then heard.  Returns 0, the refusal (logged), or a fault. */
struct monitor_call;
int courier_verbs_check_reply(struct monitor *m, const struct monitor_call *call, const char *nonce,
	unsigned *ret_status);
