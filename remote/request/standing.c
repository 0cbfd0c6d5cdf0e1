#include "remote/request/standing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sshsig.h"

enum { FILE_BYTES_MAX = 8 * 1024 * 1024 };

static const char file[] = "standing.json";

struct standing {
	int dir_fd; /* borrowed */
	struct standing_permit *items;
	size_t n;
};

static void
item_done(struct standing_permit *p)
{
	free(p->text);
	free(p->sig);
	*p = (struct standing_permit){ 0 };
}

/* --- the form ------------------------------------------------------------------------------------- */
static int
fill(struct standing_permit *p, const char *text, size_t len, const char *sig, unsigned used)
{
	p->used = used;
	p->text = strndup(text, len);
	p->sig = strdup(sig);
	return p->text && p->sig ? permit_split(&p->permit, &p->plan_len, text, len)
				 : FAULT(-ENOMEM);
}

static int
read_item(struct standing_permit *ret, const json_t *obj)
{
	struct parts {
		const char *text, *sig;
		uint64_t used;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "text", JSON_KIND_TEXT0, .offset = offsetof(struct parts, text),
			.max = PERMIT_TEXT_MAX },
		{ "sig", JSON_KIND_TEXT0, .offset = offsetof(struct parts, sig),
			.max = SSHSIG_ARMOUR_MAX },
		{ "used", JSON_KIND_U64, .offset = offsetof(struct parts, used),
			.max = PERMIT_USES_MAX },
	};
	int r = json_members(obj, fields, ARRAY_LEN(fields), &in, file);

	return r ?: fill(ret, in.text, strlen(in.text), in.sig, (unsigned)in.used);
}

static int
save(const struct standing *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *items = json_array(), *doc = NULL;
	int r;

	for (size_t i = 0; i < s->n; i++)
		if (json_array_append_new(items,
			    json_pack("{s:s, s:s, s:i}", "text", s->items[i].text, "sig",
				    s->items[i].sig, "used", (int)s->items[i].used)) < 0)
			return FAULT(-ENOMEM);
	doc = json_pack("{s:i, s:O}", "v", 1, "items", items);
	r = json_canonical(&b, doc);
	return FAULT(r ?: fs_replace(s->dir_fd, file, b.data, b.len, 0600));
}

static int
load(struct standing *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	struct parts {
		uint64_t v;
		json_t *items;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v), .max = 1 },
		{ "items", JSON_KIND_ARRAY, .offset = offsetof(struct parts, items),
			.max = STANDING_MAX },
	};
	SCOPED_JSON *doc = NULL;
	int r = fs_read(s->dir_fd, file, FILE_BYTES_MAX, &b);

	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_read_canonical(&doc, b.data, b.len, FILE_BYTES_MAX, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, file);
	for (size_t i = 0; r == 0 && i < json_array_size(in.items); i++) {
		r = read_item(&s->items[s->n], json_array_get(in.items, i));
		if (r)
			item_done(&s->items[s->n]);
		else
			s->n++;
	}
	if (r <= 0)
		return FAULT(r);
	log_error("%s is damaged: no standing permit counts", file);
	while (s->n > 0)
		item_done(&s->items[--s->n]);
	return 0;
}

/* --- the store ------------------------------------------------------------------------------------ */
int
standing_open(struct standing **ret, int monitor_fd)
{
	SCOPED(standing_closep) struct standing *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->dir_fd = monitor_fd;
	s->items = calloc(STANDING_MAX, sizeof(*s->items));
	if (!s->items)
		return FAULT(-ENOMEM);
	r = load(s);
	if (r)
		return r;
	*ret = STEAL(s);
	return 0;
}

struct standing *
standing_close(struct standing *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++)
		item_done(&s->items[i]);
	free(s->items);
	free(s);
	return NULL;
}

static void
drop(struct standing *s, size_t i)
{
	item_done(&s->items[i]);
	memmove(&s->items[i], &s->items[i + 1], (--s->n - i) * sizeof(s->items[0]));
}

int
standing_add(struct standing *s, const struct permit *permit, const char *text, size_t len,
	const char *sig, uint64_t now_us)
{
	SCOPED(item_done) struct standing_permit p = { 0 };
	int r;

	if (standing_find(s, permit->id))
		return REFUSE(REASON_REPLAYED, permit->id, "this permit is here already");
	for (size_t i = s->n; i-- > 0;)
		if (s->items[i].permit.expires <= now_us ||
			s->items[i].used >= s->items[i].permit.uses)
			drop(s, i);
	if (s->n == STANDING_MAX)
		return REFUSE(REASON_BUSY, permit->id,
			"%d standing permits are kept; `mainstay requests revoke` one", STANDING_MAX);
	r = fill(&p, text, len, sig, 1);
	if (r)
		return FAULT(r);
	s->items[s->n++] = p;
	p = (struct standing_permit){ 0 };
	r = save(s);
	if (r)
		drop(s, s->n - 1);
	return r;
}

int
standing_use(struct standing *s, struct standing_permit *p)
{
	int r;

	if (p->used >= p->permit.uses)
		return REFUSE(REASON_REPLAYED, p->permit.id, "all %u uses are used",
			p->permit.uses);
	p->used++;
	r = save(s);
	if (r)
		p->used--;
	return r;
}

int
standing_remove(struct standing *s, struct standing_permit *p)
{
	drop(s, (size_t)(p - s->items));
	return save(s);
}

struct standing_permit *
standing_find(struct standing *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->items[i].permit.id, id) == 0)
			return &s->items[i];
	return NULL;
}

size_t
standing_count(const struct standing *s)
{
	return s->n;
}

struct standing_permit *
standing_at(struct standing *s, size_t i)
{
	return i < s->n ? &s->items[i] : NULL;
}
