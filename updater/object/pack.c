#include "updater/object/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

static const char operand[] = PACK_LIST_FILE;

/* --- building ----------------------------------------------------------------------------------------------- */
int
pack_list_new(struct pack_list **ret, const char *service, const char *version)
{
	struct pack_list *l = calloc(1, sizeof(*l));

	if (!l)
		return FAULT(-ENOMEM);
	(void)snprintf(l->service, sizeof(l->service), "%s", service);
	(void)snprintf(l->version, sizeof(l->version), "%s", version);
	*ret = l;
	return 0;
}

struct pack_list *
pack_list_free(struct pack_list *l)
{
	if (!l)
		return NULL;
	free(l->members);
	free(l->by_to);
	free(l);
	return NULL;
}

int
pack_list_pack(struct pack_list *l)
{
	if (l->n_packs == PACK_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "more than %d packs", PACK_MAX);
	l->packs[l->n_packs++] = (struct pack){ 0 };
	return 0;
}

int
pack_list_add(struct pack_list *l, const uint8_t to[32], const uint8_t *from, uint64_t length)
{
	struct pack *pack = &l->packs[l->n_packs - 1];
	struct pack_member *m;

	if (l->n_members == PACK_MEMBERS_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "more than %d members", PACK_MEMBERS_MAX);
	if (length > PACK_BYTES_MAX - pack->size)
		return REFUSE(REASON_TOO_LARGE, operand, "a pack of more than %llu bytes",
			(unsigned long long)PACK_BYTES_MAX);
	/* Room doubles at each power of two. */
	if ((l->n_members & (l->n_members - 1)) == 0) {
		struct pack_member *more = reallocarray(l->members,
			l->n_members ? 2 * l->n_members : 1, sizeof(*more));

		if (!more)
			return FAULT(-ENOMEM);
		l->members = more;
	}
	m = &l->members[l->n_members++];
	*m = (struct pack_member){
		.patch = from != NULL,
		.pack = (unsigned)(l->n_packs - 1),
		.at = pack->size,
		.length = length,
	};
	memcpy(m->to, to, sizeof(m->to));
	if (from)
		memcpy(m->from, from, sizeof(m->from));
	pack->size += length;
	return 0;
}

bool
pack_list_has(const struct pack_list *l, const uint8_t to[32], const uint8_t *from)
{
	for (size_t i = 0; i < l->n_members; i++) {
		const struct pack_member *m = &l->members[i];

		if (memcmp(m->to, to, sizeof(m->to)) == 0 && m->patch == (from != NULL) &&
			(!from || memcmp(m->from, from, sizeof(m->from)) == 0))
			return true;
	}
	return false;
}

static json_t *
member_json(const struct pack_member *m)
{
	char to[65], from[65] = "";

	hex_encode(to, m->to, sizeof(m->to));
	if (m->patch)
		hex_encode(from, m->from, sizeof(m->from));
	return json_pack("[s,s,I]", to, from, (json_int_t)m->length);
}

int
pack_list_write(const struct pack_list *l, struct buf *out)
{
	SCOPED_JSON *doc = json_pack("{s:i,s:s,s:s,s:[]}", "v", 1, "service", l->service, "version",
		l->version, "packs");
	json_t *packs = json_object_get(doc, "packs");

	for (size_t i = 0, at = 0; i < l->n_packs; i++) {
		json_t *pack = json_object(), *members = json_array();
		int r = json_array_append_new(packs, pack);

		r = json_put_hex(pack, "sha256", l->packs[i].sha256, 32) < 0 ? -1 : r;
		r = json_put_u64(pack, "size", l->packs[i].size) < 0 ? -1 : r;
		r = json_object_set_new(pack, "members", members) < 0 ? -1 : r;
		for (; r == 0 && at < l->n_members && l->members[at].pack == i; at++)
			r = json_array_append_new(members, member_json(&l->members[at]));
		if (r < 0)
			return FAULT(-ENOMEM);
	}
	return json_canonical(out, doc);
}

/* --- reading ------------------------------------------------------------------------------------------------ */
struct document {
	uint64_t v;
	const char *service, *version;
	const json_t *packs;
};

static const struct json_field document_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct document, v), 1 },
	{ "service", JSON_KIND_TEXT, false, offsetof(struct document, service), 64 },
	{ "version", JSON_KIND_TEXT, false, offsetof(struct document, version), 64 },
	{ "packs", JSON_KIND_ARRAY, false, offsetof(struct document, packs), PACK_MAX },
};

struct one {
	uint8_t sha256[32];
	uint64_t size;
	const json_t *members;
};

static const struct json_field one_fields[] = {
	{ "sha256", JSON_KIND_SHA256, false, offsetof(struct one, sha256), 0 },
	{ "size", JSON_KIND_U64, false, offsetof(struct one, size), PACK_BYTES_MAX },
	{ "members", JSON_KIND_ARRAY, false, offsetof(struct one, members), PACK_MEMBERS_MAX },
};

static int
read_member(struct pack_list *l, const json_t *m)
{
	const char *to = json_string_value(json_array_get(m, 0));
	const char *from = json_string_value(json_array_get(m, 1));
	const json_t *length = json_array_get(m, 2);
	uint8_t a[32], b[32];

	if (json_array_size(m) != 3 || !to || !from || !hex_decode(a, sizeof(a), to) ||
		(from[0] && !hex_decode(b, sizeof(b), from)) || !json_is_integer(length) ||
		json_integer_value(length) <= 0)
		return REFUSE(REASON_MALFORMED, operand,
			"member %zu is not [HEX, HEX or \"\", LENGTH]", l->n_members);
	return pack_list_add(l, a, from[0] ? b : NULL, (uint64_t)json_integer_value(length));
}

static int
read_pack(struct pack_list *l, const json_t *doc)
{
	struct one one;
	const json_t *m;
	size_t i;
	int r = json_members(doc, one_fields, ARRAY_LEN(one_fields), &one, operand);

	r = r ?: pack_list_pack(l);
	if (r)
		return r;
	json_array_foreach(one.members, i, m)
	{
		r = read_member(l, m);
		if (r)
			return r;
	}
	memcpy(l->packs[l->n_packs - 1].sha256, one.sha256, sizeof(one.sha256));
	if (l->packs[l->n_packs - 1].size != one.size)
		return REFUSE(REASON_MALFORMED, operand, "the members of pack %zu do not fill it",
			l->n_packs - 1);
	return 0;
}

/* By what comes out, patches by their bases behind the object itself. */
static int
by_member(const void *a, const void *b)
{
	const struct pack_member *x = *(struct pack_member *const *)a,
				 *y = *(struct pack_member *const *)b;
	int r = memcmp(x->to, y->to, sizeof(x->to));

	return r ?: memcmp(x->from, y->from, sizeof(x->from));
}

static int
sort_members(struct pack_list *l)
{
	l->by_to = calloc(l->n_members + 1, sizeof(struct pack_member *));
	if (!l->by_to)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < l->n_members; i++)
		l->by_to[i] = &l->members[i];
	qsort(l->by_to, l->n_members, sizeof(struct pack_member *), by_member);
	for (size_t i = 1; i < l->n_members; i++) {
		char hex[65];

		if (by_member(&l->by_to[i - 1], &l->by_to[i]) == 0)
			return REFUSE(REASON_CONFLICT, hex_encode(hex, l->by_to[i]->to, 32),
				"stands twice in the packs");
	}
	return 0;
}

int
pack_list_read(struct pack_list **ret, const void *p, size_t len)
{
	SCOPED(pack_list_freep) struct pack_list *l = NULL;
	SCOPED_JSON *doc = NULL;
	struct document d;
	const json_t *pack;
	size_t i;
	int r = json_read_canonical(&doc, p, len, PACK_LIST_MAX, operand);

	r = r ?: json_members(doc, document_fields, ARRAY_LEN(document_fields), &d, operand);
	if (!r && d.v != 1)
		r = REFUSE(REASON_MALFORMED, operand, "version %llu", (unsigned long long)d.v);
	r = r ?: pack_list_new(&l, d.service, d.version);
	if (r)
		return r;
	json_array_foreach(d.packs, i, pack)
	{
		r = read_pack(l, pack);
		if (r)
			return r;
	}
	r = sort_members(l);
	if (r)
		return r;
	*ret = STEAL(l);
	return 0;
}

/* --- choosing ----------------------------------------------------------------------------------------------- */
/* The first of an object's members in by_to. */
static size_t
first_of(const struct pack_list *l, const uint8_t to[32])
{
	size_t low = 0, high = l->n_members;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(l->by_to[middle]->to, to, 32) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct pack_member *
pack_choose(const struct pack_list *l, const uint8_t to[32], const struct pack_ask *ask)
{
	const struct pack_member *best = NULL;

	for (size_t i = first_of(l, to); i < l->n_members && memcmp(l->by_to[i]->to, to, 32) == 0; i++) {
		const struct pack_member *m = l->by_to[i];

		if (m->patch && (!ask->held(m->from, ask->arg) || ask->spoilt(m->from, to, ask->arg)))
			continue;
		if (!best || m->length < best->length)
			best = m;
	}
	return best;
}
