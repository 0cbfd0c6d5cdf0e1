/* Who sits at the desk: card, key, and the login that is good for a day's work.
 *
 * Folder STATE/desk (or ~/.local/state/mainstay-desk), below it one folder for each pair of card
 * and key, 0700: tuf/, sites/.  The login (session.json, and http.key, the ephemeral Ed25519 key, 0600) lies in the same
 * way below XDG_RUNTIME_DIR/mainstay-desk, which is memory and ends with the person's session; where there is none, and
 * with --state, beside the rest.  A login that has ended is removed when it is next looked at. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct card;
struct command_call;
struct ed25519;
struct http_line;
struct people;
struct people_engineer;
struct sshkey_signer;
struct tuf_client;

enum { DESK_SESSION_LIFE_S = 8 * 3600 };

struct desk {
	struct command_call *call;            /* borrowed */
	struct card *card;                    /* verified against itself; owned, as all below */
	struct sshkey_signer *signer;
	const char *ca;                       /* NULL: the system's; borrowed */
	struct http_line *line;               /* to the hub, for all requests of one command */
	int dir_fd;                           /* what is kept */
	int login_fd;                         /* the login */
	struct ed25519 *http_key;             /* NULL before desk_session_load() or a login */
	struct tuf_client *tuf;               /* NULL before desk_trust_refresh() */
	struct people *people;                /* the same */
	const struct people_engineer *me;     /* the same; borrowed from people */
};

/* Read the card, open the key, open the folder.  desk_session_done() in every case.  Returns 0;
 * REASON_USAGE (logged) without --card; what card_read() and sshkey_signer_open() say; or a
 * fault. */
int desk_session_open(struct desk *ret, struct command_call *call);
void desk_session_done(struct desk *d);

/* The folder that holds those of all cards and keys; state NULL: the person's own.  out has 4096 bytes.  Returns 0, or
 * REASON_USAGE (logged) where there is none. */
int desk_session_folder(const char *state, char out[4096]);

/* Take up the last login.  Returns 0; REASON_UNSIGNED (logged, "log in first") where there is none
 * or it has ended; or a fault. */
int desk_session_load(struct desk *d);
/* Keep a login: the key and its end. */
int desk_session_keep(struct desk *d, struct ed25519 *take_key, uint64_t not_after_us);
