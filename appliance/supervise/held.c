#include "appliance/supervise/held.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct held *
held_new(struct held **list, struct supervise *owner, enum roster_role role, const char *id)
{
	struct held *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct held){ .next = *list,
		.owner = owner,
		.role = role,
		.child = { .pidfd = -1 },
		.ready_fd = -1 };
	(void)snprintf(h->id, sizeof(h->id), "%s", id);
	*list = h;
	return h;
}

void
held_down(struct held *h)
{
	child_unwatch(h->watch);
	loop_unwatch(h->ready_watch);
	if (h->ready_fd >= 0)
		(void)close(h->ready_fd);
	if (h->child.pidfd >= 0)
		(void)close(h->child.pidfd);
	h->ready_fd = -1;
	h->child = (struct child){ .pidfd = -1 };
	h->ready = false;
}

void
held_free(struct held **list, struct held *h)
{
	for (; *list; list = &(*list)->next)
		if (*list == h) {
			*list = h->next;
			break;
		}
	held_down(h);
	loop_cancel(h->retry);
	for (size_t i = 0; i < h->n_secrets; i++)
		(void)close(h->secrets[i]);
	free(h);
}

struct held *
held_find(struct held *list, enum roster_role role, const char *id)
{
	for (; list; list = list->next)
		if (list->role == role && (!id || !strcmp(list->id, id)))
			return list;
	return NULL;
}

struct held *
held_of_pid(struct held *list, pid_t pid)
{
	for (; list; list = list->next)
		if (list->child.pid == pid && pid > 0)
			return list;
	return NULL;
}

void
held_take_secrets(struct held *h)
{
	for (int fd = SUPERVISE_FD_JOB + 1; h->n_secrets < SUPERVISE_SECRETS_MAX; fd++) {
		char path[64], target[64];
		ssize_t n;
		int got;

		(void)snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)h->child.pid, fd);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (strncmp(target, "/memfd:", 7))
			return;
		got = open(path, O_RDONLY | O_CLOEXEC);
		if (got < 0)
			return;
		h->secrets[h->n_secrets++] = got;
	}
}

unsigned
held_count(const struct held *list, enum roster_role role)
{
	unsigned n = 0;

	for (; list; list = list->next)
		n += list->role == role;
	return n;
}

void
held_roster(const struct held *list, struct roster *ret)
{
	ret->n = 0;
	for (; list && ret->n < ROSTER_ENTRIES_MAX; list = list->next) {
		struct roster_entry *e = &ret->entries[ret->n++];

		*e = (struct roster_entry){ .role = list->role,
			.pid = list->child.pid,
			.start_time = list->child.starttime,
			.ready = list->ready,
			.restarts = list->restarts };
		memcpy(e->id, list->id, sizeof(e->id));
	}
}
