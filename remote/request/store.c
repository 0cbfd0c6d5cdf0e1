#include "remote/request/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/trust/envelope.h"
#include "remote/request/item_file.h"
#include "remote/request/proven_file.h"

/* The latest end of a request whose file is gone: u64. */
static const char forgotten[] = "forgotten";

enum { FORGOTTEN_BYTES = 8 };

struct request_store {
	int dir_fd;
	struct request_item **items; /* in order of arrival; owned, as each item is */
	size_t n;
	uint64_t forgotten_us; /* UINT64_MAX: the file was damaged, and nobody knows when that was */
};

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
	SCOPED(item_file_freep) struct request_item *item = NULL;
	char bad[ITEM_FILE_NAME_BYTES + 4];
	int r = item_file_read(&item, s->dir_fd, name);

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
	SCOPED(scope_closedir) DIR *dir = NULL;
	const struct dirent *entry;
	int r;

	(void)fs_sweep(s->dir_fd, 0); /* saves that power cut */
	r = fs_entries(&dir, s->dir_fd);
	if (r < 0)
		return FAULT(r);
	while (errno = 0, (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (len <= 5 || len >= ITEM_FILE_NAME_BYTES || strcmp(entry->d_name + len - 5, ".json") != 0)
			continue;
		r = load_one(s, entry->d_name);
		if (r)
			return r;
	}
	if (errno)
		return FAULT(-errno);
	if (s->n > 1)
		qsort(s->items, s->n, sizeof(struct request_item *), by_arrival);
	return 0;
}

static int
save_forgotten(struct request_store *s, uint64_t us)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FORGOTTEN_BYTES + SHA256_LEN);
	int r;

	buf_u64(&b, us);
	r = proven_file_write(s->dir_fd, forgotten, &b);
	if (r)
		return FAULT(r);
	s->forgotten_us = us;
	return 0;
}

/* What goes to make room is over by then: all of it ended before now. */
static int
forget_all(struct request_store *s, uint64_t now_us)
{
	log_error("requests/%s is damaged and set aside as %s.bad: no request that ends by now counts", forgotten, forgotten);
	return save_forgotten(s, now_us ?: UINT64_MAX);
}

static int
load_forgotten(struct request_store *s, uint64_t now_us)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FORGOTTEN_BYTES + SHA256_LEN);
	struct cursor c;
	int r = proven_file_read(&b, s->dir_fd, forgotten, FORGOTTEN_BYTES, 0, 0);

	if (r == REASON_HASH_MISMATCH)
		return forget_all(s, now_us);
	if (r)
		return r == REASON_NOT_FOUND ? 0 : r;
	c = CURSOR(b.data, b.len);
	s->forgotten_us = cursor_u64(&c);
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
request_store_open(struct request_store **ret, int monitor_fd, uint64_t now_us)
{
	SCOPED(request_store_closep) struct request_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->dir_fd = -1;
	r = fs_open_dir(&s->dir_fd, monitor_fd, "requests", 0700);
	r = r ?: hold(s->dir_fd);
	r = r ?: load_forgotten(s, now_us);
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
		item_file_free(s->items[i]);
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
	return item_file_write(s->dir_fd, item);
}

int
request_store_remove(struct request_store *s, struct request_item *item)
{
	size_t i = index_of(s, item);
	char name[ITEM_FILE_NAME_BYTES];

	item_file_name(name, item->request->id);
	if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	if (i < s->n)
		memmove(&s->items[i], &s->items[i + 1],
			(--s->n - i) * sizeof(struct request_item *));
	item_file_free(item);
	return 0;
}

/* No request that ends as early as this one counts again, whatever the clock says by then. */
static int
forget(struct request_store *s, uint64_t expires_us)
{
	return expires_us <= s->forgotten_us ? 0 : save_forgotten(s, expires_us);
}

int
request_store_date(struct request_store *s, uint64_t now_us)
{
	return s->forgotten_us == UINT64_MAX && now_us > 0 ? save_forgotten(s, now_us) : 0;
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
	char name[ITEM_FILE_NAME_BYTES];

	(void)snprintf(name, sizeof(name), "%s.json.bad", id);
	return faccessat(s->dir_fd, name, F_OK, 0) == 0;
}

int
request_store_add(struct request_store *s, struct request *take_r, const struct envelope *e,
	uint64_t mailbox, uint64_t now_us, uint64_t date_us, struct request_item **ret_item)
{
	SCOPED(request_freep) struct request *q = take_r;
	SCOPED(item_file_freep) struct request_item *item = NULL;
	int r;

	if (request_store_find(s, q->id))
		return REFUSE(REASON_REPLAYED, q->id, "a request of this id was here before");
	if (is_set_aside(s, q->id))
		return REFUSE(REASON_REPLAYED, q->id,
			"a request of this id was here, and its file is damaged: it may have run");
	if (s->forgotten_us == UINT64_MAX)
		return REFUSE(REASON_REPLAYED, q->id,
			"the list of requests that are not remembered here is damaged, and the clock in doubt: it may be one of "
			"them; ask again when the site's clock is set");
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
