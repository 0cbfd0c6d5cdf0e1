/* The process that shows the page: telemetry.listen of mainstay.yaml.
 *
 * It alone reads what strangers send, so it has nothing: a listening socket, a line to the collector (page_channel.h), and
 * the page as it was printed.  No file, no socket of its own, no process, no secret: it begins before the collector has
 * read any. */
#pragma once

#include "telemetry/collect/config.h"

enum {
	PAGE_SERVER_PEERS_MAX = 16, /* at once; others wait to be taken */
	PAGE_SERVER_ASK_MS = 10 * 1000,	  /* for a question to be whole */
	PAGE_SERVER_WAIT_MS = 5 * 1000,	  /* for the collector's numbers; then 503 */
	PAGE_SERVER_SEND_MS = 30 * 1000,  /* for the answer to be taken */
	PAGE_SERVER_LISTEN_MS = 5 * 1000, /* until an address that is taken is tried again */
};

/* In a process of its own, which it confines: serve until the other end of control is gone.  Both are its.
 * Returns 0 then; a refusal (logged); or a fault. */
int page_server_run(int control, const struct config_listen *listen);
