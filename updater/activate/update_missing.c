#include "updater/activate/update.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/service/definition.h"
#include "appliance/trust/sha256.h"
#include "appliance/tree/beneath.h"
#include "updater/activate/came.h"
#include "updater/activate/stage.h"
#include "updater/activate/stored.h"
#include "updater/fetch/fetch_wire.h"
#include "updater/object/object.h"
#include "updater/object/pack.h"
#include "updater/object/patch.h"

enum { COMPRESSED_MORE = 1024 }; /* what a compressed file may be larger than a 256th more than its bytes */

/* What is missing of one release. */
struct asking {
	int objects_fd; /* of incoming/; -1: none */
	struct came came;
	struct stored *stored;
	const struct tree_entry **files; /* that are missing; each digest once */
	size_t n_files;
	bool definition; /* is missing */
	struct pack_list *packs; /* NULL: none */
	const struct pack_member **chosen; /* out of packs */
	size_t n_chosen;
};

static void
asking_done(struct asking *a)
{
	scope_close(&a->objects_fd);
	came_done(&a->came);
	stored_free(a->stored);
	free(a->files);
	pack_list_free(a->packs);
	free(a->chosen);
}

/* --- what is here ------------------------------------------------------------------------------------------------ */
static bool
is_held(const uint8_t sha256[32], void *arg)
{
	const struct asking *a = arg;

	return stored_find(a->stored, sha256, 0) && !came_file_marked(&a->came, sha256);
}

static bool
is_spoilt(const uint8_t from[32], const uint8_t to[32], void *arg)
{
	const struct asking *a = arg;

	return came_patch_marked(&a->came, from, to);
}

/* In the store, or here as an object, or as a patch of something in the store. */
static bool
is_here(struct asking *a, const uint8_t sha256[32])
{
	const struct came_patch *p;
	size_t n;

	if (is_held(sha256, a) || (a->objects_fd >= 0 && object_exists(a->objects_fd, sha256)))
		return true;
	for (p = came_find(&a->came, sha256, &n); n > 0; n--, p++)
		if (is_held(p->from, a))
			return true;
	return false;
}

static int
by_digest(const void *a, const void *b)
{
	const struct tree_entry *const *x = a, *const *y = b;

	return memcmp((*x)->sha256, (*y)->sha256, SHA256_LEN);
}

static int
list_missing(struct asking *a, const struct tree_index *x)
{
	size_t n = 0;

	a->files = calloc(x->n_entries + 1, sizeof(*a->files));
	if (!a->files)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < x->n_entries; i++)
		if (x->entries[i].type == TREE_TYPE_FILE)
			a->files[n++] = &x->entries[i];
	qsort(a->files, n, sizeof(*a->files), by_digest);
	for (size_t i = 0; i < n; i++)
		if ((i == 0 || by_digest(&a->files[i - 1], &a->files[i]) != 0) && !is_here(a, a->files[i]->sha256))
			a->files[a->n_files++] = a->files[i];
	a->definition = a->objects_fd < 0 || !object_exists(a->objects_fd, x->definition);
	return 0;
}

static int
look(struct asking *a, struct update *u, const struct update_release *rel)
{
	SCOPED(scope_close) int patches = beneath_open(u->incoming_fd, "patches", O_RDONLY | O_DIRECTORY, 0);
	int r;

	a->objects_fd = beneath_open(u->incoming_fd, "objects", O_RDONLY | O_DIRECTORY, 0);
	r = came_read(&a->came, patches);
	r = r ?: stored_read(&a->stored, u->store_fd, rel->tree->service);
	return r ?: list_missing(a, rel->tree);
}

/* --- how to get it ------------------------------------------------------------------------------------------------ */
static int
want_object(json_t *missing, const uint8_t sha256[32], uint64_t size, uint64_t *bytes)
{
	uint64_t cap = size + size / 256 + COMPRESSED_MORE;
	char hex[65];

	*bytes += size;
	return json_array_append_new(missing,
		       json_pack("[s,I]", hex_encode(hex, sha256, 32), (json_int_t)cap)) < 0
		? FAULT(-ENOMEM)
		: 0;
}

/* The list of packs.  *ret_wanted: it has not come, and is asked for. */
static int
read_packs(struct asking *a, struct update *u, const struct update_release *rel, bool *ret_wanted)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PACK_LIST_MAX);
	int r;

	*ret_wanted = false;
	if (!rel->has_packs || memcmp(u->no_packs, rel->packs, sizeof(rel->packs)) == 0 || stage_packs_spoilt(a->objects_fd))
		return 0;
	*ret_wanted = a->objects_fd < 0 || !object_exists(a->objects_fd, rel->packs);
	if (*ret_wanted)
		return 0;
	r = object_get(a->objects_fd, rel->packs, PACK_LIST_MAX, &b);
	r = r ?: pack_list_read(&a->packs, b.data, b.len);
	if (r > 0) /* logged; the objects come one by one */
		memcpy(u->no_packs, rel->packs, sizeof(u->no_packs));
	return r > 0 ? 0 : r;
}

static int
by_place(const void *a, const void *b)
{
	const struct pack_member *const *x = a, *const *y = b;

	if ((*x)->pack != (*y)->pack)
		return (*x)->pack < (*y)->pack ? -1 : 1;
	return ((*x)->at > (*y)->at) - ((*x)->at < (*y)->at);
}

static int
choose(struct asking *a, json_t *missing, size_t max, uint64_t *bytes)
{
	const struct pack_ask ask = { .held = is_held, .spoilt = is_spoilt, .arg = a };
	int r = 0;

	a->chosen = calloc(a->n_files + 1, sizeof(*a->chosen));
	if (!a->chosen)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < a->n_files && r == 0; i++) {
		const struct pack_member *m = a->packs ? pack_choose(a->packs, a->files[i]->sha256, &ask) : NULL;

		if (m)
			a->chosen[a->n_chosen++] = m;
		else if (json_array_size(missing) < max)
			r = want_object(missing, a->files[i]->sha256, a->files[i]->size, bytes);
	}
	qsort(a->chosen, a->n_chosen, sizeof(*a->chosen), by_place);
	return r;
}

static json_t *
member_json(const struct pack_member *m)
{
	char name[PATCH_NAME_MAX], hex[65];

	if (!m->patch)
		return json_pack("[s,I]", hex_encode(hex, m->to, 32), (json_int_t)m->length);
	patch_name(name, m->from, m->to);
	name[129] = '\0'; /* without its ending */
	return json_pack("[s,I]", name, (json_int_t)m->length);
}

/* Neighbours in one request: a small gap is fetched along, for it costs less than another one. */
static int
want_ranges(const struct asking *a, json_t *ranges, size_t max, uint64_t *bytes)
{
	const struct pack_member *last = NULL;
	json_t *members = NULL;
	int r = 0;

	for (size_t i = 0; i < a->n_chosen && i < FETCH_WIRE_MEMBERS_MAX && r == 0; i++) {
		const struct pack_member *m = a->chosen[i];
		uint64_t gap = last ? m->at - (last->at + last->length) : 0;

		if (!last || last->pack != m->pack || gap > PACK_GAP) {
			char hex[65];

			if (json_array_size(ranges) >= max)
				break;
			hex_encode(hex, a->packs->packs[m->pack].sha256, 32);
			members = json_array();
			r = json_array_append_new(ranges,
				json_pack("{s:s,s:I,s:o}", "pack", hex, "at", (json_int_t)m->at, "members", members));
			gap = 0;
		}
		if (r == 0 && gap > 0)
			r = json_array_append_new(members, json_pack("[s,I]", "", (json_int_t)gap));
		r = r ?: json_array_append_new(members, member_json(m));
		*bytes += gap + m->length;
		last = m;
	}
	return r < 0 ? FAULT(-ENOMEM) : 0;
}

int
update_missing(struct update *u, const struct update_release *rel, json_t *missing, json_t *ranges, size_t max,
	uint64_t *ret_bytes)
{
	SCOPED(asking_done) struct asking a = { .objects_fd = -1, .came = { .fd = -1 } };
	uint64_t bytes = 0;
	bool wanted = false;
	struct stat st;
	int r;

	if (fstatat(u->store_fd, rel->hex, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0; /* staged: nothing more is needed */
	r = look(&a, u, rel);
	if (r == 0 && ranges && a.n_files > 0)
		r = read_packs(&a, u, rel, &wanted);
	if (r == 0 && wanted)
		return want_object(missing, rel->packs, PACK_LIST_MAX, &bytes);
	if (r == 0 && a.definition && json_array_size(missing) < max)
		r = want_object(missing, rel->tree->definition, DEFINITION_BYTES_MAX, &bytes);
	r = r ?: choose(&a, missing, max, &bytes);
	if (r == 0 && ranges)
		r = want_ranges(&a, ranges, max, &bytes);
	if (ret_bytes)
		*ret_bytes = bytes;
	return r;
}
