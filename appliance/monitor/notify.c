#include "appliance/monitor/notify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/notify_wire.h"
#include "appliance/monitor/ours.h"
#include "appliance/service/spawn_job.h"

enum { LINE_BYTES_MAX = 8 * 1024 };

struct run {
	char path[PATH_MAX]; /* of the program */
	json_t *event;	     /* owned */
};

struct notify {
	struct monitor *m;
	struct run waiting[NOTIFY_WAITING_MAX];
	size_t n_waiting;
	struct spawn_job *job; /* the one that runs */
	struct loop_timer *kick;
	uint64_t minute_us; /* boot time since when runs are counted */
	unsigned runs, left_out;
};

int
notify_new(struct notify **ret, struct monitor *m)
{
	struct notify *n = calloc(1, sizeof(*n));

	if (!n)
		return FAULT(-ENOMEM);
	n->m = m;
	*ret = n;
	return 0;
}

struct notify *
notify_free(struct notify *n)
{
	if (!n)
		return NULL;
	n->kick = loop_cancel(n->kick);
	n->job = spawn_job_forget(n->job);
	for (size_t i = 0; i < n->n_waiting; i++)
		json_decref(n->waiting[i].event);
	free(n);
	return NULL;
}

/* --- running ------------------------------------------------------------------------------------- */
static void on_kick(void *arg);

static void
kick(struct notify *n)
{
	if (loop_after(&n->kick, n->m->loop, 0, on_kick, n) < 0)
		log_warning("notify: no memory to run a program"); /* the next event tries again */
}

static void
on_ended(struct spawn_job *job, int r, struct frame *answer, void *arg)
{
	struct notify *n = arg;

	(void)job;
	(void)answer;
	/* It says nothing: that its socket closed is how it ends.  The worker itself keeps the limit. */
	if (r == -ETIMEDOUT)
		log_warning("notify: the worker did not end in time and was killed");
	else if (r != 0 && r != -ECONNRESET)
		log_warning("notify: a program could not be run");
	kick(n);
}

static int
open_program(const struct monitor *m, const char *path, int *ret_fd)
{
	struct stat st;
	int r = ours_open(m, path, ret_fd);

	if (r)
		return r;
	if (fstat(*ret_fd, &st) < 0)
		return FAULT(-errno);
	if ((st.st_mode & 0111) == 0 || (m->id.separate && (st.st_mode & 0005) != 0005))
		return REFUSE(REASON_WRONG_ROLE, path,
			"mode %03o: it runs as a user without privileges; chmod 0755",
			st.st_mode & 0777);
	return 0;
}

static int
start(struct notify *n, struct run *run)
{
	SCOPED(scope_close) int program = -1, input = -1;
	SCOPED(buf_done) struct buf line = BUF_MAX(LINE_BYTES_MAX);
	SCOPED(frame_out_done) struct frame_out out;
	int r;

	frame_begin(&out, CALL_TYPE_CALL, 1);
	r = open_program(n->m, run->path, &program);
	if (n->left_out > 0)
		r = r ?: json_put_u64(run->event, "left_out", n->left_out);
	r = r ?: json_canonical(&line, run->event);
	buf_u8(&line, '\n');
	r = r ?: buf_error(&line);
	r = r ?: fs_memfd(&input, "event", line.data, line.len);
	if (r)
		return r < 0 ? FAULT(r) : r;
	frame_put_text(&out, CALL_TAG_TEXT, run->path);
	frame_put_u64(&out, NOTIFY_WIRE_LIMIT, NOTIFY_LIMIT_S);
	frame_put_fd(&out, program);
	frame_put_fd(&out, input);
	r = spawn_job_start(&n->job, n->m->loop, n->m->spawner, SPAWN_NOTIFY, NULL, &out,
		(NOTIFY_LIMIT_S + NOTIFY_GRACE_S) * 1000, on_ended, n);
	if (r == 0)
		n->left_out = 0;
	return FAULT(r);
}

static bool
is_allowed(struct notify *n)
{
	uint64_t now = clock_mono_us();

	if (n->runs == 0 || now - n->minute_us > 60 * CLOCK_US_PER_S) {
		n->minute_us = now;
		n->runs = 0;
	}
	return n->runs++ < NOTIFY_PER_MINUTE;
}

static void
on_kick(void *arg)
{
	struct notify *n = arg;

	while (!n->job && n->n_waiting > 0) {
		struct run run = n->waiting[0];

		memmove(n->waiting, n->waiting + 1, --n->n_waiting * sizeof(run));
		if (!is_allowed(n))
			n->left_out++;
		else if (start(n, &run) < 0)
			log_warning("notify: %s could not be started", run.path);
		json_decref(run.event);
	}
}

/* --- finding ------------------------------------------------------------------------------------- */
static int
is_name(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static json_t *
event_json(const struct notify *n, const char *event, const char *about, const char *text)
{
	SCOPED_JSON *o = json_pack("{s:i, s:s, s:s, s:s, s:s}", "v", 1, "event", event, "site",
		monitor_site(n->m), "about", about ? about : "", "text", text);

	if (!o || json_put_time(o, "time", monitor_now_us(n->m)) < 0) {
		log_fault(FAULT(-ENOMEM), "telling the programs in notify.d");
		return NULL;
	}
	return STEAL(o);
}

/* There is room for it. */
static bool
add_run(struct notify *n, const char *folder, const char *name, const json_t *event)
{
	struct run *run = &n->waiting[n->n_waiting];

	if (snprintf(run->path, sizeof(run->path), "%s/%s", folder, name) >= (int)sizeof(run->path))
		return false;
	run->event = json_copy_whole(event, JSON_DEEP);
	if (!run->event) {
		log_fault(FAULT(-ENOMEM), run->path);
		return false;
	}
	n->n_waiting++;
	return true;
}

void
notify_event(struct notify *n, const char *event, const char *about, const char *text)
{
	char folder[sizeof(n->m->paths.etc) + 16], real[PATH_MAX];
	SCOPED_JSON *json = NULL;
	struct dirent **names = NULL;
	int found;

	(void)snprintf(folder, sizeof(folder), "%s/notify.d", n->m->paths.etc);
	if (!n->m->spawner)
		return;
	found = realpath(folder, real) ? scandir(real, &names, is_name, alphasort) : -1;
	if (found < 0 && errno == ENOENT)
		return; /* nobody wants to be told this way */
	if (found < 0) {
		log_fault(FAULT(-errno), "looking for programs to notify");
		n->left_out++;
	}
	json = event_json(n, event, about, text);
	for (int i = 0; i < found; i++) {
		if (i >= NOTIFY_PROGRAMS_MAX || n->n_waiting == NOTIFY_WAITING_MAX || !json ||
			!add_run(n, real, names[i]->d_name, json))
			n->left_out++;
		free(names[i]);
	}
	free(names);
	kick(n);
}
