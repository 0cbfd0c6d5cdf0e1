#include "remote/desk/desk_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sshkey.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"

#define SESSION_FILE "session.json"
#define KEY_FILE "http.key"

enum { SESSION_BYTES_MAX = 4096, ID_DIGITS = 16, PATH_BYTES = 4096 };

int
desk_session_folder(const char *state, char out[4096])
{
	const char *home = getenv("HOME"), *kept = getenv("XDG_STATE_HOME");
	int n;

	if (state)
		n = snprintf(out, PATH_BYTES, "%s/desk", state);
	else if (kept && *kept == '/')
		n = snprintf(out, PATH_BYTES, "%s/mainstay-desk", kept);
	else if (home && *home == '/')
		n = snprintf(out, PATH_BYTES, "%s/.local/state/mainstay-desk", home);
	else
		return REFUSE(REASON_USAGE, "--state", "there is no HOME; give --state DIR");
	return n > 0 && n < PATH_BYTES ? 0 : REFUSE(REASON_USAGE, "--state", "the path is too long");
}

/* One folder for each card and key, so that two vendors or two people at one desk never mix. */
static int
open_below(int *ret_fd, const struct desk *d, const char *above)
{
	char card[2 * ID_DIGITS + 1], path[PATH_BYTES];
	int n;

	hex_encode(card, d->card->fingerprint, ID_DIGITS / 2);
	n = snprintf(path, sizeof(path), "%s/%s-%.*s", above, card, ID_DIGITS,
		sshkey_signer_public(d->signer)->keyid);
	if (n < 0 || n >= (int)sizeof(path))
		return REFUSE(REASON_USAGE, "--state", "the path of a folder in it is too long");
	return fs_open_dir(ret_fd, AT_FDCWD, path, 0700);
}

/* What is kept, and what lives no longer than the person is logged in at this machine, if there is such a place. */
static int
open_dirs(struct desk *d)
{
	const char *state = d->call->state, *run = getenv("XDG_RUNTIME_DIR");
	char path[PATH_BYTES];
	int r = desk_session_folder(state, path);

	r = r ?: open_below(&d->dir_fd, d, path);
	if (r)
		return r;
	if (!state && run && *run == '/' && snprintf(path, sizeof(path), "%s/mainstay-desk", run) < PATH_BYTES)
		return open_below(&d->login_fd, d, path);
	d->login_fd = fcntl(d->dir_fd, F_DUPFD_CLOEXEC, 3);
	return d->login_fd < 0 ? FAULT(-errno) : 0;
}

int
desk_session_open(struct desk *ret, struct command_call *call)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CARD_MAX);
	const char *card = command_option(call, "card");
	int r;

	*ret = (struct desk){ .call = call, .dir_fd = -1, .login_fd = -1, .ca = command_option(call, "ca") };
	if (!card)
		return REFUSE(REASON_USAGE, "--card", "give the vendor card: --card FILE");
	r = command_read_file(card, CARD_MAX, &b);
	r = r ?: card_read(&ret->card, b.data, b.len);
	r = r ?: sshkey_signer_open(&ret->signer, command_option(call, "key"));
	r = r ?: http_line_new(&ret->line);
	return r ?: open_dirs(ret);
}

void
desk_session_done(struct desk *d)
{
	d->card = card_free(d->card);
	d->signer = sshkey_signer_free(d->signer);
	d->http_key = ed25519_free(d->http_key);
	d->tuf = tuf_client_free(d->tuf);
	d->people = people_free(d->people);
	d->line = http_line_free(d->line);
	d->me = NULL;
	scope_close(&d->dir_fd);
	scope_close(&d->login_fd);
}

int
desk_session_load(struct desk *d)
{
	struct members {
		uint64_t v, not_after_us;
		const char *key;
	} m = { 0 };
	static const struct json_field fields[] = {
		{ .name = "v",
			.kind = JSON_KIND_U64,
			.offset = offsetof(struct members, v),
			.max = 1 },
		{ .name = "not_after",
			.kind = JSON_KIND_TIME,
			.offset = offsetof(struct members, not_after_us) },
		{ .name = "key",
			.kind = JSON_KIND_TEXT,
			.offset = offsetof(struct members, key),
			.max = ED25519_HEX_MAX },
	};
	SCOPED(buf_done) struct buf b = BUF_MAX(SESSION_BYTES_MAX);
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	SCOPED_JSON *doc = NULL;
	int r = fs_read(d->login_fd, SESSION_FILE, SESSION_BYTES_MAX, &b);

	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_UNSIGNED, "login", "nobody is logged in: mainstay-desk login");
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, SESSION_FILE, "cannot be read");
	r = json_read(&doc, b.data, b.len, SESSION_BYTES_MAX, SESSION_FILE);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &m, SESSION_FILE);
	r = r ?: ed25519_load(&key, d->login_fd, KEY_FILE);
	if (r)
		return r;
	if (clock_now_us() >= m.not_after_us || strcmp(m.key, ed25519_public_hex(key)) != 0) {
		/* A key that is good for nothing is not left lying about; if it cannot go, it is as useless. */
		(void)unlinkat(d->login_fd, KEY_FILE, 0);
		(void)unlinkat(d->login_fd, SESSION_FILE, 0);
		return REFUSE(REASON_UNSIGNED, "login", "the login has ended: mainstay-desk login");
	}
	d->http_key = STEAL(key);
	return 0;
}

int
desk_session_keep(struct desk *d, struct ed25519 *take_key, uint64_t not_after_us)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SESSION_BYTES_MAX);
	SCOPED_JSON *doc = json_object();
	int r;

	ed25519_free(d->http_key);
	d->http_key = take_key;
	if (!doc)
		return FAULT(-ENOMEM);
	r = ed25519_save(take_key, d->login_fd, KEY_FILE);
	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "key", ed25519_public_hex(take_key));
	r = r ?: json_put_time(doc, "not_after", not_after_us);
	r = r ?: json_canonical(&b, doc);
	return r ?: fs_replace(d->login_fd, SESSION_FILE, b.data, b.len, 0600);
}
