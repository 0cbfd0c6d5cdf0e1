#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/supervise/logfile.h"
#include "appliance/supervise/shim_room.h"

/* For the collector, who is in no group of the service: the same without lines of its log. */
static int
save_open(const struct shim *s, struct state *now)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SHIM_STATE_BYTES_MAX);
	char name[SPEC_NAME_MAX + 8];
	int r;

	now->why[0] = '\0';
	(void)snprintf(name, sizeof(name), "%s" STATE_OPEN_SUFFIX, s->spec.name);
	r = state_encode(&text, now);
	r = r ?: fs_replace(s->dir_fd, name, text.data, text.len, 0644);
	return FAULT(r);
}

void
shim_state_save(struct shim *s)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SHIM_STATE_BYTES_MAX);
	char name[SPEC_NAME_MAX + 8];
	struct state now = { .is = s->core.is,
		.health = s->core.health,
		.pid = s->service.pid,
		.start_time = s->service.starttime,
		.started_us = s->started_us,
		.exit = s->last_exit,
		.restarts = s->core.restarts,
		.reloads = s->reloads,
		.reload_failed = s->reload_failed,
		.looked_us = s->asked.looked_us };
	int r;

	(void)snprintf(now.release, sizeof(now.release), "%s", s->spec.release);
	(void)snprintf(now.boot, sizeof(now.boot), "%s", s->boot);
	(void)snprintf(now.why, sizeof(now.why), "%s", shim_core_ails(&s->core) ?: s->why);
	for (size_t i = 0; i < s->spec.n_secrets; i++)
		now.lost_secrets = now.lost_secrets || s->spec.secrets[i].fd < 0;
	(void)snprintf(name, sizeof(name), "%s.json", s->spec.name);
	r = state_encode(&text, &now);
	if (r == 0 && text.len == s->saved.len && !memcmp(text.data, s->saved.data, text.len))
		return;
	/* It may hold lines of the log. */
	r = r ?: fs_replace(s->dir_fd, name, text.data, text.len, 0640);
	r = r ?: save_open(s, &now);
	if (r) {
		log_fault(r, "saving the state of the service"); /* the next change tries again */
		return;
	}
	buf_reset(&s->saved);
	buf_put(&s->saved, text.data, text.len);
}

void
shim_state_say_why(struct shim *s, const char *what)
{
	int n = snprintf(s->why, sizeof(s->why), "%s", what);

	if (n < 0 || (size_t)n + sizeof("; its log: ") >= sizeof(s->why))
		return;
	logfile_tail(s->why + n + sizeof("; its log: ") - 1,
		sizeof(s->why) - (size_t)n - sizeof("; its log: ") + 1, s->spec.log, s->spec.name);
	if (s->why[(size_t)n + sizeof("; its log: ") - 1])
		memcpy(s->why + n, "; its log: ", sizeof("; its log: ") - 1);
}

bool
shim_state_recall(struct shim *s, struct state *ret, bool *ret_alive)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SHIM_STATE_BYTES_MAX);
	char name[SPEC_NAME_MAX + 8];

	(void)snprintf(name, sizeof(name), "%s.json", s->spec.name);
	if (fs_read(s->dir_fd, name, SHIM_STATE_BYTES_MAX, &text) ||
		state_decode(ret, text.data, text.len) || strcmp(ret->boot, s->boot))
		return false;
	*ret_alive = ret->pid > 0 && child_alive(ret->pid, ret->start_time);
	return true;
}
