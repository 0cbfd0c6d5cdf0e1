/* Heads for the witnesses of the customer's own choice (stream "witness" of the outbox; its record's path is the whole
 * URL), and the checkpoints by which a witness contradicts us.
 *
 * Plain HTTPS through the site's proxy: no name, no key of the site, no cookie; what goes is the ledger's body.  Each
 * record is tried once, several at a time, so that one that hangs holds up nobody; whatever came of it goes to the
 * monitor (witness.reply), which verifies the cosignature and decides when to try again.  On the monitor's event
 * "evidence" {url, log} the checkpoint that a witness (url "": the hub) holds is fetched and handed over
 * (witness.evidence). */
#pragma once

struct carrier;

int witness_ship_init(struct carrier *c);
