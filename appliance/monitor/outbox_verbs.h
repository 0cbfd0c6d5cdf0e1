/* The hub's answers to what lies in the outbox, as the courier brings them: outbox.reply, outbox.next.
 *
 * Each is checked here again: signed by the reply key over the nonce, and an acknowledgement must name this site, the
 * stream, the sequence and what stands there.  Records of LEDGER_KEPT are answered in their order, so that nobody can
 * let one go by having a later one acknowledged; what the hub refuses, or says it had and does not know, is held and
 * tried again (answers.h), with a leaf at the first time, and shown in `status` as .outbox.stuck.
 *
 *	outbox.reply  {stream, sequence, status, nonce, the reply's signature, body}  ->  {} or, of LEDGER_KEPT, {"next"}
 *	outbox.next   {stream}                                                        ->  {"next"}
 *
 * next: the sequence from which the courier is to go on. */
#pragma once

struct monitor;

int outbox_verbs_init(struct monitor *m);
