#include "appliance/trust/sshkey.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/armour.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sshagent.h"

#define LABEL "OPENSSH PRIVATE KEY"
#define MAGIC "openssh-key-v1" /* with its NUL */

struct sshkey_signer {
	struct sshkey_public pub;
	struct ed25519 *key; /* of a file; NULL: the agent's */
	int agent_fd;	     /* -1 unless the agent's */
};

struct sshkey_signer *
sshkey_signer_free(struct sshkey_signer *s)
{
	if (!s)
		return NULL;
	ed25519_free(s->key);
	scope_close(&s->agent_fd);
	free(s);
	return NULL;
}

static int
signer_new(struct sshkey_signer **ret)
{
	struct sshkey_signer *s = calloc(1, sizeof(*s));

	if (!s)
		return FAULT(-ENOMEM);
	s->agent_fd = -1;
	*ret = s;
	return 0;
}

/* --- key files -------------------------------------------------------------------------------- */
/* The part that would be encrypted: a check number twice, the key, its comment, padding 1, 2, 3… */
static int
read_secret(struct sshkey_signer *s, struct cursor c, const char *file)
{
	uint32_t check = cursor_u32(&c);
	bool same = cursor_u32(&c) == check;
	struct cursor type = cursor_string(&c);
	struct cursor pub, priv;
	uint8_t pad = 0;
	int r;

	if (!cursor_is(&type, sshkey_type(SSHKEY_ED25519)))
		return REFUSE(REASON_USAGE, file,
			"only ssh-ed25519 key files are read; load this one with `ssh-add %s` and "
			"name %s.pub",
			file, file);
	pub = cursor_string(&c);
	priv = cursor_string(&c);
	cursor_string(&c); /* comment */
	while (!c.failed && cursor_left(&c)) {
		if (cursor_u8(&c) != ++pad)
			cursor_fail(&c);
	}
	if (!same || c.failed || cursor_left(&pub) != ED25519_KEY_LEN ||
		cursor_left(&priv) != 2 * ED25519_KEY_LEN)
		return REFUSE(REASON_MALFORMED, file, "private key is damaged");
	r = ed25519_from_seed(&s->key, priv.p);
	if (r < 0)
		return FAULT(r);
	if (memcmp(ed25519_public(s->key), pub.p, ED25519_KEY_LEN) ||
		s->pub.kind != SSHKEY_ED25519 || memcmp(s->pub.raw, pub.p, ED25519_KEY_LEN))
		return REFUSE(REASON_MALFORMED, file,
			"private and public key do not belong together");
	return 0;
}

static int
read_private(struct sshkey_signer *s, const struct buf *text, const char *file)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(SSHKEY_FILE_MAX);
	struct cursor c, cipher, kdf, pub, secret;
	const uint8_t *magic;
	uint32_t n;
	int r;

	errno = 0;
	if (!armour_read(&b, LABEL, text->data, text->len))
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, file,
			"private key is damaged: no base64 between its lines");
	c = CURSOR(b.data, b.len);
	magic = cursor_bytes(&c, sizeof(MAGIC));
	cipher = cursor_string(&c);
	kdf = cursor_string(&c);
	cursor_string(&c); /* options of kdf */
	n = cursor_u32(&c);
	pub = cursor_string(&c);
	secret = cursor_string(&c);
	if (!cursor_done(&c) || memcmp(magic, MAGIC, sizeof(MAGIC)) || n != 1)
		return REFUSE(REASON_MALFORMED, file, "private key is damaged");
	if (!cursor_is(&cipher, "none") || !cursor_is(&kdf, "none"))
		return REFUSE(REASON_USAGE, file,
			"key is encrypted: load it with `ssh-add %s` and name %s.pub (ssh-agent "
			"then signs)",
			file, file);
	r = sshkey_parse_blob(&s->pub, pub.p, cursor_left(&pub), file);
	if (r)
		return FAULT(r);
	return read_secret(s, secret, file);
}

/* The first line of a .pub file; its private half is the agent's. */
static int
read_public(struct sshkey_public *ret, struct buf *text, const char *file)
{
	const char *t = buf_text(text);

	if (strlen(t) != text->len)
		return REFUSE(REASON_MALFORMED, file,
			"neither an OpenSSH private key nor a public one");
	if (text->len)
		text->data[strcspn(t, "\r\n")] = 0;
	return sshkey_parse(ret, buf_text(text), file);
}

int
sshkey_signer_open(struct sshkey_signer **ret, const char *file)
{
	SCOPED(buf_wipe) struct buf text = BUF_MAX(SSHKEY_FILE_MAX + 1);
	SCOPED(sshkey_signer_freep) struct sshkey_signer *s = NULL;
	SCOPED(scope_close) int fd = -1;
	struct sshkey_public pub;
	int r;

	if (!file)
		return sshkey_signer_open_agent(ret, NULL);
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return REFUSE(errno == ENOENT ? REASON_NOT_FOUND : REASON_USAGE, file, "%m");
	r = fs_read_fd(fd, SSHKEY_FILE_MAX, &text);
	if (r < 0)
		return FAULT(r);
	if (r > 0)
		return REFUSE(r, file, "no key file of at most %d bytes", SSHKEY_FILE_MAX);
	if (!armour_begins(LABEL, text.data, text.len)) {
		r = read_public(&pub, &text, file);
		return r ? FAULT(r) : sshkey_signer_open_agent(ret, &pub);
	}
	r = signer_new(&s);
	if (r == 0)
		r = read_private(s, &text, file);
	if (r)
		return FAULT(r);
	*ret = STEAL(s);
	return 0;
}

/* --- the agent -------------------------------------------------------------------------------- */

static int
choose(struct sshkey_public *ret, int fd, const struct sshkey_public *want)
{
	SCOPED(scope_free)
	struct sshkey_public *keys = calloc(SSHKEY_AGENT_KEYS_MAX, sizeof(*keys));
	size_t n = 0;
	int r;

	if (!keys)
		return FAULT(-ENOMEM);
	r = sshagent_list(fd, keys, SSHKEY_AGENT_KEYS_MAX, &n);
	if (r)
		return FAULT(r);
	if (!want) {
		if (n == 0)
			return REFUSE(REASON_NOT_FOUND, "ssh-agent",
				"holds no key that is accepted here");
		if (n > 1)
			return REFUSE(REASON_USAGE, "ssh-agent",
				"holds %zu keys: name one by --key FILE.pub", n);
		*ret = keys[0];
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (sshkey_same(&keys[i], want)) {
			*ret = keys[i];
			return 0;
		}
	}
	return REFUSE(REASON_NOT_FOUND, "ssh-agent", "does not hold key %.16s; see ssh-add",
		want->keyid);
}

int
sshkey_signer_open_agent(struct sshkey_signer **ret, const struct sshkey_public *key)
{
	SCOPED(sshkey_signer_freep) struct sshkey_signer *s = NULL;
	int r;

	r = signer_new(&s);
	if (r == 0)
		r = sshagent_connect(&s->agent_fd);
	if (r == 0)
		r = choose(&s->pub, s->agent_fd, key);
	if (r)
		return FAULT(r);
	*ret = STEAL(s);
	return 0;
}

const struct sshkey_public *
sshkey_signer_public(const struct sshkey_signer *s)
{
	return &s->pub;
}

int
sshkey_signer_sign(const struct sshkey_signer *s, const void *p, size_t len, struct buf *out)
{
	const char *type = sshkey_type(SSHKEY_ED25519);
	uint8_t sig[ED25519_SIG_LEN];
	int r;

	if (!s->key)
		return sshagent_sign(s->agent_fd, &s->pub, p, len, out);
	r = ed25519_sign(s->key, p, len, sig);
	if (r < 0)
		return FAULT(r);
	buf_u32(out, (uint32_t)strlen(type));
	buf_puts(out, type);
	buf_u32(out, sizeof(sig));
	buf_put(out, sig, sizeof(sig));
	return FAULT(buf_error(out));
}
