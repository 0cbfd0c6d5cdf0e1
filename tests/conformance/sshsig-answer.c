/* Answer, for each case on standard input, what our SSHSIG verifier says about it: "ok" or the reason, one a line.
 *
 * A case is four fields, each behind its length as 32 bits, big endian: the armoured text, the message, the namespace,
 * and the public key line that must have signed ("" for whichever the signature names). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sshsig.h"

enum { INPUT_MAX = 256 * 1024 * 1024, TEXT_MAX = 2048 };

static int
answer(struct cursor armour, struct cursor message, const char *name_space, const char *line)
{
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX);
	struct sshkey_public key;
	struct sshsig s;
	int r = sshsig_dearmour(&blob, armour.p, cursor_left(&armour), "signature");

	r = r ?: sshsig_parse(&s, blob.data, blob.len, "signature");
	if (r)
		return r;
	key = s.key;
	if (*line)
		r = sshkey_parse(&key, line, "key");
	return r ?: sshsig_verify(blob.data, blob.len, &key, name_space, message.p,
		       cursor_left(&message), "signature");
}

static bool
text(char out[TEXT_MAX], struct cursor *c)
{
	struct cursor field = cursor_string(c);
	size_t len = cursor_left(&field);

	if (c->failed || len >= TEXT_MAX)
		return false;
	memcpy(out, field.p, len);
	out[len] = '\0';
	return true;
}

int
main(void)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(INPUT_MAX);
	char name_space[TEXT_MAX], line[TEXT_MAX];
	struct cursor c;

	if (fs_read_fd(STDIN_FILENO, INPUT_MAX, &in) != 0)
		return 4;
	c = CURSOR(in.data, in.len);
	while (cursor_left(&c)) {
		struct cursor armour = cursor_string(&c), message = cursor_string(&c);
		int r;

		if (!text(name_space, &c) || !text(line, &c))
			return 2;
		r = answer(armour, message, name_space, line);
		if (r < 0)
			return 4;
		puts(r == 0 ? "ok" : refuse_token((enum reason)r));
	}
	return 0;
}
