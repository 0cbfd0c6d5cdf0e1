/* The verb audit.export {ticket}, body {"ids": {ID: true}, "files": {NAME: TEXT}}: the documents that
 * requests.ticket gave, every leaf whose object is one of the ids with its proof, all under one head, sealed as
 * audit/export.h has it.  The head is the last cosigned one if it covers them all. */
#pragma once

struct monitor;

int export_verb_init(struct monitor *m);
