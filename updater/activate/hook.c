#include "updater/activate/hook.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/identity.h"
#include "appliance/service/secret.h"
#include "appliance/service/spawn_job.h"
#include "appliance/tree/beneath.h"
#include "appliance/trust/sha256.h"
#include "remote/operate/operate_wire.h"
#include "updater/activate/change_check.h"

#define SNAPSHOTS ".snapshot"

enum { SLACK_MS = 5000, TAIL_MAX = 160 };

struct hook {
	struct hook **slot;
	struct spawn_job *job;
	hook_done_fn *done;
	void *arg;
	struct buf out, err; /* what it wrote, together at most: */
	uint64_t output_max;
	char what[128]; /* "redis: snapshot" */
};

struct hook *
hook_cancel(struct hook *h)
{
	if (!h)
		return NULL;
	if (h->slot)
		*h->slot = NULL;
	spawn_job_forget(h->job);
	buf_done(&h->out);
	buf_done(&h->err);
	free(h);
	return NULL;
}

/* --- folders --------------------------------------------------------------------------------------------------- */
static int
open_data(int *ret_fd, struct monitor *m, const char *service)
{
	char path[sizeof(monitor_paths(m)->lib) + 128];

	(void)snprintf(path, sizeof(path), "%s/services/%s/data", monitor_paths(m)->lib, service);
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

/* One folder of the service's own, whoever made it; a link in its place is not followed. */
static int
own_folder(int *ret_fd, int dir_fd, const char *name, uid_t uid)
{
	if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
		return FAULT(-errno);
	*ret_fd = beneath_open(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (*ret_fd == -ELOOP || *ret_fd == -ENOTDIR)
		return REFUSE(REASON_UNSAFE_TREE, name, "in the service's data folder this is no folder");
	if (*ret_fd < 0)
		return FAULT(*ret_fd);
	if (geteuid() == 0 && fchown(*ret_fd, uid, uid) < 0)
		return FAULT(-errno);
	return 0;
}

static int
open_snapshot(int data_fd, const char *id)
{
	SCOPED(scope_close) int all = beneath_open(data_fd, SNAPSHOTS, O_RDONLY | O_DIRECTORY, 0);

	return all < 0 ? all : beneath_open(all, id, O_RDONLY | O_DIRECTORY, 0);
}

bool
hook_has_snapshot(struct monitor *m, const char *service, const char *id)
{
	SCOPED(scope_close) int data = -1;
	SCOPED(scope_close) int one = -1;

	if (open_data(&data, m, service) == 0)
		one = open_snapshot(data, id);
	return one >= 0;
}

/* Where a snapshot is made, empty; where it is read, as it was made. */
static int
snapshot_folder(struct monitor *m, const char *service, enum definition_hooks which, const char *id, uid_t uid)
{
	SCOPED(scope_close) int data = -1;
	SCOPED(scope_close) int all = -1;
	SCOPED(scope_close) int one = -1;
	int r = open_data(&data, m, service);

	if (r < 0)
		return FAULT(r);
	if (which == DEFINITION_HOOK_SNAPSHOT) {
		r = own_folder(&all, data, SNAPSHOTS, uid);
		r = r ?: fs_remove_tree(all, id);
		return r ?: own_folder(&one, all, id, uid);
	}
	one = open_snapshot(data, id);
	if (one < 0)
		return REFUSE(REASON_NOT_FOUND, service, "snapshot %s is not there", id);
	return 0;
}

void
hook_forget_snapshots(struct monitor *m, const char *service, const char *const *keep, size_t n)
{
	SCOPED(scope_close) int data = -1;
	const struct dirent *e;
	DIR *dir;
	int fd;

	if (open_data(&data, m, service) < 0)
		return;
	fd = beneath_open(data, SNAPSHOTS, O_RDONLY | O_DIRECTORY, 0);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		bool kept = strlen(e->d_name) != 32 || strspn(e->d_name, "0123456789abcdef") != 32;

		for (size_t i = 0; i < n; i++)
			kept |= strcmp(keep[i], e->d_name) == 0;
		if (!kept && fs_remove_tree(dirfd(dir), e->d_name) < 0)
			log_info("%s: snapshot %s could not be removed", service, e->d_name);
	}
	(void)closedir(dir);
}

/* --- its end --------------------------------------------------------------------------------------------------- */
static const struct frame_rule result_rules[] = { OPERATE_RESULT_RULES };
static const struct frame_rule output_rules[] = { OPERATE_OUTPUT_RULES };
static const struct frame_rule refused_rules[] = { OPERATE_REFUSED_RULES };

/* All that it wrote, and its last words. */
static int
digest_output(struct hook *h, char hex[65], char tail[TAIL_MAX])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(h->output_max + 1);
	uint8_t digest[SHA256_LEN];
	size_t from;

	buf_put(&b, h->out.data, h->out.len);
	buf_put(&b, h->err.data, h->err.len);
	if (buf_error(&b) || buf_error(&h->out) || buf_error(&h->err))
		return FAULT(-ENOMEM);
	sha256_of(digest, b.data, b.len);
	hex_encode(hex, digest, sizeof(digest));
	from = b.len > TAIL_MAX / 2 ? b.len - TAIL_MAX / 2 : 0;
	log_escape(tail, TAIL_MAX, buf_text(&b) + from);
	return 0;
}

/* Part of the output: false where it is none, or more than there may be. */
static bool
on_part(struct spawn_job *worker, struct frame *f, void *arg)
{
	struct hook *h = arg;
	const uint8_t *bytes;
	uint64_t stream;
	size_t len = 0;

	(void)worker;
	if (f->type != OPERATE_OUTPUT ||
		frame_check(f, output_rules, ARRAY_LEN(output_rules), false, 0) != 0 ||
		!frame_u64(f, OPERATE_TAG_STREAM, &stream))
		return false;
	bytes = frame_bytes(f, OPERATE_TAG_BYTES, &len);
	if (len > h->output_max - h->out.len - h->err.len)
		return false;
	buf_put(stream == OPERATE_STDERR ? &h->err : &h->out, bytes, len);
	return true;
}

static int
take_result(struct hook *h, const struct frame *f, char output[65])
{
	char tail[TAIL_MAX] = "";
	uint64_t outcome, status = 0, signal = 0;
	int r;

	if (frame_check(f, result_rules, ARRAY_LEN(result_rules), false, 0) != 0 ||
		!frame_u64(f, OPERATE_TAG_OUTCOME, &outcome))
		return FAULT(-EPROTO);
	(void)frame_u64(f, OPERATE_TAG_STATUS, &status);
	(void)frame_u64(f, OPERATE_TAG_SIGNAL, &signal);
	r = digest_output(h, output, tail);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	if (outcome == OPERATE_OK)
		return 0;
	if (outcome == OPERATE_TIMEOUT)
		return REFUSE(REASON_CONFLICT, h->what, "the hook took too long: %s", tail);
	return REFUSE(REASON_CONFLICT, h->what, "the hook ended with %s %llu: %s", signal ? "signal" : "status",
		(unsigned long long)(signal ? signal : status), tail);
}

static int
take_answer(struct hook *h, const struct frame *f, char output[65])
{
	enum reason reason;

	if (f->type == OPERATE_RESULT)
		return take_result(h, f, output);
	if (f->type != OPERATE_REFUSED ||
		frame_check(f, refused_rules, ARRAY_LEN(refused_rules), false, 0) != 0)
		return FAULT(-EPROTO);
	reason = refuse_reason(frame_text(f, OPERATE_TAG_REASON, 32) ?: "");
	return refuse_relay(reason ?: REASON_FAULT, h->what, NULL,
		frame_text(f, OPERATE_TAG_TEXT, REFUSE_TEXT_MAX - 1) ?: "the worker could not");
}

static void
on_answer(struct spawn_job *worker, int r, struct frame *f, void *arg)
{
	struct hook *h = arg;
	hook_done_fn *done = h->done;
	void *done_arg = h->arg;
	char output[65] = "";

	r = r ?: take_answer(h, f, output);
	if (r == -EPROTO)
		spawn_job_signal(worker, SIGKILL);
	hook_cancel(h);
	done(r, output, done_arg);
}

/* --- its job --------------------------------------------------------------------------------------------------- */
static int
put_args(struct frame_out *out, struct monitor *m, const struct definition *d, const struct definition_hook *hook,
	const char *snapshot)
{
	SCOPED(definition_argv_freep) char **argv = NULL;
	SCOPED_JSON *knobs = NULL;
	char path[64];
	struct definition_values values = {
		.run = "/run/service", .data = "/data", .conf = "/conf", .log = "/log", .of = d
	};
	int r = change_check_knobs(m, d, &knobs);

	(void)snprintf(path, sizeof(path), "/data/" SNAPSHOTS "/%s", snapshot);
	values.snapshot = snapshot[0] ? path : NULL;
	values.knobs = knobs;
	r = r ?: definition_expand_argv(&hook->argv, &values, &argv);
	for (size_t i = 0; r == 0 && argv[i]; i++)
		frame_put_text(out, OPERATE_TAG_ARG, argv[i]);
	return r;
}

static void
put_folders(struct frame_out *out, struct monitor *m, const char *service, const char *release)
{
	const struct paths *paths = monitor_paths(m);
	char path[OPERATE_PATH_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s/store/%s", paths->lib, release);
	frame_put_text(out, OPERATE_TAG_TREE, path);
	(void)snprintf(path, sizeof(path), "%s/services/%s", paths->run, service);
	frame_put_text(out, OPERATE_TAG_RUN, path);
	(void)snprintf(path, sizeof(path), "%s/services/%s/data", paths->lib, service);
	frame_put_text(out, OPERATE_TAG_DATA, path);
	(void)snprintf(path, sizeof(path), "%s/services/%s/conf", paths->lib, service);
	frame_put_text(out, OPERATE_TAG_CONF, path);
}

static void
put_secrets(struct frame_out *out, const struct secret_grant *g)
{
	for (size_t i = 0; i < g->n; i++) {
		frame_put_text(out, OPERATE_TAG_SECRET, g->items[i].name);
		frame_put_u64(out, OPERATE_TAG_SECRET_FROM, g->items[i].from);
		frame_put_u64(out, OPERATE_TAG_SECRET_LEN, g->items[i].len);
		frame_put_fd(out, g->items[i].fd);
	}
}

int
hook_start(struct hook **slot, struct monitor *m, const struct definition *d, const char *release,
	enum definition_hooks which, const char *snapshot, hook_done_fn *done, void *arg)
{
	SCOPED(secret_grant_done) struct secret_grant secrets = { .n = 0 };
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(hook_cancelp) struct hook *h = calloc(1, sizeof(*h));
	const struct definition_hook *hook = &d->hooks[which];
	uid_t uid;
	int r;

	if (!h)
		return FAULT(-ENOMEM);
	h->done = done;
	h->arg = arg;
	h->output_max = hook->output;
	h->out = h->err = BUF_MAX(hook->output + 1);
	(void)snprintf(h->what, sizeof(h->what), "%s: %s", d->name, definition_hook_text(which));
	r = identity_service(monitor_identity(m), monitor_paths(m), d->name, &uid);
	if (r == 0 && snapshot[0])
		r = snapshot_folder(m, d->name, which, snapshot, uid);
	r = r ?: secret_grant(&secrets, monitor_paths(m), d, hook->secrets);
	frame_begin(&out, OPERATE_JOB, 1);
	r = r ?: put_args(&out, m, d, hook, snapshot);
	put_folders(&out, m, d->name, release);
	frame_put_u64(&out, OPERATE_TAG_PROFILE, OPERATE_DESTROY);
	frame_put_u64(&out, OPERATE_TAG_DECLARED,
		which == DEFINITION_HOOK_CHECK ? OPERATE_MAY_READ : OPERATE_MAY_READ | OPERATE_MAY_DATA);
	frame_put_u64(&out, OPERATE_TAG_UID, uid);
	frame_put_u64(&out, OPERATE_TAG_TIMEOUT, hook->timeout_us / 1000);
	frame_put_u64(&out, OPERATE_TAG_MEMORY, hook->memory);
	frame_put_u64(&out, OPERATE_TAG_OUTPUT, hook->output);
	frame_put_u64(&out, OPERATE_TAG_PROCESSES, d->limits.processes);
	put_secrets(&out, &secrets);
	r = r ?: spawn_job_start(&h->job, monitor_loop(m), monitor_spawner(m), SPAWN_OPERATE, NULL, &out,
			 (unsigned)(hook->timeout_us / 1000) + SLACK_MS, on_answer, h);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	spawn_job_parts(h->job, on_part);
	h->slot = slot;
	*slot = STEAL(h);
	return 0;
}
