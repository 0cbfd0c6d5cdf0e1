#include "appliance/egress/notice.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "appliance/base/fault.h"

struct notice {
	sd_event *loop;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *gather;
	struct notice_ear *ears;
};

static void
tell(void *arg)
{
	struct notice *n = arg;
	struct notice_ear *ear;

	/* From the first again after each: fn may begin or end some. */
	do {
		for (ear = n->ears; ear && !ear->heard; ear = ear->next)
			;
		if (ear) {
			ear->heard = false;
			ear->fn(ear->arg);
		}
	} while (ear);
	(void)loop_watch_events(n->watch, EPOLLIN);
}

static void
mark(struct notice *n, const struct inotify_event *e)
{
	for (struct notice_ear *ear = n->ears; ear; ear = ear->next) {
		if (!(e->mask & IN_Q_OVERFLOW) && ear->wd != e->wd)
			continue;
		ear->heard = true;
		if (e->mask & IN_IGNORED)
			ear->wd = -1; /* its folder went */
	}
}

static void
on_inotify(uint32_t revents, void *arg)
{
	_Alignas(struct inotify_event) char room[4096];
	const struct inotify_event *e;
	struct notice *n = arg;
	ssize_t len, at;

	(void)revents;
	while ((len = read(n->fd, room, sizeof(room))) > 0)
		for (at = 0; at < len; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const struct inotify_event *)(room + at);
			mark(n, e);
		}
	(void)loop_watch_events(n->watch, 0);
	(void)loop_after(&n->gather, n->loop, NOTICE_GATHER_MS, tell, n);
}

int
notice_new(struct notice **ret, sd_event *loop)
{
	SCOPED(notice_freep) struct notice *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return FAULT(-ENOMEM);
	n->loop = sd_event_ref(loop);
	n->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (n->fd < 0)
		return FAULT(-errno);
	r = loop_watch(&n->watch, loop, n->fd, EPOLLIN, on_inotify, n);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(n);
	return 0;
}

struct notice *
notice_free(struct notice *n)
{
	if (!n)
		return NULL;
	while (n->ears)
		notice_deafen(n->ears);
	loop_cancel(n->gather);
	loop_unwatch(n->watch);
	scope_close(&n->fd);
	sd_event_unref(n->loop);
	free(n);
	return NULL;
}

static int
watch(struct notice *n, const char *path, uint32_t what)
{
	return inotify_add_watch(n->fd, path, what | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD);
}

void
notice_listen(struct notice *n, struct notice_ear *ear, const char *dir, const char *stream, loop_fn *fn,
	void *arg)
{
	char path[PATH_MAX];

	if (!n)
		return;
	if (!ear->notice) {
		*ear = (struct notice_ear){ .notice = n, .next = n->ears };
		n->ears = ear;
	}
	ear->fn = fn;
	ear->arg = arg;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, stream);
	ear->wd = watch(n, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
	ear->of_stream = ear->wd >= 0;
	if (ear->wd < 0)
		ear->wd = watch(n, dir, IN_CREATE | IN_MOVED_TO);
}

void
notice_deafen(struct notice_ear *ear)
{
	struct notice_ear **at;

	if (!ear->notice)
		return;
	at = &ear->notice->ears;
	while (*at != ear)
		at = &(*at)->next;
	*at = ear->next;
	/* The watch stays: others may listen there, and nobody else is told. */
	*ear = (struct notice_ear){ 0 };
}

bool
notice_hears(const struct notice_ear *ear)
{
	return ear->notice && ear->wd >= 0;
}
