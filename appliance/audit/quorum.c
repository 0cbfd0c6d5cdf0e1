#include "appliance/audit/quorum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/audit/quorum_room.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

enum { VKEY_TEXT_MAX = NOTE_NAME_MAX + 64 };

struct quorum *
quorum_free(struct quorum *q)
{
	free(q);
	return NULL;
}

int
quorum_single(struct quorum **ret, const char *name, const struct note_key *witness)
{
	struct quorum *q = calloc(1, sizeof(*q));

	if (!q)
		return FAULT(-ENOMEM);
	(void)snprintf(q->nodes[0].name, sizeof(q->nodes[0].name), "%s", name);
	(void)snprintf(q->witnesses[0].name, sizeof(q->witnesses[0].name), "%s", name);
	q->witnesses[0].key = *witness;
	q->n_witnesses = q->n_nodes = 1;
	q->has_root = true;
	*ret = q;
	return 0;
}

/* --- asking ----------------------------------------------------------------------------------------- */
size_t
quorum_n_logs(const struct quorum *q)
{
	return q->n_logs;
}

const struct note_key *
quorum_log(const struct quorum *q, size_t i)
{
	return &q->logs[i].key;
}

size_t
quorum_n_witnesses(const struct quorum *q)
{
	return q->n_witnesses;
}

const struct quorum_witness *
quorum_witness(const struct quorum *q, size_t i)
{
	return &q->witnesses[i];
}

static void
put_key(struct buf *out, const char *before, const struct note_key *key, const char *url)
{
	buf_puts(out, before);
	note_key_text(out, key);
	buf_printf(out, "%s%s\n", url[0] ? " " : "", url);
}

void
quorum_text(struct buf *out, const struct quorum *q)
{
	for (size_t i = 0; i < q->n_logs; i++)
		put_key(out, "log ", &q->logs[i].key, q->logs[i].url);
	for (size_t i = 0; i < q->n_nodes; i++) {
		const struct quorum_node *n = &q->nodes[i];

		if (!n->is_group) {
			buf_printf(out, "witness %s ", n->name);
			put_key(out, "", &q->witnesses[n->witness].key,
				q->witnesses[n->witness].url);
			continue;
		}
		buf_printf(out, "group %s %zu", n->name, n->k);
		for (size_t m = 0; m < n->n; m++)
			buf_printf(out, " %s", q->nodes[n->members[m]].name);
		buf_u8(out, '\n');
	}
	buf_printf(out, "quorum %s\n", q->root == QUORUM_NONE ? "none" : q->nodes[q->root].name);
}

/* --- judging a note --------------------------------------------------------------------------------- */
int
quorum_check(const struct quorum *q, const struct note *note, struct quorum_verdict *ret)
{
	bool witnessed[QUORUM_NODES_MAX] = { 0 };

	*ret = (struct quorum_verdict){ 0 };
	for (size_t i = 0; i < q->n_witnesses; i++) {
		const struct note_key *key = &q->witnesses[i].key;
		int r = note_has(note, key) ? note_verify(note, key, &ret->time_s[i]) : 0;

		if (r)
			return FAULT(r);
		ret->cosigned[i] = note_has(note, key);
	}
	/* Members stand before their groups. */
	for (size_t i = 0; i < q->n_nodes; i++) {
		const struct quorum_node *n = &q->nodes[i];
		size_t have = 0;

		for (size_t m = 0; m < n->n; m++)
			have += witnessed[n->members[m]];
		witnessed[i] = n->is_group ? have >= n->k : ret->cosigned[n->witness];
	}
	ret->met = q->root == QUORUM_NONE || witnessed[q->root];
	return 0;
}

static const char *
quorum_name(const struct quorum *q)
{
	return q->root == QUORUM_NONE ? "none" : q->nodes[q->root].name;
}

static json_t *
witness_json(const struct quorum *q, const struct quorum_verdict *v, size_t i)
{
	SCOPED(buf_done) struct buf key = BUF_MAX(VKEY_TEXT_MAX);
	const struct quorum_witness *w = &q->witnesses[i];
	SCOPED_JSON *o = json_object();
	char name[4 * NOTE_NAME_MAX], text[4 * VKEY_TEXT_MAX];
	int r = o ? 0 : -ENOMEM;

	note_key_text(&key, &w->key);
	r = r ?: buf_error(&key);
	/* Names are bytes, JSON is UTF-8. */
	r = r ?: json_put_text(o, "name", log_escape(name, sizeof(name), w->name));
	r = r ?: json_put_text(o, "key", log_escape(text, sizeof(text), buf_text(&key)));
	r = r ?: json_put_text(o, "url", w->url);
	r = r ?: json_object_set_new(o, "cosigned", json_boolean(v->cosigned[i]));
	if (r == 0 && v->cosigned[i] && v->time_s[i] < UINT64_MAX / CLOCK_US_PER_S)
		r = json_put_time(o, "time", v->time_s[i] * CLOCK_US_PER_S);
	return r ? NULL : STEAL(o);
}

json_t *
quorum_json(const struct quorum *q, const struct quorum_verdict *v)
{
	char name[4 * NOTE_NAME_MAX];
	SCOPED_JSON *o = json_pack("{s:b, s:s, s:[]}", "met", v->met, "quorum",
		log_escape(name, sizeof(name), quorum_name(q)), "witnesses");

	for (size_t i = 0; o && i < q->n_witnesses; i++)
		if (json_array_append_new(json_object_get(o, "witnesses"), witness_json(q, v, i)))
			return NULL;
	return STEAL(o);
}

void
quorum_missing(struct buf *out, const json_t *quorum)
{
	const json_t *w;
	size_t i;

	json_array_foreach(json_object_get(quorum, "witnesses"), i, w)
		if (!json_is_true(json_object_get(w, "cosigned")))
			buf_printf(out, " %s", json_text(w, "name"));
}

int
quorum_require(const json_t *quorum, const char *operand)
{
	SCOPED(buf_done) struct buf missing = BUF_MAX(QUORUM_BYTES_MAX);

	if (!quorum || json_is_true(json_object_get(quorum, "met")))
		return 0;
	quorum_missing(&missing, quorum);
	return REFUSE(REASON_THRESHOLD, operand, "quorum %s is not met: not cosigned by%s",
		json_text(quorum, "quorum"), buf_text(&missing));
}
