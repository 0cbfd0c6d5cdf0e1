#include "appliance/audit/proof.h"

#include <errno.h>

#include "appliance/audit/audit.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/trust/note_line.h"

#define PROOF_MAGIC "c2sp.org/tlog-proof@v1\n"

/* --- making ----------------------------------------------------------------------------------- */
/* The size in a checkpoint of our own. */
static int
note_size(uint64_t *ret, const char *text)
{
	SCOPED(note_freep) struct note *note = NULL;
	struct note_checkpoint c;
	int r = note_open(&note, text, strlen(text), "audit log");

	r = r ?: note_checkpoint_parse(&c, note->text, note->text_len, "audit log");
	if (r == 0)
		*ret = c.size;
	return FAULT(r);
}

int
proof_make_under(struct audit *a, uint64_t n, const char *head, struct buf *out)
{
	SCOPED(buf_done) struct buf record = BUF_MAX(AUDIT_ENTRY_MAX);
	struct merkle_proof proof;
	uint64_t size = 0;
	int r = note_size(&size, head);

	r = r ?: audit_inclusion(a, n, size, &proof);
	r = r ?: audit_record(a, n, &record);
	if (r)
		return FAULT(r);
	buf_puts(out, PROOF_MAGIC "extra ");
	hex_base64(out, record.data, record.len);
	buf_printf(out, "\nindex %llu\n", (unsigned long long)n);
	for (size_t i = 0; i < proof.n; i++) {
		hex_base64(out, proof.hash[i], MERKLE_HASH);
		buf_u8(out, '\n');
	}
	buf_printf(out, "\n%s", head);
	return FAULT(buf_error(out));
}

int
proof_make(struct audit *a, uint64_t n, struct buf *out)
{
	bool cosigned = n < audit_cosigned(a);
	int r = cosigned ? 0 : audit_commit(a);

	if (r)
		return FAULT(r);
	return proof_make_under(a, n, cosigned ? audit_cosigned_note(a) : audit_checkpoint(a), out);
}

/* --- checking --------------------------------------------------------------------------------- */
struct proof_file {
	struct buf entry;
	uint64_t index;
	struct merkle_proof proof;
	const char *note; /* what follows the blank line */
	size_t note_len;
};

static void
proof_file_done(struct proof_file *f)
{
	buf_done(&f->entry);
}

/* The next line of at most max bytes without its LF, NULL where there is none such. */
static const char *
next_line(const char **at, const char *end, size_t max, size_t *ret_len)
{
	const char *line = note_line_next(at, end, ret_len);

	return line && *ret_len <= max ? line : NULL;
}

/* A line "WORD VALUE": the value, or NULL. */
static const char *
value_of(const char *line, size_t len, const char *word, size_t *ret_len)
{
	size_t n = strlen(word);

	if (!line || len <= n + 1 || memcmp(line, word, n) || line[n] != ' ')
		return NULL;
	*ret_len = len - n - 1;
	return line + n + 1;
}

static bool
parse_proof(struct proof_file *f, const char *p, size_t len)
{
	const char *at = p, *end = p + len, *line, *value;
	size_t n = 0, value_len = 0, magic = strlen(PROOF_MAGIC);

	if (len < magic || memcmp(p, PROOF_MAGIC, magic))
		return false;
	at += magic;
	line = next_line(&at, end, 2 * AUDIT_ENTRY_MAX, &n);
	value = value_of(line, n, "extra", &value_len);
	if (!value || !hex_unbase64(&f->entry, value, value_len))
		return false;
	line = next_line(&at, end, 2 * NOTE_LINE_NUMBER_MAX, &n);
	value = value_of(line, n, "index", &value_len);
	if (!note_line_number(&f->index, value, value_len))
		return false;
	while ((line = next_line(&at, end, 2 * MERKLE_HASH, &n)) != NULL && n) {
		if (f->proof.n == MERKLE_PROOF_MAX ||
			!note_line_hash(f->proof.hash[f->proof.n++], line, n))
			return false;
	}
	f->note = at;
	f->note_len = (size_t)(end - at);
	return line != NULL;
}

static int
read_proof(struct proof_file *f, const char *p, size_t len)
{
	if (len > PROOF_FILE_MAX)
		return REFUSE(REASON_TOO_LARGE, "proof", "over %d bytes", PROOF_FILE_MAX);
	if (!parse_proof(f, p, len))
		return buf_error(&f->entry) == -ENOMEM ? FAULT(-ENOMEM)
						       : REFUSE(REASON_MALFORMED, "proof", "no proof of an audit entry");
	return 0;
}

int
proof_check(uint64_t *ret_n, struct buf *out_entry, const void *p, size_t len, const char *origin,
	const uint8_t audit_key[32], const struct note_key *witness)
{
	SCOPED(proof_file_done) struct proof_file f = { .entry = BUF_MAX(AUDIT_ENTRY_MAX) };
	SCOPED(note_freep) struct note *note = NULL;
	struct note_checkpoint c;
	struct note_key log;
	uint8_t leaf[MERKLE_HASH];
	int r;

	r = read_proof(&f, p, len);
	if (r)
		return r;
	r = note_open(&note, f.note, f.note_len, "proof");
	r = r ?: note_checkpoint_parse(&c, note->text, note->text_len, "proof");
	if (r)
		return FAULT(r);
	if (origin && strcmp(origin, c.origin))
		return REFUSE(REASON_ALTERED, "proof", "is from log \"%s\"", c.origin);
	r = note_key_make(&log, c.origin, NOTE_TYPE_ED25519, audit_key);
	r = r ?: note_verify(note, &log, NULL);
	if (r == 0 && witness)
		r = note_verify(note, witness, NULL);
	if (r)
		return FAULT(r);
	audit_leaf(leaf, f.entry.data, f.entry.len);
	if (merkle_check_inclusion(leaf, f.index, c.size,
		    (const uint8_t(*)[MERKLE_HASH])f.proof.hash, f.proof.n, c.root))
		return REFUSE(REASON_ALTERED, "proof", "does not lead to the signed root");
	buf_put(out_entry, f.entry.data, f.entry.len);
	*ret_n = f.index;
	return FAULT(buf_error(out_entry));
}

int
proof_head(struct note **ret, const void *p, size_t len)
{
	SCOPED(proof_file_done) struct proof_file f = { .entry = BUF_MAX(AUDIT_ENTRY_MAX) };
	int r = read_proof(&f, p, len);

	if (r)
		return r;
	return note_open(ret, f.note, f.note_len, "proof");
}
