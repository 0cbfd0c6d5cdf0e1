#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/services_room.h"

enum {
	AGAIN_US = 1000 * 1000, /* so long after nobody could look at the file */
	AGAIN_MAX_US = 60 * 1000 * 1000,
};

/* After a start of the monitor: what is active and not meant to be stopped runs, or is started.  Those that
 * outlived us are found running and nothing happens to them. */
static void
start_active(struct services *s)
{
	const char *names[LOCK_SERVICES_MAX];
	size_t n = 0;
	int r;

	for (size_t i = 0; i < s->lock.n; i++) {
		const char *name = s->lock.entries[i].service;
		const struct cluster_service *wanted = cluster_find(s->cluster, name);

		bool stopped = !wanted || wanted->stopped;

		if (!service_set_resume(s->m, name, stopped) && !stopped && !services_held(s, name))
			names[n++] = name;
	}
	services_left(s, names, n);
	r = services_order_start(s->m, names, n);
	if (r < 0)
		log_fault(r, "starting services");
}

static void
tell_waiters(struct services *s, int r, unsigned generation)
{
	struct services_waiter **at = &s->waiters, *due = NULL;

	while (*at) {
		struct services_waiter *w = *at;

		if (w->generation > generation) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = due;
		due = w;
	}
	while (due) {
		struct services_waiter *w = due;

		due = w->next;
		w->fn(r, w->arg);
		free(w);
	}
}

/* What tells one writing of it from the next; no file: zeros. */
static void
look_at_file(const struct services *s, struct stat *ret)
{
	char path[sizeof(s->m->paths.etc) + 32];

	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", s->m->paths.etc);
	if (stat(path, ret) < 0)
		*ret = (struct stat){ 0 };
}

bool
services_file_written(const struct services *s)
{
	struct stat is;

	look_at_file(s, &is);
	return (s->again_us > 0 && clock_mono_us() >= s->again_us) || is.st_ino != s->seen.st_ino || is.st_size != s->seen.st_size ||
		is.st_mtim.tv_sec != s->seen.st_mtim.tv_sec || is.st_mtim.tv_nsec != s->seen.st_mtim.tv_nsec;
}

/* What is no word about the file, as that nobody could be asked, has it read again by itself. */
static void
note_wrong(struct services *s, int r)
{
	bool unseen = r < 0 || r == REASON_FAULT || r == REASON_BUSY || r == REASON_INTERRUPTED || r == REASON_UNREACHABLE;

	s->wrong.reason = REASON_NONE;
	if (r > 0)
		s->wrong = *refuse_last();
	s->again_us = unseen ? clock_mono_us() + clock_backoff_us(s->again_tries, AGAIN_US, AGAIN_MAX_US) : 0;
	s->again_tries = unseen ? s->again_tries + 1 : 0;
}

static int read_cluster(struct services *s);

static void
on_cluster(int r, const json_t *answer, void *arg)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX * 4);
	struct services *s = arg;
	struct cluster *next = NULL;
	unsigned generation = s->reading;

	s->reading = 0;
	r = r ?: json_canonical(&b, answer);
	r = r ?: cluster_parse(&next, b.data, b.len);
	/* A file that is wrong leaves what was known in force. */
	note_wrong(s, r);
	if (r == 0) {
		cluster_free(s->cluster);
		s->cluster = next;
		monitor_changed(s->m, MONITOR_CHANGE_SERVICE);
	} else if (r < 0) {
		log_fault(r, "reading cluster.yaml");
	} else if (r == REASON_FAULT) {
		log_error("reading cluster.yaml: the judge: %s", s->wrong.text);
	}
	if (s->cluster && !s->started) {
		s->started = true;
		start_active(s);
	}
	tell_waiters(s, r, generation);
	/* A waiter may have begun the next reading itself. */
	if (s->wanted == generation || s->reading)
		return;
	r = read_cluster(s);
	if (r)
		tell_waiters(s, r, s->wanted);
}

static int
read_cluster(struct services *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX);
	char path[sizeof(s->m->paths.etc) + 32];
	int r;

	look_at_file(s, &s->seen);
	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", s->m->paths.etc);
	r = fs_read(AT_FDCWD, path, b.max, &b);
	if (r == REASON_NOT_FOUND)
		r = 0; /* an empty cluster */
	if (r > 0)
		r = REFUSE(r, "cluster.yaml", "cannot be read");
	r = r ?: monitor_judge(s->m, JUDGE_CLUSTER, "cluster.yaml", buf_text(&b), b.len, on_cluster, s);
	if (r == 0)
		s->reading = s->wanted;
	else
		note_wrong(s, r);
	return r < 0 ? FAULT(r) : r;
}

int
services_file_read(struct services *s)
{
	struct lock next;
	int r = lock_read(&next, &s->m->paths);

	if (r)
		return r < 0 ? FAULT(r) : r;
	s->lock = next;
	s->wanted++;
	return s->reading ? 0 : read_cluster(s);
}

void
services_reload(struct monitor *m)
{
	int r = services_file_read(m->services);

	if (r < 0)
		log_fault(r, "reading the desired state");
	monitor_changed(m, MONITOR_CHANGE_SERVICE);
}

int
services_reload_then(struct monitor *m, services_read_fn *fn, void *arg)
{
	struct services *s = m->services;
	struct services_waiter *w = malloc(sizeof(*w));
	int r;

	if (!w)
		return FAULT(-ENOMEM);
	r = services_file_read(s);
	if (r) {
		free(w);
		return r;
	}
	*w = (struct services_waiter){
		.fn = fn, .arg = arg, .generation = s->wanted, .next = s->waiters
	};
	s->waiters = w;
	return 0;
}
