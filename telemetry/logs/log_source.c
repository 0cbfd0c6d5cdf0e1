#include "telemetry/logs/log_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

enum {
	OLD_IDLE_MS = 5000, /* who renamed the file lets go of it after a while */
};

uint64_t
log_source_key(const char *field, const char *in, const char *name)
{
	const char *const parts[] = { field, in, name };
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i, j;

	for (i = 0; i < ARRAY_LEN(parts); i++)
		for (j = 0; j <= strlen(parts[i]); j++) /* the NUL, too: it parts them */
			h = (h ^ (uint8_t)parts[i][j]) * UINT64_C(0x100000001b3);
	return h;
}

int
log_source_new(struct log_source **ret, const struct logs_source *is)
{
	SCOPED(log_source_freep) struct log_source *s = calloc(1, sizeof(*s));
	size_t i;

	if (!s)
		return FAULT(-ENOMEM);
	s->dir_fd = s->watch = -1;
	s->file = LOG_FILE_NONE;
	for (i = 0; i < LOGS_OLD_MAX; i++)
		s->old[i] = LOG_FILE_NONE;
	s->is = (struct logs_source){
		.service = is->service ? strdup(is->service) : NULL,
		.field = strdup(is->field),
		.dir = strdup(is->dir),
		.file = strdup(is->file),
		.format = is->format,
	};
	if ((is->service && !s->is.service) || !s->is.field || !s->is.dir || !s->is.file)
		return FAULT(-ENOMEM);
	s->from = (struct log_batch_source){ .service = s->is.service,
		.field = s->is.field,
		.file = s->is.file,
		.format = is->format };
	s->key = log_source_key(is->field, is->dir, is->file);
	*ret = STEAL(s);
	return 0;
}

struct log_source *
log_source_free(struct log_source *s)
{
	if (!s)
		return NULL;
	log_source_end(s);
	scope_close(&s->dir_fd);
	free((char *)s->is.service);
	free((char *)s->is.field);
	free((char *)s->is.dir);
	free((char *)s->is.file);
	free(s);
	return NULL;
}

bool
log_source_is(const struct log_source *s, const struct logs_source *is)
{
	return s->is.format == is->format && !s->is.service == !is->service &&
		(!is->service || strcmp(s->is.service, is->service) == 0) &&
		strcmp(s->is.field, is->field) == 0 && strcmp(s->is.dir, is->dir) == 0 &&
		strcmp(s->is.file, is->file) == 0;
}

/* The folder may be made later, and made anew. */
static bool
open_folder(struct log_source *s)
{
	int fd = open(s->is.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		scope_close(&s->dir_fd);
		s->dir_fd = fd;
	}
	return s->dir_fd >= 0;
}

/* Returns 0, REASON_NOT_FOUND, or a fault. */
static int
open_name(struct log_source *s, struct log_file *ret)
{
	int r = open_folder(s) ? log_file_open(ret, s->dir_fd, s->is.file, s->key)
			       : REASON_NOT_FOUND;
	bool denied = r == REASON_DENIED || r == REASON_UNSAFE_TREE;

	if (denied && !s->denied)
		log_warning("%s: %s/%s %s", s->is.field, s->is.dir, s->is.file,
			r == REASON_DENIED ? "may not be read by the collector"
					   : "is no file, or leads out of its folder");
	s->denied = denied;
	if (denied)
		r = REASON_NOT_FOUND;
	return r < 0 ? FAULT(r) : r;
}

static void
put_old(struct log_source *s, struct log_file *take)
{
	if (s->n_old == LOGS_OLD_MAX) {
		/* Renamed faster than anybody could read. */
		s->lost++;
		log_file_close(&s->old[0]);
		memmove(s->old, s->old + 1, (LOGS_OLD_MAX - 1) * sizeof(s->old[0]));
		s->n_old--;
	}
	s->old[s->n_old++] = *take;
	*take = LOG_FILE_NONE;
	s->old_idle_us = 0;
}

static void
drop_old(struct log_source *s)
{
	log_file_close(&s->old[0]);
	s->n_old--;
	memmove(s->old, s->old + 1, s->n_old * sizeof(s->old[0]));
	s->old[s->n_old] = LOG_FILE_NONE;
	s->old_idle_us = 0;
}

/* The file was cut.  What of it was not read lies in NAME.1 where that is its copy, as our own shim and others
 * make one; else what was written between the last reading and the cut may be lost. */
static int
find_copy(struct log_source *s, const struct log_place *place)
{
	SCOPED(log_file_close) struct log_file copy = LOG_FILE_NONE;
	char name[PATH_MAX];
	int r;

	(void)snprintf(name, sizeof(name), "%s.1", s->is.file);
	r = log_file_open(&copy, s->dir_fd, name, s->key);
	if (r < 0)
		return FAULT(r);
	if (r > 0 || place->print_len == 0 || !log_file_begins_as(&copy, place)) {
		s->lost++;
		return 0;
	}
	copy.place.offset = copy.begin = place->offset;
	copy.place.cut = place->cut;
	copy.place.print = place->print;
	copy.place.print_len = place->print_len;
	put_old(s, &copy);
	return 0;
}

static int
go_on(struct log_source *s, const struct log_place *place)
{
	SCOPED(log_file_close) struct log_file f = LOG_FILE_NONE;
	int r;

	s->met = true;
	s->secret_lines = place->secret_lines;
	if (place->inode == 0) /* there was none yet: whatever is there began since */
		return 0;
	if (!open_folder(s)) {
		s->lost++;
		return 0;
	}
	if (s->file.fd >= 0 && log_file_is(&s->file, place)) {
		s->file.place = *place;
		s->file.begin = place->offset;
		return 0;
	}
	r = log_file_find(&f, s->dir_fd, s->is.file, place);
	if (r < 0)
		return FAULT(r);
	if (r == 0)
		put_old(s, &f);
	else
		r = find_copy(s, place);
	return r < 0 ? FAULT(r) : 0;
}

int
log_source_begin(struct log_source *s, const struct log_place *places, size_t n)
{
	size_t i;
	int r;

	log_source_end(s);
	r = open_name(s, &s->file);
	if (r < 0)
		return FAULT(r);
	for (i = 0; i < n; i++) {
		if (places[i].key != s->key)
			continue;
		r = go_on(s, &places[i]);
		if (r < 0)
			return FAULT(r);
	}
	if (!s->met && s->file.fd >= 0)
		log_file_to_end(&s->file);
	s->met = s->dirty = true;
	return 0;
}

void
log_source_end(struct log_source *s)
{
	while (s->n_old > 0)
		drop_old(s);
	log_file_close(&s->file);
	s->met = s->dirty = false;
	s->tail_us = 0;
	s->secret_lines = 0;
}

int
log_source_look(struct log_source *s, uint64_t mono_us)
{
	SCOPED(log_file_close) struct log_file f = LOG_FILE_NONE;
	struct log_place was;
	int r = open_name(s, &f);

	if (r < 0)
		return FAULT(r);
	s->dirty = true;
	if (r == 0 && s->file.fd >= 0 &&
		(f.place.inode != s->file.place.inode || f.place.device != s->file.place.device))
		put_old(s, &s->file);
	if (r == 0 && s->file.fd < 0) {
		s->file = f;
		f = LOG_FILE_NONE;
		s->tail_us = 0;
	}
	if (s->file.fd >= 0) {
		was = s->file.place;
		r = log_file_look(&s->file);
		if (r == REASON_ALTERED) {
			r = find_copy(s, &was);
			log_file_restart(&s->file);
		}
		if (r < 0)
			return FAULT(r);
	}
	if (s->n_old > 0 && s->old_idle_us == 0)
		s->old_idle_us = mono_us;
	return 0;
}

/* Returns as log_file_read(). */
static int
read_old(struct log_source *s, const struct log_reading *how, uint64_t mono_us, size_t *ret_read)
{
	struct log_reading last = *how;
	int r;

	last.whole =
		s->old_idle_us > 0 && mono_us >= s->old_idle_us + OLD_IDLE_MS * CLOCK_US_PER_MS;
	r = log_file_read(&s->old[0], &last, ret_read);
	if (*ret_read > 0)
		s->old_idle_us = 0;
	else if (r == 0 && last.whole)
		drop_old(s);
	else if (s->old_idle_us == 0)
		s->old_idle_us = mono_us;
	return r;
}

/* What stands behind the last whole line: since when has nothing come to it? */
static void
note_tail(struct log_source *s, uint64_t mono_us)
{
	uint64_t size = s->file.size > s->file.place.offset ? s->file.size : 0;

	if (size == 0)
		s->tail_us = 0;
	else if (s->tail_us == 0 || s->tail_size != size)
		s->tail_us = mono_us;
	s->tail_size = size;
}

int
log_source_read(struct log_source *s, const struct log_reading *how, uint64_t mono_us,
	size_t *ret_read)
{
	struct log_reading now = *how;
	int r = 0;

	*ret_read = 0;
	now.continues = log_format_continues(s->is.format);
	while (s->n_old > 0) {
		size_t n_old = s->n_old;

		r = read_old(s, &now, mono_us, ret_read);
		if (r != 0 || *ret_read > 0)
			return r;
		if (s->n_old == n_old)
			break;
	}
	if (s->file.fd < 0)
		return 0;
	if (s->tail_us > 0) {
		now.ended = mono_us >= s->tail_us + LOGS_JOIN_MS * CLOCK_US_PER_MS;
		now.whole = mono_us >= s->tail_us + LOGS_PARTIAL_MS * CLOCK_US_PER_MS;
	}
	r = log_file_read(&s->file, &now, ret_read);
	if (r != 0 || *ret_read > 0)
		return r;
	r = log_file_look(&s->file);
	if (r == REASON_ALTERED) /* log_source_look() will see to it */
		return 0;
	note_tail(s, mono_us);
	return r < 0 ? FAULT(r) : 0;
}

uint64_t
log_source_wants_us(const struct log_source *s)
{
	if (s->tail_us == 0 || !log_format_continues(s->is.format))
		return 0;
	return s->tail_us + LOGS_JOIN_MS * CLOCK_US_PER_MS;
}

size_t
log_source_places(const struct log_source *s, struct log_place *out)
{
	size_t i, n = 0;

	if (!s->met)
		return 0;
	for (i = 0; i < s->n_old; i++)
		out[n++] = s->old[i].place;
	if (s->file.fd >= 0)
		out[n++] = s->file.place;
	if (n == 0)
		out[n++] = (struct log_place){ .key = s->key };
	for (i = 0; i < n; i++)
		out[i].secret_lines = s->secret_lines;
	return n;
}

static void
rewind_one(struct log_file *f, const struct log_place *places, size_t n)
{
	size_t i;

	for (i = 0; i < n && f->fd >= 0; i++)
		if (places[i].key == f->place.key && places[i].device == f->place.device &&
			places[i].inode == f->place.inode) {
			f->place.offset = places[i].offset;
			f->place.cut = places[i].cut;
			return;
		}
	f->place.offset = f->begin; /* opened since */
	f->place.cut = false;
}

void
log_source_rewind(struct log_source *s, const struct log_place *places, size_t n)
{
	size_t i;

	for (i = 0; i < s->n_old; i++)
		rewind_one(&s->old[i], places, n);
	rewind_one(&s->file, places, n);
	for (i = 0; i < n; i++)
		if (places[i].key == s->key)
			s->secret_lines = places[i].secret_lines;
	s->dirty = true;
}

size_t
log_source_example(struct log_source *s, char *out, size_t size)
{
	SCOPED(log_file_close) struct log_file f = LOG_FILE_NONE;
	char *from = out, *p;
	ssize_t n;

	if (open_name(s, &f) != 0 || f.size == 0)
		return 0;
	n = pread(f.fd, out, size - 1, f.size > size - 1 ? (off_t)(f.size - (size - 1)) : 0);
	while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
		n--;
	if (n <= 0)
		return 0;
	p = memrchr(out, '\n', (size_t)n);
	if (p)
		from = p + 1;
	n -= from - out;
	memmove(out, from, (size_t)n);
	out[n] = '\0';
	return (size_t)n;
}
