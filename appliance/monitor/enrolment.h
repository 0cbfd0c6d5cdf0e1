/* Enrolment, as far as it needs no network:
 *
 *	enrol.begin  {site customer secret expires accept proxy}, body: the card
 *	             -> {"url","body","nonce","proxy"}: what the command POSTs
 *	enrol.finish {status [nonce] signature_input signature content_digest}, body: the hub's reply
 *	             -> {"site","customer","status":"pending"|"accepted","recorded":bool}
 *	leave        -> {"goodbye":{"url","body","nonce","proxy","reply"}|null}: forgets the vendor; services, policy and the
 *	             log stay; the command may POST the goodbye, the last thing that the site key signed
 *	courier.record (or from the command, a record that came as a file) body: envelope site@ -> {"recorded":bool}
 *
 * A site record is believed when an engineer of the verified people document signed it; until that document is
 * here it waits in lib/monitor/pending.json. */
#pragma once

struct monitor;

int enrolment_init(struct monitor *m);
