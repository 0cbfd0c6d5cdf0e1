#include "appliance/trust/sshagent.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sshkey.h"

enum {
	REQUEST_IDENTITIES = 11,
	IDENTITIES_ANSWER = 12,
	SIGN_REQUEST = 13,
	SIGN_RESPONSE = 14,
	MESSAGE_MAX_LEN = 256 * 1024,
	MESSAGE_ASK_MAX = 64 * 1024,
	KEYS_LISTED_MAX = 1024,
};
#define OPERAND "ssh-agent"

int
sshagent_connect(int *ret_fd)
{
	const char *path = getenv("SSH_AUTH_SOCK");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	SCOPED(scope_close) int fd = -1;

	if (!path || !*path)
		return REFUSE(REASON_UNREACHABLE, OPERAND,
			"SSH_AUTH_SOCK is not set; start ssh-agent, or name an unencrypted key by "
			"--key");
	if (strlen(path) >= sizeof(to.sun_path))
		return REFUSE(REASON_UNREACHABLE, OPERAND, "SSH_AUTH_SOCK is too long");
	memcpy(to.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return FAULT(-errno);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return REFUSE(REASON_UNREACHABLE, OPERAND, "%s: %m", path);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int
read_all(int fd, uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return REFUSE(REASON_UNREACHABLE, OPERAND, "closed the connection");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Send one message and read the answer into out, its length taken off. */
static int
ask(int fd, const struct buf *message, struct buf *out)
{
	uint8_t head[4], *at;
	struct cursor c = CURSOR(head, sizeof(head));
	uint32_t len;
	int r;

	if (buf_error(message))
		return FAULT(buf_error(message));
	for (int i = 0; i < 4; i++)
		head[i] = (uint8_t)(message->len >> (24 - 8 * i));
	r = fs_write_all(fd, head, sizeof(head));
	if (r == 0)
		r = fs_write_all(fd, message->data, message->len);
	if (r < 0)
		return FAULT(r);
	r = read_all(fd, head, sizeof(head));
	if (r)
		return FAULT(r);
	len = cursor_u32(&c);
	if (!len || len > MESSAGE_MAX_LEN)
		return REFUSE(REASON_MALFORMED, OPERAND, "answers with %u bytes", len);
	at = buf_reserve(out, len);
	if (!at)
		return FAULT(buf_error(out));
	r = read_all(fd, at, len);
	if (r)
		return FAULT(r);
	buf_advance(out, len);
	return 0;
}

/* A key type we accept?  Looked at before parsing, since others in the agent are no mistake. */
static bool
is_ours(struct cursor blob)
{
	struct cursor type = cursor_string(&blob);

	for (int kind = SSHKEY_ED25519; kind <= SSHKEY_SK_P256; kind++) {
		const char *name = sshkey_type((enum sshkey_kind)kind);

		if (cursor_left(&type) == strlen(name) && !memcmp(type.p, name, strlen(name)))
			return true;
	}
	return false;
}

int
sshagent_list(int fd, struct sshkey_public *keys, size_t max, size_t *ret_n)
{
	SCOPED(buf_done) struct buf message = BUF_MAX(16);
	SCOPED(buf_done) struct buf answer = BUF_MAX(MESSAGE_MAX_LEN);
	struct cursor c, blob;
	uint32_t count;
	size_t n = 0;
	int r;

	buf_u8(&message, REQUEST_IDENTITIES);
	r = ask(fd, &message, &answer);
	if (r)
		return FAULT(r);
	c = CURSOR(answer.data, answer.len);
	if (cursor_u8(&c) != IDENTITIES_ANSWER)
		return REFUSE(REASON_MALFORMED, OPERAND, "does not list its keys");
	count = cursor_u32(&c);
	if (count > KEYS_LISTED_MAX)
		return REFUSE(REASON_MALFORMED, OPERAND, "lists %u keys", count);
	for (uint32_t i = 0; i < count; i++) {
		blob = cursor_string(&c);
		cursor_string(&c); /* comment */
		if (c.failed)
			break;
		if (n == max || !is_ours(blob))
			continue;
		r = sshkey_parse_blob(&keys[n], blob.p, cursor_left(&blob), OPERAND);
		if (r)
			return FAULT(r);
		n++;
	}
	if (!cursor_done(&c))
		return REFUSE(REASON_MALFORMED, OPERAND, "list of keys is cut short");
	*ret_n = n;
	return 0;
}

int
sshagent_sign(int fd, const struct sshkey_public *key, const void *p, size_t len, struct buf *out)
{
	SCOPED(buf_done) struct buf message = BUF_MAX(MESSAGE_ASK_MAX);
	SCOPED(buf_done) struct buf answer = BUF_MAX(MESSAGE_MAX_LEN);
	struct cursor c, sig;
	int r;

	buf_u8(&message, SIGN_REQUEST);
	buf_u32(&message, (uint32_t)key->blob_len);
	buf_put(&message, key->blob, key->blob_len);
	buf_u32(&message, (uint32_t)len);
	buf_put(&message, p, len);
	buf_u32(&message, 0); /* flags concern RSA alone */
	r = ask(fd, &message, &answer);
	if (r)
		return FAULT(r);
	c = CURSOR(answer.data, answer.len);
	if (cursor_u8(&c) != SIGN_RESPONSE)
		return REFUSE(REASON_NOT_APPROVED, OPERAND, "does not sign with key %.16s",
			key->keyid);
	sig = cursor_string(&c);
	if (!cursor_done(&c))
		return REFUSE(REASON_MALFORMED, OPERAND, "signature is cut short");
	buf_put(out, sig.p, cursor_left(&sig));
	return FAULT(buf_error(out));
}
