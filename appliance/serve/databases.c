#include "appliance/serve/databases.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

struct open_file {
	char name[65];
	struct db *db;
	uint64_t used; /* of the counter below, at its last use */
};

struct ailing_file {
	char name[65];
	int why;
	uint64_t last_us; /* of clock_mono_us() */
};

struct databases {
	char dir[PATH_MAX];
	struct db *fleet;
	const struct db_migration *customer;
	size_t n_customer;
	struct open_file files[DATABASES_OPEN_MAX];
	size_t n_files;
	uint64_t uses;
	struct ailing_file *ailing;
	size_t n_ailing;
};

bool
databases_is_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return len >= 1 && len <= 64 && name[len] == '\0' && name[0] != '.' && name[0] != '_' && name[0] != '-';
}

int
databases_open(struct databases **ret, const char *dir, const struct db_migration *fleet, size_t n_fleet,
	const struct db_migration *customer, size_t n_customer)
{
	SCOPED(databases_closep) struct databases *d = calloc(1, sizeof(*d));
	SCOPED(scope_close) int fd = -1;
	char path[PATH_MAX + 16];
	int r;

	if (!d)
		return FAULT(-ENOMEM);
	if ((size_t)snprintf(d->dir, sizeof(d->dir), "%s", dir) >= sizeof(d->dir))
		return FAULT(-ENAMETOOLONG);
	d->customer = customer;
	d->n_customer = n_customer;
	(void)snprintf(path, sizeof(path), "%s/customers", dir);
	r = fs_open_dir(&fd, AT_FDCWD, path, 0700);
	if (r != 0)
		return FAULT(r);
	/* It may have come out of a copy. */
	if (fchmod(fd, 0700) < 0)
		return FAULT(-errno);
	(void)snprintf(path, sizeof(path), "%s/fleet.db", dir);
	r = db_open(&d->fleet, path);
	if (r == 0)
		r = db_migrate(d->fleet, fleet, n_fleet);
	if (r != 0)
		return FAULT(r);
	*ret = STEAL(d);
	return 0;
}

struct databases *
databases_close(struct databases *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < d->n_files; i++)
		db_close(d->files[i].db);
	db_close(d->fleet);
	free(d->ailing);
	free(d);
	return NULL;
}

struct db *
databases_fleet(struct databases *d)
{
	return d->fleet;
}

/* --- what fails ----------------------------------------------------------------------------------------- */
static struct ailing_file *
find_ailing(struct databases *d, const char *name)
{
	for (size_t i = 0; i < d->n_ailing; i++)
		if (strcmp(d->ailing[i].name, name) == 0)
			return &d->ailing[i];
	return NULL;
}

/* Note that a file failed, once in the log as long as it goes on. */
static void
note_failure(struct databases *d, const char *name, int why)
{
	struct ailing_file *more = find_ailing(d, name);

	if (more) {
		more->why = why;
		more->last_us = clock_mono_us();
		return;
	}
	log_fault(why, name);
	log_error("the file of customer %s cannot be used; what is asked of it is answered 503", name);
	more = realloc(d->ailing, (d->n_ailing + 1) * sizeof(*more));
	if (!more)
		return; /* said in the log; databases_each() says it again */
	d->ailing = more;
	more += d->n_ailing++;
	(void)snprintf(more->name, sizeof(more->name), "%s", name);
	more->why = why;
	more->last_us = clock_mono_us();
}

size_t
databases_ailing(struct databases *d, databases_ailing_fn *tell, void *arg)
{
	uint64_t since_us = clock_mono_us();
	size_t n = 0;

	since_us -= since_us < DATABASES_AILING_S * CLOCK_US_PER_S ? since_us : DATABASES_AILING_S * CLOCK_US_PER_S;
	for (size_t i = 0; i < d->n_ailing; i++)
		if (d->ailing[i].last_us >= since_us)
			d->ailing[n++] = d->ailing[i];
	d->n_ailing = n;
	for (size_t i = 0; tell && i < n; i++)
		tell(d->ailing[i].name, d->ailing[i].why, arg);
	return n;
}

/* Close the file of a customer: what is opened next may be whole again. */
static void
forget(struct databases *d, const char *name)
{
	for (size_t i = 0; i < d->n_files; i++)
		if (strcmp(d->files[i].name, name) == 0) {
			db_close(d->files[i].db);
			d->files[i] = d->files[--d->n_files];
			return;
		}
}

/* --- one customer's file ---------------------------------------------------------------------------------- */
/* A place for one more: a new one, or that of the file longest unused. */
static struct open_file *
place(struct databases *d)
{
	struct open_file *oldest = &d->files[0];

	if (d->n_files < DATABASES_OPEN_MAX)
		return &d->files[d->n_files++];
	for (size_t i = 1; i < d->n_files; i++)
		if (d->files[i].used < oldest->used)
			oldest = &d->files[i];
	oldest->db = db_close(oldest->db);
	return oldest;
}

int
databases_customer(struct databases *d, const char *name, struct db **ret)
{
	SCOPED(db_closep) struct db *db = NULL;
	struct open_file *file;
	char path[PATH_MAX + 128];
	int r;

	for (size_t i = 0; i < d->n_files; i++)
		if (strcmp(d->files[i].name, name) == 0) {
			d->files[i].used = ++d->uses;
			*ret = d->files[i].db;
			return 0;
		}
	if (!databases_is_name(name))
		return REFUSE(REASON_MALFORMED, "customer", "is no name");
	(void)snprintf(path, sizeof(path), "%s/customers/%s.db", d->dir, name);
	r = db_open(&db, path);
	if (r == 0)
		r = db_migrate(db, d->customer, d->n_customer);
	if (r > 0) /* newer than this program: to the caller that is as good as damaged */
		r = -EUCLEAN;
	if (r < 0) {
		note_failure(d, name, r);
		return FAULT(r);
	}
	file = place(d);
	(void)snprintf(file->name, sizeof(file->name), "%s", name);
	file->used = ++d->uses;
	file->db = STEAL(db);
	*ret = file->db;
	return 0;
}

bool
databases_has(struct databases *d, const char *name)
{
	char path[PATH_MAX + 128];

	if (!databases_is_name(name))
		return false;
	(void)snprintf(path, sizeof(path), "%s/customers/%s.db", d->dir, name);
	return access(path, F_OK) == 0;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names are listed before any is visited, since a visit may open files (and so change the folder). */
static int
list(struct databases *d, char ***ret, size_t *ret_n)
{
	char path[PATH_MAX + 16];
	struct dirent *entry;
	char **names = NULL;
	size_t n = 0;
	DIR *dir;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s/customers", d->dir);
	dir = opendir(path);
	if (!dir)
		return FAULT(-errno);
	while (errno = 0, r == 0 && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		char **more;

		if (len < 4 || strcmp(entry->d_name + len - 3, ".db") != 0)
			continue;
		more = realloc(names, (n + 1) * sizeof(*names));
		if (more) {
			names = more;
			names[n] = strndup(entry->d_name, len - 3);
		}
		if (!more || !names[n])
			r = FAULT(-ENOMEM);
		else
			n++;
	}
	if (r == 0 && errno)
		r = FAULT(-errno);
	(void)closedir(dir);
	if (n > 0)
		qsort(names, n, sizeof(*names), compare);
	*ret = names;
	*ret_n = n;
	return r;
}

/* Returns 0 or what stops the round (> 0).  A fault is this file's alone, and stops nothing, as long as it could be
 * noted: who is not told of it would take the rest for the whole. */
static int
visit(struct databases *d, const char *name, databases_each_fn *each, void *arg)
{
	struct db *db;
	int r = databases_customer(d, name, &db); /* notes its own */

	if (r == 0) {
		r = each(name, db, arg);
		if (r >= 0)
			return r;
		note_failure(d, name, r);
		forget(d, name);
	}
	return r < 0 && !find_ailing(d, name) ? FAULT(-ENOMEM) : 0;
}

int
databases_each(struct databases *d, databases_want_fn *want, databases_each_fn *each, void *arg)
{
	char **names = NULL;
	size_t n = 0;
	int r = list(d, &names, &n);

	for (size_t i = 0; i < n; i++) {
		if (r == 0 && databases_is_name(names[i]) && (!want || want(names[i], arg)))
			r = visit(d, names[i], each, arg);
		free(names[i]);
	}
	free(names);
	return r;
}
