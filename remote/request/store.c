#include "remote/request/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/policy/policy.h"
#include "appliance/trust/envelope.h"

enum { FILE_BYTES_MAX = 8 * 1024 * 1024, NAME_BYTES = REQUEST_ID_MAX + 16, FORGOTTEN_BYTES = 8 };

static const char plan_only[] = "dry-run"; /* kind of a file; without one it is a request */
static const char forgotten[] = "forgotten"; /* the latest end of a request whose file is gone */

struct request_store {
	int dir_fd;
	struct request_item **items; /* in order of arrival; owned, as each item is */
	size_t n;
	uint64_t forgotten_us;
};

/* What a file holds; texts and objects are borrowed from the document while it is read. */
struct members {
	uint64_t v;
	json_t *envelope, *plan, *result, *ended, *permits, *touched, *limits;
	const char *kind, *state, *decision, *plan_text, *reason, *detail, *outcome, *narrowed_by;
	uint64_t mailbox, received_us, expires_us, plans, said;
	bool settled;
};

#define FIELD(n, m, k, o, x)                                                                       \
	{                                                                                          \
		.name = (n), .kind = (k), .optional = (o), .offset = offsetof(struct members, m),  \
		.max = (x)                                                                         \
	}

static const struct json_field fields[] = {
	FIELD("v", v, JSON_KIND_U64, false, 1),
	FIELD("envelope", envelope, JSON_KIND_OBJECT, false, 0),
	FIELD("kind", kind, JSON_KIND_TEXT, true, 8),
	FIELD("state", state, JSON_KIND_TEXT, false, 16),
	FIELD("mailbox", mailbox, JSON_KIND_U64, false, 0),
	FIELD("received", received_us, JSON_KIND_TIME, false, 0),
	FIELD("expires", expires_us, JSON_KIND_TIME, false, 0),
	FIELD("settled", settled, JSON_KIND_BOOL, false, 0),
	FIELD("decision", decision, JSON_KIND_TEXT, true, 8),
	FIELD("plan_text", plan_text, JSON_KIND_TEXT0, true, REQUEST_PLAN_TEXT_MAX),
	FIELD("plan", plan, JSON_KIND_OBJECT, true, 0),
	FIELD("result", result, JSON_KIND_OBJECT, true, 0),
	FIELD("ended", ended, JSON_KIND_OBJECT, true, 2),
	FIELD("permits", permits, JSON_KIND_ARRAY, true, POLICY_NEED_MAX),
	FIELD("touched", touched, JSON_KIND_ARRAY, true, REQUEST_TOUCHED_MAX),
	FIELD("narrowed_by", narrowed_by, JSON_KIND_TEXT, true, 64),
	FIELD("plans", plans, JSON_KIND_U64, true, UINT32_MAX),
	FIELD("said", said, JSON_KIND_U64, true, 0),
	FIELD("limits", limits, JSON_KIND_OBJECT, true, 3),
	FIELD("reason", reason, JSON_KIND_TEXT, true, 32),
	FIELD("detail", detail, JSON_KIND_TEXT0, true, 0),
	FIELD("outcome", outcome, JSON_KIND_TEXT, true, 32),
};

#define LIMIT(n)                                                                                   \
	{ .name = #n, .kind = JSON_KIND_U64, .offset = offsetof(struct request_limits, n) }

static const struct json_field limit_fields[] = { LIMIT(timeout_ms), LIMIT(memory), LIMIT(output) };

static struct request_item *
item_free(struct request_item *item)
{
	if (!item)
		return NULL;
	request_free(item->request);
	json_decref(item->envelope);
	json_decref(item->plan);
	json_decref(item->result);
	json_decref(item->ended);
	json_decref(item->permits);
	json_decref(item->touched);
	free(item->decision);
	free(item->plan_text);
	free(item->narrowed_by);
	free(item->waits);
	free(item->detail);
	free(item->outcome);
	free(item);
	return NULL;
}
SCOPED_DESTRUCTOR(struct request_item, item_free)

static void
file_name(char out[NAME_BYTES], const char *id)
{
	(void)snprintf(out, NAME_BYTES, "%s.json", id);
}

/* --- one file --------------------------------------------------------------------------------- */
static int
put_object(json_t *doc, const char *name, json_t *v)
{
	return v && json_object_set(doc, name, v) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
put_limits(json_t *doc, const struct request_limits *l)
{
	SCOPED_JSON *o = NULL;

	if (!l->timeout_ms && !l->memory && !l->output)
		return 0;
	o = json_pack("{s:I, s:I, s:I}", "timeout_ms", (json_int_t)l->timeout_ms, "memory",
		(json_int_t)l->memory, "output", (json_int_t)l->output);
	return o ? put_object(doc, "limits", o) : FAULT(-ENOMEM);
}

static int
encode(const struct request_item *item, struct buf *out)
{
	SCOPED_JSON *doc = json_pack("{s:i, s:b}", "v", 1, "settled", (int)item->settled);
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	r = put_object(doc, "envelope", item->envelope);
	r = r ?: put_object(doc, "plan", item->plan);
	r = r ?: put_object(doc, "result", item->result);
	r = r ?: put_object(doc, "ended", item->ended);
	r = r ?: put_object(doc, "permits", item->permits);
	r = r ?: put_object(doc, "touched", item->touched);
	r = r ?: put_limits(doc, &item->limits);
	if (!r && item->plan_only)
		r = json_put_text(doc, "kind", plan_only);
	r = r ?: json_put_text(doc, "state", request_flow_state_name(item->flow.state));
	r = r ?: json_put_u64(doc, "mailbox", item->mailbox);
	r = r ?: json_put_time(doc, "received", item->received_us);
	r = r ?: json_put_time(doc, "expires", item->flow.expires_us);
	r = r ?: json_put_text(doc, "decision", item->decision);
	r = r ?: json_put_text(doc, "plan_text", item->plan_text);
	if (!r && item->reason != REASON_NONE)
		r = json_put_text(doc, "reason", refuse_token(item->reason));
	r = r ?: json_put_text(doc, "detail", item->detail);
	r = r ?: json_put_text(doc, "narrowed_by", item->narrowed_by);
	r = r ?: json_put_u64(doc, "plans", item->plans);
	r = r ?: json_put_u64(doc, "said", item->said);
	r = r ?: json_put_text(doc, "outcome", item->outcome);
	return r ?: json_canonical(out, doc);
}

static int
copy_text(char **ret, const char *text)
{
	if (text && !(*ret = strdup(text)))
		return FAULT(-ENOMEM);
	return 0;
}

static int
fill(struct request_item *item, const struct members *m, const char *name)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int r = 0;

	if (m->kind && strcmp(m->kind, plan_only) != 0)
		return REFUSE(REASON_MALFORMED, name, "unknown kind");
	item->plan_only = m->kind != NULL;
	r = envelope_open_json(&e, item->plan_only ? MESSAGE_DRY_RUN : MESSAGE_REQUEST, m->envelope);
	r = r ?: request_from_envelope(&item->request, e);
	if (!r && m->limits)
		r = json_members(m->limits, limit_fields, ARRAY_LEN(limit_fields), &item->limits, name);
	if (r)
		return r;
	for (size_t i = 0; i < json_array_size(m->touched); i++)
		if (!json_is_string(json_array_get(m->touched, i)))
			return REFUSE(REASON_MALFORMED, name, "what it touches is no text");
	item->flow.state = request_flow_state_of(m->state);
	if (item->flow.state == FLOW_STATE_MAX)
		return REFUSE(REASON_MALFORMED, name, "unknown state");
	item->reason = m->reason ? refuse_reason(m->reason) : REASON_NONE;
	item->flow.expires_us = m->expires_us;
	item->mailbox = m->mailbox;
	item->received_us = m->received_us;
	item->settled = m->settled;
	item->plans = (unsigned)m->plans;
	item->said = m->said;
	item->envelope = json_incref(m->envelope);
	item->plan = json_incref(m->plan);
	item->result = json_incref(m->result);
	item->ended = json_incref(m->ended);
	item->permits = json_incref(m->permits);
	item->touched = json_incref(m->touched);
	r = copy_text(&item->decision, m->decision);
	r = r ?: copy_text(&item->plan_text, m->plan_text);
	r = r ?: copy_text(&item->detail, m->detail);
	r = r ?: copy_text(&item->narrowed_by, m->narrowed_by);
	return r ?: copy_text(&item->outcome, m->outcome);
}

static int
load(struct request_item **ret, int dir_fd, const char *name)
{
	SCOPED(item_freep) struct request_item *item = calloc(1, sizeof(*item));
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct members m = { 0 };
	char own[NAME_BYTES];
	int r;

	if (!item)
		return FAULT(-ENOMEM);
	r = fs_read(dir_fd, name, FILE_BYTES_MAX, &b);
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, name, "cannot be read");
	r = json_read_canonical(&doc, b.data, b.len, FILE_BYTES_MAX, name);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &m, name);
	r = r ?: fill(item, &m, name);
	if (r)
		return r;
	file_name(own, item->request->id);
	if (strcmp(own, name) != 0)
		return REFUSE(REASON_MALFORMED, name, "holds request %s", item->request->id);
	*ret = STEAL(item);
	return 0;
}

/* --- the folder ------------------------------------------------------------------------------- */
static int
append(struct request_store *s, struct request_item *item)
{
	struct request_item **items = reallocarray(s->items, s->n + 1, sizeof(*items));

	if (!items)
		return FAULT(-ENOMEM);
	s->items = items;
	s->items[s->n++] = item;
	return 0;
}

static int
load_one(struct request_store *s, const char *name)
{
	SCOPED(item_freep) struct request_item *item = NULL;
	char bad[NAME_BYTES + 4];
	int r = load(&item, s->dir_fd, name);

	if (r < 0)
		return r;
	if (r > 0) {
		/* Set aside, so that a person can look; the others must not wait for it. */
		(void)snprintf(bad, sizeof(bad), "%s.bad", name);
		log_error("requests/%s is damaged and set aside as %s", name, bad);
		return renameat(s->dir_fd, name, s->dir_fd, bad) < 0 ? FAULT(-errno) : 0;
	}
	r = append(s, item);
	if (!r)
		item = NULL;
	return r;
}

static int
by_arrival(const void *a, const void *b)
{
	const struct request_item *const *x = a, *const *y = b;

	if ((*x)->received_us != (*y)->received_us)
		return (*x)->received_us < (*y)->received_us ? -1 : 1;
	if ((*x)->mailbox != (*y)->mailbox)
		return (*x)->mailbox < (*y)->mailbox ? -1 : 1;
	return strcmp((*x)->request->id, (*y)->request->id);
}

static int
load_all(struct request_store *s)
{
	int fd = dup(s->dir_fd), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		r = FAULT(-errno);
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (strncmp(entry->d_name, ".tmp.", 5) == 0)
			(void)unlinkat(s->dir_fd, entry->d_name, 0); /* a save that power cut */
		else if (len > 5 && len < NAME_BYTES &&
			strcmp(entry->d_name + len - 5, ".json") == 0)
			r = load_one(s, entry->d_name);
	}
	closedir(dir);
	if (s->n > 1)
		qsort(s->items, s->n, sizeof(struct request_item *), by_arrival);
	return r;
}

static int
load_forgotten(struct request_store *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FORGOTTEN_BYTES);
	struct cursor c;
	int r = fs_read(s->dir_fd, forgotten, FORGOTTEN_BYTES, &b);

	if (r == REASON_NOT_FOUND)
		return 0;
	if (r < 0)
		return FAULT(r);
	c = CURSOR(b.data, b.len);
	s->forgotten_us = cursor_u64(&c);
	if (r == 0 && cursor_done(&c))
		return 0;
	log_error("requests/%s is damaged: requests that were forgotten count by their times alone", forgotten);
	s->forgotten_us = 0;
	return 0;
}

/* Two monitors would each run a request once. */
static int
hold(int dir_fd)
{
	if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? REFUSE(REASON_BUSY, "requests", "another monitor works on this state")
				    : FAULT(-errno);
}

int
request_store_open(struct request_store **ret, int monitor_fd)
{
	SCOPED(request_store_closep) struct request_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->dir_fd = -1;
	r = fs_open_dir(&s->dir_fd, monitor_fd, "requests", 0700);
	r = r ?: hold(s->dir_fd);
	r = r ?: load_forgotten(s);
	r = r ?: load_all(s);
	if (r)
		return r;
	*ret = STEAL(s);
	return 0;
}

struct request_store *
request_store_close(struct request_store *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++)
		item_free(s->items[i]);
	free(s->items);
	scope_close(&s->dir_fd);
	free(s);
	return NULL;
}

/* --- items ------------------------------------------------------------------------------------ */
static bool
is_over(const struct request_item *item)
{
	return item->flow.state == FLOW_STATE_DONE || item->flow.state == FLOW_STATE_REFUSED;
}

static size_t
index_of(const struct request_store *s, const struct request_item *item)
{
	size_t i = 0;

	while (i < s->n && s->items[i] != item)
		i++;
	return i;
}

int
request_store_save(struct request_store *s, struct request_item *item)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	char name[NAME_BYTES];
	int r = encode(item, &b);

	file_name(name, item->request->id);
	r = r ?: fs_replace(s->dir_fd, name, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}

int
request_store_remove(struct request_store *s, struct request_item *item)
{
	size_t i = index_of(s, item);
	char name[NAME_BYTES];

	file_name(name, item->request->id);
	if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	if (i < s->n)
		memmove(&s->items[i], &s->items[i + 1],
			(--s->n - i) * sizeof(struct request_item *));
	item_free(item);
	return 0;
}

/* No request that ends as early as this one counts again, whatever the clock says by then. */
static int
forget(struct request_store *s, uint64_t expires_us)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FORGOTTEN_BYTES);
	int r;

	if (expires_us <= s->forgotten_us)
		return 0;
	buf_u64(&b, expires_us);
	r = buf_error(&b);
	r = r ?: fs_replace(s->dir_fd, forgotten, b.data, b.len, 0600);
	if (r)
		return FAULT(r);
	s->forgotten_us = expires_us;
	return 0;
}

/* Room for one more: the oldest one that is over, handed over and past its own expiry goes. */
static int
make_room(struct request_store *s, const char *id, uint64_t date_us)
{
	if (s->n < REQUEST_KEPT_MAX)
		return 0;
	for (size_t i = 0; i < s->n; i++) {
		struct request_item *item = s->items[i];

		if (is_over(item) && item->settled && item->request->expires_us < date_us) {
			int r = forget(s, item->request->expires_us);

			return r ?: request_store_remove(s, item);
		}
	}
	return REFUSE(REASON_BUSY, id, "%d requests are kept, none of them has expired",
		REQUEST_KEPT_MAX);
}

/* Of this engineer, and not to be forgotten yet. */
static size_t
kept(const struct request_store *s, const char *engineer, uint64_t date_us)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->items[i]->request->expires_us >= date_us &&
			strcmp(s->items[i]->request->engineer, engineer) == 0;
	return n;
}

/* Its file could not be read: it may have run, and nobody knows. */
static bool
is_set_aside(const struct request_store *s, const char *id)
{
	char name[NAME_BYTES];

	(void)snprintf(name, sizeof(name), "%s.json.bad", id);
	return faccessat(s->dir_fd, name, F_OK, 0) == 0;
}

int
request_store_add(struct request_store *s, struct request *take_r, const struct envelope *e,
	uint64_t mailbox, uint64_t now_us, uint64_t date_us, struct request_item **ret_item)
{
	SCOPED(request_freep) struct request *q = take_r;
	SCOPED(item_freep) struct request_item *item = NULL;
	int r;

	if (request_store_find(s, q->id))
		return REFUSE(REASON_REPLAYED, q->id, "a request of this id was here before");
	if (is_set_aside(s, q->id))
		return REFUSE(REASON_REPLAYED, q->id,
			"a request of this id was here, and its file is damaged: it may have run");
	if (q->expires_us <= s->forgotten_us)
		return REFUSE(REASON_REPLAYED, q->id,
			"it ends before others that are not remembered here any more: it may be one of them");
	if (request_store_pending(s, NULL) >= REQUEST_PENDING_MAX)
		return REFUSE(REASON_BUSY, q->id, "%d requests are pending here",
			REQUEST_PENDING_MAX);
	if (request_store_pending(s, q->engineer) >= REQUEST_PENDING_ENGINEER_MAX)
		return REFUSE(REASON_BUSY, q->id, "%d requests of %s are pending here",
			REQUEST_PENDING_ENGINEER_MAX, q->engineer);
	if (kept(s, q->engineer, date_us) >= REQUEST_KEPT_ENGINEER_MAX)
		return REFUSE(REASON_BUSY, q->id, "%d requests of %s are kept that have not expired",
			REQUEST_KEPT_ENGINEER_MAX, q->engineer);
	r = make_room(s, q->id, date_us);
	if (r)
		return r;
	item = calloc(1, sizeof(*item));
	if (!item)
		return FAULT(-ENOMEM);
	item->request = STEAL(q);
	item->flow.expires_us = item->request->expires_us;
	item->envelope = json_incref(e->text);
	item->plan_only = e->type == MESSAGE_DRY_RUN;
	item->mailbox = mailbox;
	item->received_us = now_us;
	r = append(s, item);
	r = r ?: request_store_save(s, item);
	if (r) {
		if (s->n > 0 && s->items[s->n - 1] == item)
			s->n--;
		return r;
	}
	*ret_item = STEAL(item);
	return 0;
}

bool
request_store_delivered(const struct request_store *s, uint64_t mailbox, const uint8_t digest[32])
{
	for (size_t i = 0; mailbox > 0 && i < s->n; i++)
		if (s->items[i]->mailbox == mailbox
			&& memcmp(s->items[i]->request->digest, digest, 32) == 0)
			return true;
	return false;
}

bool
request_store_nonce_used(const struct request_store *s, const char *id,
	const uint8_t nonce[REQUEST_NONCE_BYTES])
{
	for (size_t i = 0; i < s->n; i++) {
		const struct request *q = s->items[i]->request;

		if (strcmp(q->id, id) != 0 && memcmp(q->nonce, nonce, REQUEST_NONCE_BYTES) == 0)
			return true;
	}
	return false;
}

struct request_item *
request_store_find(const struct request_store *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->items[i]->request->id, id) == 0)
			return s->items[i];
	return NULL;
}

size_t
request_store_count(const struct request_store *s)
{
	return s->n;
}

struct request_item *
request_store_at(const struct request_store *s, size_t i)
{
	return i < s->n ? s->items[i] : NULL;
}

size_t
request_store_pending(const struct request_store *s, const char *engineer)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!is_over(s->items[i])
			&& (!engineer || strcmp(s->items[i]->request->engineer, engineer) == 0))
			n++;
	return n;
}
