/* Who says that there is something to read: inotify, of the files' folders and of the journal's. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "telemetry/logs/log_journal.h"
#include "telemetry/logs/log_source.h"
#include "telemetry/logs/logs_room.h"

static void
mark(struct logs *l, int wd, bool named)
{
	uint64_t mono_us = clock_mono_us();
	size_t i;
	int r;

	for (i = 0; i < l->n; i++) {
		struct log_source *s = l->sources[i];

		if (!s->allowed || (wd >= 0 && s->watch != wd))
			continue;
		s->dirty = true;
		r = named ? log_source_look(s, mono_us) : 0;
		if (r < 0)
			log_fault(r, "looking at a log");
	}
}

/* One wake-up for all that happens within LOGS_GATHER_MS: until then nobody listens. */
static void
on_inotify(uint32_t revents, void *arg)
{
	_Alignas(struct inotify_event) char room[4096];
	struct logs *l = arg;
	uint64_t mono_us = clock_mono_us();
	const struct inotify_event *e;
	ssize_t n, at;

	(void)revents;
	while ((n = read(l->inotify_fd, room, sizeof(room))) > 0)
		for (at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const struct inotify_event *)(room + at);
			mark(l, e->mask & IN_Q_OVERFLOW ? -1 : e->wd,
				!!(e->mask & ~(uint32_t)IN_MODIFY));
		}
	loop_watch_events(l->watch, 0);
	logs_turn_at(l, mono_us + LOGS_GATHER_MS * CLOCK_US_PER_MS, mono_us);
}

/* Watches are only quicker than logs_look(): where none can be had, that has to do. */
void
logs_notice_watch(struct logs *l, struct log_source *s)
{
	char path[PATH_MAX], *slash;

	if (l->inotify_fd < 0) {
		l->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (l->inotify_fd < 0 ||
			loop_watch(&l->watch, l->loop, l->inotify_fd, EPOLLIN, on_inotify, l) < 0)
			return;
	}
	if (snprintf(path, sizeof(path), "%s/%s", s->is.dir, s->is.file) >= (int)sizeof(path))
		return;
	slash = strrchr(path, '/');
	*slash = '\0';
	s->watch = inotify_add_watch(l->inotify_fd, path,
		IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR | IN_DONT_FOLLOW);
}

/* Two sources of one folder have one watch. */
void
logs_notice_unwatch(struct logs *l, struct log_source *s)
{
	size_t i;

	for (i = 0; i < l->n && s->watch >= 0; i++)
		if (l->sources[i] != s && l->sources[i]->watch == s->watch)
			s->watch = -1;
	if (s->watch >= 0)
		(void)inotify_rm_watch(l->inotify_fd, s->watch);
	s->watch = -1;
}

/* The journal writes for everybody: several times a second on a busy host, whoever is followed. */
static void
on_journal(uint32_t revents, void *arg)
{
	struct logs *l = arg;
	uint64_t mono_us = clock_mono_us();

	(void)revents;
	log_journal_process(l->journal);
	l->journal_dirty = true;
	loop_watch_events(l->journal_watch, 0);
	logs_turn_at(l, mono_us + LOGS_JOURNAL_MS * CLOCK_US_PER_MS, mono_us);
}

/* Without it logs_look() has to do. */
void
logs_notice_journal(struct logs *l)
{
	int fd = log_journal_fd(l->journal);
	int r = fd < 0 ? fd : loop_watch(&l->journal_watch, l->loop, fd, EPOLLIN, on_journal, l);

	if (r < 0)
		log_fault(r, "following the journal, which is looked at once a period only");
}

void
logs_notice_listen(struct logs *l)
{
	if (l->watch)
		loop_watch_events(l->watch, EPOLLIN);
	if (l->journal_watch)
		loop_watch_events(l->journal_watch, EPOLLIN);
}
