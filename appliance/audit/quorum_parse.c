#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/audit/quorum_room.h"
#include "appliance/base/fault.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/note_line.h"

enum { WORDS_MAX = QUORUM_NODES_MAX + 3 };

/* One line being read; words point into it, each ended by a NUL. */
struct line {
	const char *file;
	size_t number;
	char *text;
	size_t n;
	char *words[WORDS_MAX];
};

/* --- refusing with the place ---------------------------------------------------------------------- */
static const char *
place(char out[REFUSE_PLACE_MAX], const struct line *l, size_t word)
{
	size_t col = word < l->n ? (size_t)(l->words[word] - l->text) + 1 : 1;

	(void)snprintf(out, REFUSE_PLACE_MAX, "%s:%zu:%zu", l->file, l->number, col);
	return out;
}

#define REFUSE_WORD(reason, l, i, ...)                                                             \
	REFUSE_AT(reason, (l)->file, place((char[REFUSE_PLACE_MAX]){ "" }, l, i), __VA_ARGS__)

/* --- lines ---------------------------------------------------------------------------------------- */
static int
split(struct line *l)
{
	char *at = l->text;

	l->n = 0;
	for (;;) {
		at += strspn(at, " \t");
		if (!*at)
			return 0;
		if (l->n == WORDS_MAX)
			return REFUSE_WORD(REASON_TOO_LARGE, l, l->n - 1, "over %d words on a line",
				(int)WORDS_MAX);
		l->words[l->n++] = at;
		at += strcspn(at, " \t");
		if (*at)
			*at++ = 0;
	}
}

static int
need_words(const struct line *l, size_t min, size_t max, const char *form)
{
	if (l->n < min || l->n > max)
		return REFUSE_WORD(REASON_MALFORMED, l, l->n > max ? max : 0, "is not \"%s\"",
			form);
	return 0;
}

static int
take_key(const struct line *l, size_t word, uint8_t type, struct note_key *ret)
{
	const char *wrong = note_key_scan(ret, l->words[word]);

	if (wrong)
		return REFUSE_WORD(REASON_MALFORMED, l, word, "no key: %s", wrong);
	if (ret->type != type)
		return REFUSE_WORD(REASON_MALFORMED, l, word,
			"a %s's key has type 0x%02x, this one 0x%02x",
			type == NOTE_TYPE_ED25519 ? "log" : "witness", type, ret->type);
	return 0;
}

/* An absent one is empty.  The slash at the end is the same prefix. */
static int
take_url(const struct line *l, size_t word, char out[QUORUM_URL_MAX])
{
	static const char scheme[] = "https://";
	const char *url = word < l->n ? l->words[word] : "";
	size_t len = strlen(url);

	out[0] = 0;
	if (!len)
		return 0;
	if (len >= QUORUM_URL_MAX)
		return REFUSE_WORD(REASON_TOO_LARGE, l, word, "URL over %d bytes",
			QUORUM_URL_MAX - 1);
	if (strncmp(url, scheme, strlen(scheme)) != 0 || !url[strlen(scheme)] ||
		strpbrk(url, "?#@") != NULL)
		return REFUSE_WORD(REASON_MALFORMED, l, word, "is no https:// prefix");
	for (const char *c = url; *c; c++)
		if ((uint8_t)*c > '~')
			return REFUSE_WORD(REASON_MALFORMED, l, word, "a URL is written in ASCII");
	while (len > strlen(scheme) + 1 && url[len - 1] == '/')
		len--;
	memcpy(out, url, len);
	out[len] = 0;
	return 0;
}

static int
find_node(const struct quorum *q, const char *name)
{
	for (size_t i = 0; i < q->n_nodes; i++)
		if (strcmp(q->nodes[i].name, name) == 0)
			return (int)i;
	return QUORUM_NONE;
}

static int
new_node(struct quorum *q, const struct line *l, struct quorum_node **ret)
{
	const char *name = l->words[1];

	if (strlen(name) >= NOTE_NAME_MAX)
		return REFUSE_WORD(REASON_TOO_LARGE, l, 1, "name over %d bytes", NOTE_NAME_MAX - 1);
	if (strcmp(name, "none") == 0 || find_node(q, name) != QUORUM_NONE)
		return REFUSE_WORD(REASON_CONFLICT, l, 1, "the name \"%s\" is taken", name);
	*ret = &q->nodes[q->n_nodes++]; /* there is room: witnesses and groups are counted */
	memcpy((*ret)->name, name, strlen(name) + 1);
	return 0;
}

static int
known_node(const struct quorum *q, const struct line *l, size_t word, size_t *ret)
{
	int i = find_node(q, l->words[word]);

	if (i == QUORUM_NONE)
		return REFUSE_WORD(REASON_NOT_FOUND, l, word, "no line above defines \"%s\"",
			l->words[word]);
	*ret = (size_t)i;
	return 0;
}

static int
take_log(struct quorum *q, const struct line *l)
{
	struct note_key key;
	int r = need_words(l, 2, 3, "log VKEY [URL]");

	if (r == 0 && q->n_logs == QUORUM_LOGS_MAX)
		r = REFUSE_WORD(REASON_TOO_LARGE, l, 0, "over %d logs", QUORUM_LOGS_MAX);
	r = r ?: take_key(l, 1, NOTE_TYPE_ED25519, &key);
	for (size_t i = 0; r == 0 && i < q->n_logs; i++)
		if (memcmp(q->logs[i].key.key, key.key, sizeof(key.key)) == 0)
			r = REFUSE_WORD(REASON_CONFLICT, l, 1, "this log stands above already");
	r = r ?: take_url(l, 2, q->logs[q->n_logs].url);
	if (r == 0)
		q->logs[q->n_logs++].key = key;
	return r;
}

static int
take_witness(struct quorum *q, const struct line *l)
{
	struct quorum_witness *w = &q->witnesses[q->n_witnesses];
	struct quorum_node *node;
	int r = need_words(l, 3, 4, "witness NAME VKEY [URL]");

	if (r == 0 && q->n_witnesses == QUORUM_WITNESSES_MAX)
		r = REFUSE_WORD(REASON_TOO_LARGE, l, 0, "over %d witnesses", QUORUM_WITNESSES_MAX);
	r = r ?: take_key(l, 2, NOTE_TYPE_COSIGNATURE, &w->key);
	for (size_t i = 0; r == 0 && i < q->n_witnesses; i++)
		if (memcmp(q->witnesses[i].key.key, w->key.key, sizeof(w->key.key)) == 0)
			r = REFUSE_WORD(REASON_CONFLICT, l, 2, "this key is %s's above",
				q->witnesses[i].name);
	r = r ?: take_url(l, 3, w->url);
	r = r ?: new_node(q, l, &node);
	if (r)
		return r;
	memcpy(w->name, node->name, sizeof(w->name));
	node->witness = q->n_witnesses++;
	return 0;
}

static int
take_threshold(const struct line *l, size_t n, size_t *ret)
{
	uint64_t k;

	if (strcmp(l->words[2], "all") == 0)
		k = n;
	else if (strcmp(l->words[2], "any") == 0)
		k = 1;
	else if (!note_line_number(&k, l->words[2], strlen(l->words[2])) || k < 1 || k > n)
		return REFUSE_WORD(REASON_MALFORMED, l, 2,
			"is neither all, any, nor a number from 1 to %zu", n);
	*ret = (size_t)k;
	return 0;
}

static int
take_group(struct quorum *q, const struct line *l)
{
	struct quorum_node g = { .is_group = true }, *node;
	int r = need_words(l, 4, WORDS_MAX, "group NAME all|any|K NAME...");

	if (r == 0 && q->n_groups == QUORUM_GROUPS_MAX)
		r = REFUSE_WORD(REASON_TOO_LARGE, l, 0, "over %d groups", QUORUM_GROUPS_MAX);
	r = r ?: take_threshold(l, l->n - 3, &g.k);
	for (size_t i = 3; r == 0 && i < l->n; i++) {
		r = known_node(q, l, i, &g.members[g.n]);
		if (r == 0 && q->nodes[g.members[g.n]].is_member)
			r = REFUSE_WORD(REASON_CONFLICT, l, i, "\"%s\" is in a group already",
				l->words[i]);
		if (r == 0)
			q->nodes[g.members[g.n++]].is_member = true;
	}
	r = r ?: new_node(q, l, &node);
	if (r)
		return r;
	memcpy(g.name, node->name, sizeof(g.name));
	*node = g;
	q->n_groups++;
	return 0;
}

static int
take_quorum(struct quorum *q, const struct line *l)
{
	size_t node = 0;
	int r = need_words(l, 2, 2, "quorum NAME");

	if (r == 0 && q->has_root)
		r = REFUSE_WORD(REASON_CONFLICT, l, 0, "there is one quorum");
	if (r == 0 && strcmp(l->words[1], "none") == 0)
		q->root = QUORUM_NONE;
	else if (r == 0) {
		r = known_node(q, l, 1, &node);
		q->root = (int)node;
	}
	q->has_root = true;
	return r;
}

static int
take_line(struct quorum *q, struct line *l)
{
	static const char *const words[] = { "log", "witness", "group", "quorum" };
	static int (*const take[])(struct quorum *, const struct line *) = { take_log, take_witness,
		take_group, take_quorum };
	const char *near;
	int r;

	if (l->text[strspn(l->text, " \t")] == '#')
		return 0;
	r = split(l);
	if (r || l->n == 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], l->words[0]) == 0)
			return take[i](q, l);
	near = nearest_word(l->words[0], words, ARRAY_LEN(words));
	return REFUSE_WORD(REASON_UNKNOWN_FIELD, l, 0, "unknown line \"%s\"%s%s%s", l->words[0],
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Tab, LF, printable ASCII and anything beyond it. */
static int
check_bytes(const uint8_t *p, size_t len, const char *file)
{
	char where[REFUSE_PLACE_MAX];
	size_t line = 1, col = 1;

	for (size_t i = 0; i < len; i++, col++) {
		if ((p[i] < 0x20 && p[i] != '\t' && p[i] != '\n') || p[i] == 0x7f) {
			(void)snprintf(where, sizeof(where), "%s:%zu:%zu", file, line, col);
			return REFUSE_AT(REASON_MALFORMED, file, where, "byte 0x%02x", p[i]);
		}
		if (p[i] == '\n') {
			line++;
			col = 0;
		}
	}
	if (len && p[len - 1] != '\n') {
		(void)snprintf(where, sizeof(where), "%s:%zu:%zu", file, line, col);
		return REFUSE_AT(REASON_MALFORMED, file, where,
			"the last line has no end: is the file cut off?");
	}
	return 0;
}

int
quorum_parse(struct quorum **ret, const void *p, size_t len, const char *operand)
{
	SCOPED(quorum_freep) struct quorum *q = calloc(1, sizeof(*q));
	SCOPED(scope_free) char *copy = NULL;
	struct line l = { .file = operand, .number = 1 };
	char *end;
	int r;

	if (!q)
		return FAULT(-ENOMEM);
	if (len > QUORUM_BYTES_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "over %d bytes", QUORUM_BYTES_MAX);
	r = check_bytes(p, len, operand);
	if (r)
		return r;
	copy = calloc(1, len + 1);
	if (!copy)
		return FAULT(-ENOMEM);
	if (len)
		memcpy(copy, p, len);
	for (l.text = copy; (end = strchr(l.text, '\n')) != NULL; l.text = end + 1, l.number++) {
		*end = 0;
		r = take_line(q, &l);
		if (r)
			return FAULT(r);
	}
	l.n = 0;
	if (!q->has_root)
		return REFUSE_WORD(REASON_MALFORMED, &l, 0, "there is no line \"quorum NAME\"");
	*ret = STEAL(q);
	return 0;
}
