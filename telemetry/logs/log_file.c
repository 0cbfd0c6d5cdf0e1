#include "telemetry/logs/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/beneath.h"

/* FNV-1a: tells files apart, proves nothing. */
static uint64_t
digest(const uint8_t *p, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	while (len-- > 0)
		h = (h ^ *p++) * UINT64_C(0x100000001b3);
	return h;
}

/* Of the first len bytes; false where there are fewer. */
static bool
print_of(int fd, size_t len, uint64_t *ret)
{
	uint8_t first[LOG_FILE_PRINT_MAX];

	if (len > sizeof(first) || pread(fd, first, len, 0) != (ssize_t)len)
		return false;
	*ret = digest(first, len);
	return true;
}

/* A longer print says more: taken as the file grows. */
static void
take_print(struct log_file *f)
{
	size_t len = f->size < LOG_FILE_PRINT_MAX ? (size_t)f->size : LOG_FILE_PRINT_MAX;
	uint64_t print;

	if (len > f->place.print_len && print_of(f->fd, len, &print)) {
		f->place.print_len = (uint8_t)len;
		f->place.print = print;
	}
}

void
log_file_close(struct log_file *f)
{
	scope_close(&f->fd);
	*f = LOG_FILE_NONE;
}

int
log_file_open(struct log_file *ret, int dir_fd, const char *name, uint64_t key)
{
	SCOPED(log_file_close) struct log_file f = LOG_FILE_NONE;
	struct stat st;

	f.fd = beneath_open(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
	if (f.fd < 0) {
		switch (f.fd) {
		case -ENOENT:
		case -ENOTDIR:
			return REASON_NOT_FOUND;
		case -EACCES:
		case -EPERM:
			return REASON_DENIED;
		case -ELOOP:
		case -EXDEV:
		case -ENXIO:
			return REASON_UNSAFE_TREE;
		default:
			return FAULT(f.fd);
		}
	}
	if (fstat(f.fd, &st) < 0)
		return FAULT(-errno);
	if (!S_ISREG(st.st_mode))
		return REASON_UNSAFE_TREE;
	f.size = (uint64_t)st.st_size;
	f.place = (struct log_place){ .key = key, .device = st.st_dev, .inode = st.st_ino };
	take_print(&f);
	*ret = f;
	f = LOG_FILE_NONE;
	return 0;
}

bool
log_file_begins_as(const struct log_file *f, const struct log_place *place)
{
	uint64_t print;

	return f->size >= place->offset && print_of(f->fd, place->print_len, &print) &&
		(place->print_len == 0 || print == place->print);
}

bool
log_file_is(const struct log_file *f, const struct log_place *place)
{
	return f->place.device == place->device && f->place.inode == place->inode &&
		log_file_begins_as(f, place);
}

static bool
is_compressed(const char *name)
{
	static const char *const ends[] = { ".gz", ".zst", ".xz", ".bz2", ".lz4" };
	size_t len = strlen(name), i, n;

	for (i = 0; i < ARRAY_LEN(ends); i++) {
		n = strlen(ends[i]);
		if (len > n && strcmp(name + len - n, ends[i]) == 0)
			return true;
	}
	return false;
}

static int
take_if(struct log_file *ret, int dir_fd, const char *name, const struct log_place *place)
{
	SCOPED(log_file_close) struct log_file f = LOG_FILE_NONE;
	int r = log_file_open(&f, dir_fd, name, place->key);

	if (r < 0)
		return FAULT(r);
	if (r > 0 || !log_file_is(&f, place))
		return REASON_NOT_FOUND;
	f.place = *place;
	f.begin = place->offset;
	*ret = f;
	f = LOG_FILE_NONE;
	return 0;
}

static void
close_dir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

int
log_file_find(struct log_file *ret, int dir_fd, const char *name, const struct log_place *place)
{
	SCOPED(close_dir) DIR *d = NULL;
	SCOPED(scope_free) char *folder = strdup(name);
	const struct dirent *e;
	const char *base;
	char *slash;
	int r, fd;

	if (!folder)
		return FAULT(-ENOMEM);
	r = take_if(ret, dir_fd, name, place);
	if (r != REASON_NOT_FOUND)
		return r < 0 ? FAULT(r) : r;
	slash = strrchr(folder, '/');
	base = slash ? name + (slash - folder) + 1 : name;
	if (slash)
		*slash = '\0';
	fd = beneath_open(dir_fd, slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return REASON_NOT_FOUND;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return FAULT(-errno);
	}
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, base, strlen(base)) != 0 || is_compressed(e->d_name) ||
			e->d_ino != place->inode)
			continue;
		r = take_if(ret, dirfd(d), e->d_name, place);
		if (r != REASON_NOT_FOUND)
			return r < 0 ? FAULT(r) : r;
	}
	return REASON_NOT_FOUND;
}

int
log_file_look(struct log_file *f)
{
	struct stat st;
	uint64_t print;

	if (fstat(f->fd, &st) < 0)
		return FAULT(-errno);
	f->size = (uint64_t)st.st_size;
	if (f->size < f->place.offset ||
		(f->place.print_len > 0 &&
			(!print_of(f->fd, f->place.print_len, &print) || print != f->place.print)))
		return REASON_ALTERED;
	take_print(f);
	return 0;
}

void
log_file_restart(struct log_file *f)
{
	f->place.offset = f->begin = 0;
	f->place.cut = false;
	f->place.print_len = 0;
	take_print(f);
}

void
log_file_to_end(struct log_file *f)
{
	char last;

	f->place.offset = f->begin = f->size;
	/* The rest of a line whose beginning is passed over is no line. */
	f->place.cut =
		f->size > 0 && pread(f->fd, &last, 1, (off_t)f->size - 1) == 1 && last != '\n';
}

/* The end of the line at p: behind its newline, or NULL where it has none yet, or might go on. */
static const char *
line_end(const char *p, const char *end, const struct log_reading *how)
{
	const char *at = p;

	while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		at++;
		if (!how->continues || (at == end ? how->ended || how->whole : *at != '\t'))
			return at;
	}
	return NULL;
}

static int
hand_on(struct log_file *f, const struct log_reading *how, const char *p, const char *next,
	bool cut)
{
	size_t len = (size_t)(next - p);

	f->place.offset += len;
	if (!cut && len > 0 && p[len - 1] == '\n')
		len--;
	if (!cut && len > 0 && p[len - 1] == '\r')
		len--;
	return how->line(p, len, cut, how->arg);
}

/* The lines of the n bytes in room, which begin at the file's place. */
static int
hand_on_all(struct log_file *f, const struct log_reading *how, size_t n)
{
	const char *p = how->room, *end = p + n, *next;
	int r = 0;

	/* The rest of a line that was cut is not shown, whatever it holds. */
	if (f->place.cut && p < end) {
		next = memchr(p, '\n', n);
		p = next ? next + 1 : end;
		f->place.offset += (uint64_t)(p - how->room);
		f->place.cut = !next;
	}
	while (r == 0 && p < end && (next = line_end(p, end, how)) != NULL) {
		r = hand_on(f, how, p, next, false);
		p = next;
	}
	if (r == 0 && p < end && p == how->room && n == LOG_LINE_MAX) {
		f->place.cut = true;
		r = hand_on(f, how, p, end, true);
	} else if (r == 0 && p < end && how->whole && n < LOG_LINE_MAX) {
		r = hand_on(f, how, p, end, false);
	}
	return r;
}

int
log_file_read(struct log_file *f, const struct log_reading *how, size_t *ret_read)
{
	uint64_t from = f->place.offset;
	ssize_t n;
	int r;

	*ret_read = 0;
	n = pread(f->fd, how->room, LOG_LINE_MAX, (off_t)from);
	if (n < 0)
		return FAULT(-errno);
	if (how->piece)
		how->piece(how->room, (size_t)n, how->arg);
	r = hand_on_all(f, how, (size_t)n);
	if (how->piece)
		how->piece(NULL, 0, how->arg);
	*ret_read = (size_t)(f->place.offset - from);
	return r;
}
