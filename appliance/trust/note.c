#include "appliance/trust/note.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/note_line.h"
#include "appliance/trust/sha256.h"

#define DASH "\xe2\x80\x94 " /* em dash and space */

enum {
	ID_LEN = 4,
	COSIG_LEN = 8 + ED25519_SIG_LEN,
	SIG_BYTES_MAX = 4096,
	COSIGNED_MAX = NOTE_MAX + 64,
};

static bool
name_ok(const char *name, size_t len)
{
	if (!len || len >= NOTE_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)name[i];

		if (c <= 0x20 || c == 0x7f || c == '+')
			return false;
	}
	return true;
}

/* --- keys ------------------------------------------------------------------------------------- */
static bool
make_key(struct note_key *ret, const char *name, uint8_t type, const uint8_t key[ED25519_KEY_LEN])
{
	struct note_key k = { .type = type };
	uint8_t digest[SHA256_LEN];
	struct sha256 h;

	if (!name_ok(name, strlen(name)))
		return false;
	memcpy(k.name, name, strlen(name) + 1);
	memcpy(k.key, key, sizeof(k.key));
	sha256_init(&h);
	sha256_put(&h, name, strlen(name));
	sha256_put(&h, "\n", 1);
	sha256_put(&h, &type, 1);
	sha256_put(&h, key, ED25519_KEY_LEN);
	sha256_final(&h, digest);
	memcpy(k.id, digest, sizeof(k.id));
	*ret = k;
	return true;
}

int
note_key_make(struct note_key *ret, const char *name, uint8_t type,
	const uint8_t key[ED25519_KEY_LEN])
{
	if (!make_key(ret, name, type, key))
		return REFUSE(REASON_MALFORMED, name, "no name for a signed note's key");
	return 0;
}

const char *
note_key_scan(struct note_key *ret, const char *vkey)
{
	const char *plus = strchr(vkey, '+');
	const char *last = plus ? strchr(plus + 1, '+') : NULL;
	char name[NOTE_NAME_MAX], hex[2 * ID_LEN + 1] = "";
	const char *weak;
	uint8_t id[ID_LEN], b[1 + ED25519_KEY_LEN];
	struct note_key k;
	size_t len;

	if (!last || last - plus - 1 != 2 * ID_LEN || plus - vkey >= NOTE_NAME_MAX)
		return "not NAME+HEX+BASE64";
	memcpy(name, vkey, (size_t)(plus - vkey));
	name[plus - vkey] = 0;
	memcpy(hex, plus + 1, 2 * ID_LEN);
	if (!hex_decode(id, sizeof(id), hex) ||
		!hex_unbase64_into(b, sizeof(b), &len, last + 1, strlen(last + 1)) || len != sizeof(b) ||
		(b[0] != NOTE_TYPE_ED25519 && b[0] != NOTE_TYPE_COSIGNATURE))
		return "no Ed25519 key";
	weak = ed25519_weakness(b + 1);
	if (weak)
		return weak;
	if (!make_key(&k, name, b[0], b + 1))
		return "its name cannot be a key's";
	if (memcmp(k.id, id, sizeof(id)))
		return "its id is not its key's";
	*ret = k;
	return NULL;
}

int
note_key_parse(struct note_key *ret, const char *vkey)
{
	const char *wrong = note_key_scan(ret, vkey);

	return wrong ? REFUSE(REASON_MALFORMED, "vkey", "%s", wrong) : 0;
}

void
note_key_text(struct buf *out, const struct note_key *k)
{
	char hex[2 * ID_LEN + 1];
	uint8_t typed[1 + ED25519_KEY_LEN] = { k->type };

	memcpy(typed + 1, k->key, ED25519_KEY_LEN);
	buf_printf(out, "%s+%s+", k->name, hex_encode(hex, k->id, sizeof(k->id)));
	hex_base64(out, typed, sizeof(typed));
}

/* --- reading ---------------------------------------------------------------------------------- */
struct note *
note_free(struct note *n)
{
	if (!n)
		return NULL;
	free(n->data);
	free(n->bytes);
	free(n);
	return NULL;
}

static bool
is_plain_text(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (((uint8_t)p[i] < 0x20 && p[i] != '\n') || p[i] == 0x7f)
			return false;
	}
	return true;
}

/* One line "DASH NAME SP BASE64", its LF already a NUL. */
static bool
parse_sig(struct note *n, struct buf *bytes, char *line)
{
	struct note_sig *s = &n->sigs[n->n_sigs];
	size_t from = bytes->len;
	char *space;

	if (strncmp(line, DASH, strlen(DASH)))
		return false;
	line += strlen(DASH);
	space = strchr(line, ' ');
	if (!space || !name_ok(line, (size_t)(space - line)))
		return false;
	*space++ = 0;
	if (!*space || strlen(space) > SIG_BYTES_MAX ||
		!hex_unbase64(bytes, space, strlen(space)) || bytes->len - from <= ID_LEN)
		return false;
	s->name = line;
	s->len = bytes->len - from - ID_LEN;
	n->n_sigs++;
	return true;
}

/* bytes holds the signatures end to end: give each its place, now that the memory stands still. */
static void
place_sigs(struct note *n)
{
	const uint8_t *at = n->bytes;

	for (size_t i = 0; i < n->n_sigs; i++) {
		memcpy(n->sigs[i].id, at, ID_LEN);
		n->sigs[i].sig = at + ID_LEN;
		at += ID_LEN + n->sigs[i].len;
	}
}

int
note_open(struct note **ret, const void *p, size_t len, const char *operand)
{
	SCOPED(note_freep) struct note *n = NULL;
	SCOPED(buf_done) struct buf bytes = BUF_MAX(NOTE_MAX);
	char *line, *end;

	if (len > NOTE_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "note over %d bytes", NOTE_MAX);
	n = calloc(1, sizeof(*n));
	if (!n)
		return FAULT(-ENOMEM);
	n->data = calloc(1, len + 1);
	if (!n->data)
		return FAULT(-ENOMEM);
	if (len)
		memcpy(n->data, p, len);
	if (!len || !is_plain_text(n->data, len) || n->data[len - 1] != '\n')
		return REFUSE(REASON_MALFORMED, operand, "no signed note");
	for (size_t i = len - 1; i-- > 0 && !n->text_len;) {
		if (n->data[i] == '\n' && n->data[i + 1] == '\n')
			n->text_len =
				i + 1; /* the last blank line: text before it, signatures behind */
	}
	if (!n->text_len)
		return REFUSE(REASON_MALFORMED, operand, "no signed note: no blank line");
	n->text = n->data;
	line = n->data + n->text_len + 1;
	if (line == n->data + len)
		return REFUSE(REASON_UNSIGNED, operand, "note has no signature");
	for (; line < n->data + len; line = end + 1) {
		end = strchr(line, '\n');
		*end = 0;
		if (n->n_sigs == NOTE_SIGS_MAX)
			return REFUSE(REASON_TOO_LARGE, operand, "note has over %d signatures",
				NOTE_SIGS_MAX);
		if (!parse_sig(n, &bytes, line))
			return buf_error(&bytes) == -ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, operand,
				"note has a damaged signature line");
	}
	if (buf_error(&bytes))
		return FAULT(buf_error(&bytes));
	n->bytes = STEAL(bytes.data);
	bytes = BUF_MAX(0);
	place_sigs(n);
	*ret = STEAL(n);
	return 0;
}

/* --- signatures ------------------------------------------------------------------------------- */
static void
cosigned_bytes(struct buf *out, uint64_t time_s, const char *text, size_t len)
{
	buf_printf(out, "cosignature/v1\ntime %llu\n", (unsigned long long)time_s);
	buf_put(out, text, len);
}

static bool
sig_good(const struct note *n, const struct note_sig *s, const struct note_key *k,
	uint64_t *ret_time_s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(COSIGNED_MAX);
	uint64_t time_s = 0;

	if (k->type == NOTE_TYPE_ED25519)
		return s->len == ED25519_SIG_LEN &&
			ed25519_verify(k->key, n->text, n->text_len, s->sig);
	if (s->len != COSIG_LEN)
		return false;
	for (int i = 0; i < 8; i++)
		time_s = time_s << 8 | s->sig[i];
	if (time_s > INT64_MAX)
		return false;
	cosigned_bytes(&b, time_s, n->text, n->text_len);
	if (buf_error(&b) || !ed25519_verify(k->key, b.data, b.len, s->sig + 8))
		return false;
	if (ret_time_s)
		*ret_time_s = time_s;
	return true;
}

static bool
is_by(const struct note_sig *s, const struct note_key *k)
{
	return strcmp(s->name, k->name) == 0 && memcmp(s->id, k->id, sizeof(k->id)) == 0;
}

bool
note_has(const struct note *n, const struct note_key *k)
{
	for (size_t i = 0; i < n->n_sigs; i++)
		if (is_by(&n->sigs[i], k))
			return true;
	return false;
}

int
note_verify(const struct note *n, const struct note_key *k, uint64_t *ret_time_s)
{
	bool found = false;

	for (size_t i = 0; i < n->n_sigs; i++) {
		const struct note_sig *s = &n->sigs[i];

		if (!is_by(s, k))
			continue;
		errno = 0;
		if (!sig_good(n, s, k, ret_time_s))
			return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_BAD_SIGNATURE, k->name,
				"signature on the note is wrong");
		found = true;
	}
	if (!found)
		return REFUSE(REASON_UNKNOWN_KEY, k->name, "has not signed the note");
	return 0;
}

static int
put_sig(struct buf *out, const struct note_key *k, const uint8_t *sig, size_t len)
{
	uint8_t bytes[ID_LEN + COSIG_LEN];

	memcpy(bytes, k->id, ID_LEN);
	memcpy(bytes + ID_LEN, sig, len);
	buf_printf(out, DASH "%s ", k->name);
	hex_base64(out, bytes, ID_LEN + len);
	buf_u8(out, '\n');
	return FAULT(buf_error(out));
}

int
note_copy_lines(struct buf *out, const struct note *n, const struct note_key *k)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n->n_sigs; i++)
		if (is_by(&n->sigs[i], k) && n->sigs[i].len <= COSIG_LEN)
			r = put_sig(out, k, n->sigs[i].sig, n->sigs[i].len);
	return r;
}

int
note_sign(struct buf *out, const char *text, size_t len, const char *name,
	const struct ed25519 *key)
{
	uint8_t sig[ED25519_SIG_LEN];
	struct note_key k;
	int r;

	r = note_key_make(&k, name, NOTE_TYPE_ED25519, ed25519_public(key));
	if (r == 0)
		r = ed25519_sign(key, text, len, sig);
	if (r)
		return FAULT(r);
	buf_put(out, text, len);
	buf_u8(out, '\n');
	return put_sig(out, &k, sig, sizeof(sig));
}

int
note_cosign(struct buf *out, const char *text, size_t len, const char *name,
	const struct ed25519 *key, uint64_t time_s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(COSIGNED_MAX);
	uint8_t sig[COSIG_LEN];
	struct note_key k;
	int r;

	r = note_key_make(&k, name, NOTE_TYPE_COSIGNATURE, ed25519_public(key));
	if (r)
		return FAULT(r);
	for (int i = 0; i < 8; i++)
		sig[i] = (uint8_t)(time_s >> (56 - 8 * i));
	cosigned_bytes(&b, time_s, text, len);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	r = ed25519_sign(key, b.data, b.len, sig + 8);
	return r ? FAULT(r) : put_sig(out, &k, sig, sizeof(sig));
}

/* --- checkpoints ------------------------------------------------------------------------------ */
int
note_checkpoint_parse(struct note_checkpoint *ret, const char *text, size_t len,
	const char *operand)
{
	struct note_checkpoint c = { 0 };
	const char *at = text, *end = text + len, *line;
	size_t n = 0;

	line = note_line_next(&at, end, &n);
	if (!line || !n || n >= sizeof(c.origin) || memchr(line, 0, n))
		return REFUSE(REASON_MALFORMED, operand, "checkpoint without an origin");
	memcpy(c.origin, line, n);
	line = note_line_next(&at, end, &n);
	if (!line || n >= NOTE_LINE_NUMBER_MAX)
		return REFUSE(REASON_MALFORMED, operand, "checkpoint without a size");
	if (!note_line_number(&c.size, line, n))
		return REFUSE(REASON_MALFORMED, operand, "checkpoint's size is no number");
	line = note_line_next(&at, end, &n);
	if (!line || !note_line_hash(c.root, line, n))
		return REFUSE(REASON_MALFORMED, operand,
			"checkpoint's root is not base64 of 32 bytes");
	while ((line = note_line_next(&at, end, &n)) != NULL) {
		if (!n)
			return REFUSE(REASON_MALFORMED, operand, "checkpoint with an empty line");
	}
	if (at != end)
		return REFUSE(REASON_MALFORMED, operand, "checkpoint's last line does not end");
	*ret = c;
	return 0;
}

void
note_checkpoint_text(struct buf *out, const struct note_checkpoint *c)
{
	buf_printf(out, "%s\n%llu\n", c->origin, (unsigned long long)c->size);
	hex_base64(out, c->root, sizeof(c->root));
	buf_u8(out, '\n');
}
