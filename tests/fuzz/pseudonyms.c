/* lib/telemetry/pseudonyms and, behind "KEY", pseudonym.key, which a crash may have cut and a restored disk brought from elsewhere: whatever stands there,
 * what is replaced from now on is revealed, after a restart, too. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/egress/pseudonym.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
token_of(struct pseudonym *p, enum pseudonym_kind kind, const char *text, size_t len, char out[PSEUDONYM_TOKEN_MAX])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PSEUDONYM_TOKEN_MAX);

	pseudonym_put(p, kind, text, len, &b);
	if (buf_error(&b) || strlen(buf_text(&b)) >= PSEUDONYM_TOKEN_MAX)
		abort();
	(void)snprintf(out, PSEUDONYM_TOKEN_MAX, "%s", buf_text(&b));
}

/* Each kind of a piece of the input: the same token twice, and its text behind it. */
static void
replace(struct pseudonym *p, const char *text, size_t len)
{
	char token[PSEUDONYM_TOKEN_MAX], again[PSEUDONYM_TOKEN_MAX];

	for (unsigned i = 0; i < PSEUDONYM_KINDS; i++) {
		enum pseudonym_kind kind;
		const char *known;

		if (!pseudonym_parse(&kind, pseudonym_text((enum pseudonym_kind)i)) || kind != i)
			abort();
		token_of(p, kind, text, len, token);
		token_of(p, kind, text, len, again);
		known = pseudonym_reveal(p, token);
		if (strcmp(token, again) != 0 || (known && strncmp(known, text, len) != 0))
			abort();
	}
}

/* A key is one, or refused; the next input finds one that is. */
static void
open_with_key(const uint8_t *key, size_t len)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL;
	int r;

	if (fs_replace(folder_fd(), PSEUDONYM_KEY_NAME, key, len, 0600) != 0)
		abort();
	r = pseudonym_open(&p, folder_fd(), true);
	if (r < 0 || (r == 0) != (p != NULL) || (r == 0 && len != 65))
		abort();
	if (unlinkat(folder_fd(), PSEUDONYM_KEY_NAME, 0) != 0)
		abort();
	if (len == 0 && pseudonym_open(&p, folder_fd(), false) != 0) /* one for the time being */
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char address[] = "203.0.113.7";
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL, *again = NULL;
	char piece[PSEUDONYM_TEXT_MAX + 2], token[PSEUDONYM_TOKEN_MAX];
	enum pseudonym_kind none;
	const char *known;

	log_quiet_refusals(true);
	if (size >= 3 && memcmp(data, "KEY", 3) == 0) {
		open_with_key(data + 3, size - 3);
		return 0;
	}
	if (fs_replace(folder_fd(), PSEUDONYM_TABLE_NAME, data, size, 0600) != 0 ||
		pseudonym_open(&p, folder_fd(), true) != 0)
		abort();
	for (size_t at = 0; at + 8 < size && at < 4096; at += 97) {
		size_t len = size - at < sizeof(piece) ? size - at : sizeof(piece) - at % 64;

		memcpy(piece, data + at, len);
		if (!memchr(piece, '\0', len) && !memchr(piece, '<', len))
			replace(p, piece, len);
	}
	token_of(p, PSEUDONYM_IP, address, strlen(address), token);
	if (pseudonym_save(p) != 0 || pseudonym_open(&again, folder_fd(), false) != 0)
		abort();
	known = pseudonym_reveal(again, token);
	/* the input may hold that very token, with another text; it would be the older one */
	if (!known || (strcmp(known, address) != 0 && (!size || !memmem(data, size, token, strlen(token)))))
		abort();
	if (pseudonym_parse(&none, "") || pseudonym_reveal(again, "<ip:>") == known)
		abort();
	/* the key is taken away: old tokens stand, new ones are others */
	if (size % 7 == 0 && (unlinkat(folder_fd(), PSEUDONYM_KEY_NAME, 0) != 0 || pseudonym_look(p) != 0 ||
				     !pseudonym_reveal(p, token)))
		abort();
	return 0;
}
