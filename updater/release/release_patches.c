#include "updater/release/release_patches.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "updater/object/object.h"
#include "updater/object/patch.h"
#include "updater/release/release_repo.h"

enum {
	PATCH_BYTES_MAX = 1024 * 1024 * 1024,
	/* A patch is kept where it saves a tenth of the object, and what it costs to name it. */
	SAVES = 10,
	NAMED = 128,
	THREADS_MAX = 4, /* each takes up to 200 MB */
	TEMPORARY_MAX = PATCH_NAME_MAX + 8,
};

static const char passing[] = ".tmp.";

struct job {
	const struct tree_entry *from, *to;
	int r;	   /* 0; REASON_NOT_FOUND: not worth keeping */
	bool made; /* just now, under a temporary name */
};

struct release_patches {
	struct job *jobs; /* once made: sorted by result and base, each once */
	size_t n, room;
};

int
release_patches_new(struct release_patches **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : FAULT(-ENOMEM);
}

struct release_patches *
release_patches_free(struct release_patches *p)
{
	if (!p)
		return NULL;
	free(p->jobs);
	free(p);
	return NULL;
}

int
release_patches_want(struct release_patches *p, const struct tree_entry *from, const struct tree_entry *to)
{
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 256;
		struct job *more = reallocarray(p->jobs, room, sizeof(*more));

		if (!more)
			return FAULT(-ENOMEM);
		p->jobs = more;
		p->room = room;
	}
	p->jobs[p->n++] = (struct job){ .from = from, .to = to };
	return 0;
}

/* --- files of the repository -------------------------------------------------------------------------------------- */
struct crew {
	struct release_repo *repo;
	int patches_fd;
	struct job **order; /* the largest first, so that no thread begins it last */
	size_t n;
	atomic_size_t next;
	atomic_bool failed;
};

static int
plain_object(const struct crew *c, const struct tree_entry *e, int *ret_fd)
{
	int r;

	*ret_fd = openat(c->patches_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return FAULT(-errno);
	r = object_copy(c->repo->objects_fd, e->sha256, e->size, true, *ret_fd);
	if (r)
		scope_close(ret_fd);
	return r;
}

static int
size_at(int dir_fd, const char *name, uint64_t *ret)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? REASON_NOT_FOUND : FAULT(-errno);
	*ret = (uint64_t)st.st_size;
	return 0;
}

static const char *
temporary_name(char out[TEMPORARY_MAX], const struct job *job)
{
	char name[PATCH_NAME_MAX];

	(void)snprintf(out, TEMPORARY_MAX, "%s%s", passing, patch_name(name, job->from->sha256, job->to->sha256));
	return out;
}

/* Under a temporary name, until all are synced (keep()): what has its own name is whole, for the next publish takes it. */
static int
put_patch(const struct crew *c, const char *name, const struct buf *patch)
{
	SCOPED(scope_close) int fd =
		openat(c->patches_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	return fd < 0 ? FAULT(-errno) : FAULT(fs_write_all(fd, patch->data, patch->len));
}

/* The patch from this base, made where it is not there; REASON_NOT_FOUND where it is not worth keeping. */
static int
make_patch(const struct crew *c, struct job *job)
{
	const struct tree_entry *from = job->from, *e = job->to;
	SCOPED(buf_done) struct buf b = BUF_MAX(PATCH_BYTES_MAX);
	SCOPED(scope_close) int from_fd = -1, to_fd = -1;
	char object[OBJECT_NAME_MAX], name[PATCH_NAME_MAX], temporary[TEMPORARY_MAX];
	uint64_t size, whole = 0;
	int r = size_at(c->patches_fd, patch_name(name, from->sha256, e->sha256), &size);

	if (r != REASON_NOT_FOUND)
		return r;
	r = size_at(c->repo->objects_fd, object_name(object, e->sha256), &whole);
	whole -= whole / SAVES;
	if (r || whole <= NAMED)
		return r ?: REASON_NOT_FOUND;
	r = plain_object(c, from, &from_fd);
	r = r ?: plain_object(c, e, &to_fd);
	r = r ?: patch_make(&b, from_fd, to_fd, whole - NAMED);
	if (r == REASON_TOO_LARGE)
		return REASON_NOT_FOUND;
	if (r)
		return r;
	job->made = true; /* begun: what is left of it is removed */
	return put_patch(c, temporary_name(temporary, job), &b);
}

/* Synced, and then each under its own name; nothing of them stays where r says that it failed. */
static int
keep(struct release_patches *p, int patches_fd, int r)
{
	SCOPED(scope_free) const char **names = calloc(p->n, sizeof(*names));
	SCOPED(scope_free) char(*room)[TEMPORARY_MAX] = calloc(p->n, sizeof(*room));
	size_t n = 0;

	if (!names || !room)
		return r ?: FAULT(-ENOMEM);
	for (size_t i = 0; i < p->n; i++)
		if (p->jobs[i].made)
			names[n] = temporary_name(room[n], &p->jobs[i]), n++;
	r = r ?: fs_sync_all(patches_fd, names, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = renameat(patches_fd, names[i], patches_fd, names[i] + strlen(passing)) < 0 ? FAULT(-errno) : 0;
	for (size_t i = 0; r != 0 && i < n; i++)
		(void)unlinkat(patches_fd, names[i], 0);
	return r ?: FAULT(fs_sync_dir(patches_fd));
}

/* --- by several threads ------------------------------------------------------------------------------------------- */
static int
by_patch(const void *a, const void *b)
{
	const struct job *x = a, *y = b;
	int r = memcmp(x->to->sha256, y->to->sha256, SHA256_LEN);

	return r ?: memcmp(x->from->sha256, y->from->sha256, SHA256_LEN);
}

static int
by_size(const void *a, const void *b)
{
	const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;

	if (x->to->size != y->to->size)
		return x->to->size > y->to->size ? -1 : 1;
	return by_patch(x, y);
}

struct helper {
	struct crew *crew;
	pthread_t thread;
	int r;
	struct refusal why;
};

static void *
help(void *arg)
{
	struct helper *h = arg;
	struct crew *c = h->crew;

	while (!atomic_load(&c->failed)) {
		size_t at = atomic_fetch_add(&c->next, 1);
		struct job *job;

		if (at >= c->n)
			break;
		job = c->order[at];
		job->r = make_patch(c, job);
		if (job->r == 0 || job->r == REASON_NOT_FOUND)
			continue;
		h->r = job->r;
		h->why = *refuse_last();
		atomic_store(&c->failed, true);
	}
	return NULL;
}

static int
work(struct crew *c)
{
	struct helper helpers[THREADS_MAX];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t max = cpus < 1 ? 1 : cpus > THREADS_MAX ? THREADS_MAX : (size_t)cpus, n = 1;
	int r;

	for (size_t i = 0; i < THREADS_MAX; i++)
		helpers[i] = (struct helper){ .crew = c };
	while (n < max && n < c->n && pthread_create(&helpers[n].thread, NULL, help, &helpers[n]) == 0)
		n++;
	(void)help(&helpers[0]);
	r = helpers[0].r;
	for (size_t i = 1; i < n; i++) {
		(void)pthread_join(helpers[i].thread, NULL);
		if (r == 0 && helpers[i].r != 0)
			r = helpers[i].r > 0 ? refuse_adopt(&helpers[i].why) : FAULT(helpers[i].r);
	}
	return r;
}

int
release_patches_make(struct release_patches *p, struct release_repo *repo, int patches_fd)
{
	struct crew c = { .repo = repo, .patches_fd = patches_fd };
	size_t kept = 0;
	int r;

	if (p->n == 0)
		return 0;
	qsort(p->jobs, p->n, sizeof(*p->jobs), by_patch);
	for (size_t i = 0; i < p->n; i++)
		if (i == 0 || by_patch(&p->jobs[i], &p->jobs[kept - 1]) != 0)
			p->jobs[kept++] = p->jobs[i];
	p->n = kept;
	c.order = calloc(p->n, sizeof(struct job *));
	if (!c.order)
		return FAULT(-ENOMEM);
	for (c.n = 0; c.n < p->n; c.n++)
		c.order[c.n] = &p->jobs[c.n];
	qsort(c.order, c.n, sizeof(struct job *), by_size);
	r = keep(p, patches_fd, work(&c));
	free(c.order);
	return r;
}

bool
release_patches_has(const struct release_patches *p, const struct tree_entry *from, const struct tree_entry *to)
{
	const struct job key = { .from = from, .to = to };
	const struct job *job = bsearch(&key, p->jobs, p->n, sizeof(*p->jobs), by_patch);

	return job && job->r == 0;
}
