#include "remote/recording/recordings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "remote/recording/recordings_inside.h"

enum { BLOCK = 64 * 1024 };

/* --- entries ---------------------------------------------------------------------------------- */
const char *
recordings_name(char out[RECORDINGS_NAME_MAX], const char *id, bool running)
{
	(void)snprintf(out, RECORDINGS_NAME_MAX, "%.*s%s", CAST_ID_MAX, id, running ? RECORDINGS_PART : RECORDINGS_END);
	return out;
}

struct recordings_entry *
recordings_find(const struct recordings *all, const char *id, bool running)
{
	for (size_t i = 0; i < all->n_entries; i++)
		if (all->entries[i].running == running && strcmp(all->entries[i].id, id) == 0)
			return &all->entries[i];
	return NULL;
}

struct recordings_entry *
recordings_add(struct recordings *all, const struct cast_header *head)
{
	struct recordings_entry *more = reallocarray(all->entries, all->n_entries + 1, sizeof(*more));
	struct recordings_entry *e;

	if (!more)
		return NULL;
	all->entries = more;
	e = &more[all->n_entries++];
	*e = (struct recordings_entry){ .n = head->n, .timestamp = head->timestamp };
	(void)snprintf(e->id, sizeof(e->id), "%s", head->id);
	(void)snprintf(e->title, sizeof(e->title), "%s", head->title);
	if (e->n > all->last)
		all->last = e->n;
	return e;
}

void
recordings_drop(struct recordings *all, struct recordings_entry *e)
{
	size_t at = (size_t)(e - all->entries);

	memmove(e, e + 1, (--all->n_entries - at) * sizeof(*e));
}

int
recordings_settle(struct recordings *all, int fd, const char *id)
{
	char part[RECORDINGS_NAME_MAX], name[RECORDINGS_NAME_MAX];

	if (fsync(fd) < 0 || renameat(all->dir_fd, recordings_name(part, id, true), all->dir_fd,
				     recordings_name(name, id, false)) < 0)
		return refuse_full(FAULT(-errno));
	return FAULT(fs_sync_dir(all->dir_fd));
}

/* --- what is there at the start --------------------------------------------------------------- */
static void
set_aside(struct recordings *all, const char *name)
{
	char bad[NAME_MAX + 8];

	(void)snprintf(bad, sizeof(bad), "%s" RECORDINGS_BAD, name);
	log_error("recordings/%s is no recording and set aside as %s", name, bad);
	if (renameat(all->dir_fd, name, all->dir_fd, bad) < 0)
		log_fault(FAULT(-errno), "setting a recording aside");
}

/* 0, a reason where its first line is no header, or a fault. */
static int
read_header(int fd, struct cast_header *ret, const char *name)
{
	char line[4096];
	ssize_t n = pread(fd, line, sizeof(line), 0);
	const char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;

	if (n < 0)
		return FAULT(-errno);
	return end ? cast_header_read(ret, line, (size_t)(end - line), name) : REASON_MALFORMED;
}

/* Behind the last whole line.  0: there is none. */
static int
cut_back(int fd, off_t *ret_size)
{
	char block[BLOCK];
	off_t end = *ret_size;

	while (end > 0) {
		off_t from = end > BLOCK ? end - BLOCK : 0;
		ssize_t n = pread(fd, block, (size_t)(end - from), from);

		if (n < end - from)
			return FAULT(n < 0 ? -errno : -EIO);
		while (n > 0 && block[n - 1] != '\n')
			n--;
		end = from + n;
		if (n > 0)
			break;
	}
	if (end < *ret_size && ftruncate(fd, end) < 0)
		return FAULT(-errno);
	*ret_size = end;
	return 0;
}

/* The last event; { 0 } where there is none but the header. */
static int
last_event(int fd, off_t size, struct cast_event *ret, const char *name)
{
	SCOPED(scope_free) char *tail = malloc(CAST_LINE_MAX);
	off_t from = size > CAST_LINE_MAX ? size - CAST_LINE_MAX : 0;
	ssize_t n = tail ? pread(fd, tail, (size_t)(size - from), from) : -1;
	const char *begin;
	int r;

	if (n < 0)
		return FAULT(tail ? -errno : -ENOMEM);
	begin = n > 1 ? memrchr(tail, '\n', (size_t)n - 1) : NULL;
	if (!begin) /* it is the header's line, or too long for an event */
		return 0;
	r = cast_event_read(ret, begin + 1, (size_t)(tail + n - begin) - 2, name, 0);
	return r < 0 ? FAULT(r) : 0;
}

static int
close_part(struct recordings *all, int fd, const char *id, off_t size)
{
	static const char how[] = "interrupted";
	SCOPED(cast_event_done) struct cast_event last = { 0 };
	SCOPED(buf_done) struct buf line = BUF_MAX(256);
	int r = cut_back(fd, &size);

	if (r)
		return r;
	r = last_event(fd, size, &last, id);
	if (r < 0) /* another mark behind its own end would be one too many */
		return FAULT(r);
	/* Only its name was missing. */
	if (last.code == 'm' && strncmp(last.text, "end", 3) == 0)
		return recordings_settle(all, fd, id);
	cast_put_event(&line, last.at_us, 'm', how, sizeof(how) - 1);
	if (lseek(fd, 0, SEEK_END) < 0)
		return FAULT(-errno);
	r = buf_error(&line) ?: fs_write_all(fd, line.data, line.len);
	return FAULT(r) ?: recordings_settle(all, fd, id);
}

static bool
ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len > n && strcmp(name + len - n, end) == 0;
}

static int
take_file(struct recordings *all, const char *name)
{
	SCOPED(scope_close) int fd = openat(all->dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	bool part = ends_with(name, RECORDINGS_PART);
	struct cast_header head = { 0 };
	struct recordings_entry *e;
	char want[RECORDINGS_NAME_MAX];
	struct stat st;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (S_ISREG(st.st_mode))
		r = read_header(fd, &head, name);
	if (r < 0) /* not known to be none: it stays */
		return FAULT(r);
	if (!S_ISREG(st.st_mode) || r) {
		r = 0;
		if (!part || !S_ISREG(st.st_mode))
			set_aside(all, name);
		else if (unlinkat(all->dir_fd, name, 0) < 0) /* nothing was recorded yet */
			r = FAULT(-errno);
		return r;
	}
	if (strcmp(name, recordings_name(want, head.id, part)) != 0 || head.n == 0) {
		set_aside(all, name);
		return 0;
	}
	if (part)
		r = close_part(all, fd, head.id, st.st_size);
	e = r == 0 ? recordings_find(all, head.id, false) : NULL;
	if (e)
		recordings_drop(all, e); /* the older one of the same id, which this one has replaced */
	e = r == 0 ? recordings_add(all, &head) : NULL;
	if (r || !e)
		return r ?: FAULT(-ENOMEM);
	e->bytes = fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
	return 0;
}

/* Whole ones first, so that one that replaces an older of the same id comes after it. */
static int
take_files(struct recordings *all, const char *end)
{
	SCOPED(scope_closedir) DIR *dir = NULL;
	const struct dirent *e;
	int fd = fcntl(all->dir_fd, F_DUPFD_CLOEXEC, 0);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		scope_close(&fd);
		return FAULT(-errno);
	}
	rewinddir(dir);
	while ((e = readdir(dir))) {
		int r = ends_with(e->d_name, end) ? take_file(all, e->d_name) : 0;

		if (r)
			return r;
	}
	return 0;
}

/* What was set aside takes room like the rest.  free_it: it goes, one file after the other, until what is left fits. */
static int
look_at_bad(struct recordings *all, bool free_it, uint64_t bytes)
{
	SCOPED(scope_closedir) DIR *dir = NULL;
	const struct dirent *e;
	struct stat st;
	int fd = fcntl(all->dir_fd, F_DUPFD_CLOEXEC, 0);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		scope_close(&fd);
		return FAULT(-errno);
	}
	rewinddir(dir);
	all->n_bad = 0;
	all->bad_bytes = 0;
	while ((e = readdir(dir))) {
		if (!ends_with(e->d_name, RECORDINGS_BAD) || fstatat(all->dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		all->n_bad++;
		all->bad_bytes += (uint64_t)st.st_size;
		if (!free_it || (all->n_entries + all->n_bad <= RECORDINGS_MAX && bytes + all->bad_bytes <= RECORDINGS_BYTES_MAX))
			continue;
		log_info("recordings/%s, which was set aside, goes to make room", e->d_name);
		if (unlinkat(all->dir_fd, e->d_name, 0) < 0)
			return FAULT(-errno);
		all->n_bad--;
		all->bad_bytes -= (uint64_t)st.st_size;
	}
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	const struct recordings_entry *x = a, *y = b;

	return x->n < y->n ? -1 : x->n > y->n;
}

int
recordings_open(struct recordings **ret, int monitor_fd, sd_event *loop)
{
	SCOPED(recordings_closep) struct recordings *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return FAULT(-ENOMEM);
	all->dir_fd = -1;
	all->loop = sd_event_ref(loop);
	r = fs_open_dir(&all->dir_fd, monitor_fd, "recordings", 0700);
	r = r ?: take_files(all, RECORDINGS_END);
	r = r ?: take_files(all, RECORDINGS_PART);
	r = r ?: look_at_bad(all, false, 0);
	if (r)
		return r;
	if (all->n_entries > 0)
		qsort(all->entries, all->n_entries, sizeof(*all->entries), by_number);
	*ret = STEAL(all);
	return 0;
}

struct recordings *
recordings_close(struct recordings *all)
{
	if (!all)
		return NULL;
	scope_close(&all->dir_fd);
	sd_event_unref(all->loop);
	free(all->entries);
	free(all);
	return NULL;
}

/* --- room ------------------------------------------------------------------------------------- */
static void
remove_one(struct recordings *all, struct recordings_entry *e)
{
	char name[RECORDINGS_NAME_MAX];

	log_info("recording %llu (%s) goes to make room", (unsigned long long)e->n, e->id);
	if (unlinkat(all->dir_fd, recordings_name(name, e->id, false), 0) < 0 && errno != ENOENT)
		log_fault(FAULT(-errno), "removing a recording");
	recordings_drop(all, e);
}

void
recordings_trim(struct recordings *all, recordings_needed_fn *needed, void *arg)
{
	uint64_t bytes = 0;
	size_t i = 0;
	int r = 0;

	for (size_t k = 0; k < all->n_entries; k++)
		bytes += all->entries[k].bytes;
	/* They prove nothing: they go first. */
	if (all->n_bad > 0 && (all->n_entries + all->n_bad > RECORDINGS_MAX || bytes + all->bad_bytes > RECORDINGS_BYTES_MAX))
		r = look_at_bad(all, true, bytes);
	if (r)
		log_fault(r, "removing what was set aside");
	/* Never the last one: by it they are numbered on. */
	while (i + 1 < all->n_entries && (all->n_entries > RECORDINGS_MAX || bytes > RECORDINGS_BYTES_MAX)) {
		struct recordings_entry *e = &all->entries[i];

		if (e->running || needed(e->id, arg)) {
			i++;
			continue;
		}
		bytes -= e->bytes;
		remove_one(all, e);
	}
}

uint64_t
recordings_removed(const struct recordings *all)
{
	return all->last - all->n_entries;
}

/* --- reading ---------------------------------------------------------------------------------- */
static int
hash_file(int fd, uint8_t ret[32])
{
	SCOPED(scope_free) char *block = malloc(BLOCK);
	struct sha256 h;
	ssize_t n;

	if (!block)
		return FAULT(-ENOMEM);
	sha256_init(&h);
	while ((n = read(fd, block, BLOCK)) > 0)
		sha256_put(&h, block, (size_t)n);
	sha256_final(&h, ret);
	return n < 0 ? FAULT(-errno) : 0;
}

int
recordings_digest(struct recordings *all, const char *id, uint8_t ret[32], uint64_t *ret_n)
{
	struct recordings_entry *e = recordings_find(all, id, false);
	SCOPED(scope_close) int fd = -1;
	char name[RECORDINGS_NAME_MAX];
	int r;

	if (!e)
		return REASON_NOT_FOUND;
	if (!e->hashed) {
		fd = openat(all->dir_fd, recordings_name(name, id, false), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return REASON_NOT_FOUND; /* somebody took it away */
		r = fd < 0 ? -errno : hash_file(fd, e->digest);
		if (r)
			return FAULT(r);
		e->hashed = true;
	}
	memcpy(ret, e->digest, sizeof(e->digest));
	*ret_n = e->n;
	return 0;
}

json_t *
recordings_list(const struct recordings *all)
{
	SCOPED_JSON *list = json_array();

	for (size_t i = 0; list && i < all->n_entries; i++) {
		const struct recordings_entry *e = &all->entries[i];

		json_t *o = json_pack("{s:I, s:s, s:s, s:I, s:s}", "n", (json_int_t)e->n, "id", e->id, "title",
			e->title, "bytes", (json_int_t)e->bytes, "state", e->running ? "running" : "closed");

		if (!o || json_put_time(o, "time", e->timestamp * CLOCK_US_PER_S) < 0 || json_array_append(list, o) < 0) {
			json_decref(o);
			return NULL;
		}
		json_decref(o);
	}
	return STEAL(list);
}

int
recordings_read(struct recordings *all, const char *id, uint64_t from, struct buf *out)
{
	const struct recordings_entry *e = recordings_find(all, id, true) ?: recordings_find(all, id, false);
	SCOPED(scope_close) int fd = -1;
	char name[RECORDINGS_NAME_MAX];
	uint8_t *p;
	ssize_t n;

	if (!e)
		return REFUSE(REASON_NOT_FOUND, id, "is not recorded here, or went to make room; `mainstay replay list`");
	fd = openat(all->dir_fd, recordings_name(name, id, e->running), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	p = fd < 0 ? NULL : buf_reserve(out, RECORDINGS_CHUNK_MAX);
	if (!p)
		return FAULT(fd < 0 ? -errno : -ENOMEM);
	n = pread(fd, p, RECORDINGS_CHUNK_MAX, (off_t)from);
	if (n < 0)
		return FAULT(-errno);
	while (n > 0 && p[n - 1] != '\n')
		n--;
	buf_advance(out, (size_t)n);
	return 0;
}
