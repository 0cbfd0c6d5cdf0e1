#include "updater/activate/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/frame.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/spawn_job.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "updater/activate/activate_wire.h"

/* --- the worker ---------------------------------------------------------------------------------------------- */
enum { FD_STORE, FD_OBJECTS, FD_PATCHES, FD_INDEX, FD_STAGE_N };

/* A worker whose monitor was killed goes on to its end: the next one waits for it.  Not the folder is
 * locked, which every user of this machine may open, and so could lock for ever. */
static int
lock_store(int *ret_fd, int store_fd)
{
	*ret_fd = openat(store_fd, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*ret_fd < 0 || flock(*ret_fd, LOCK_EX) < 0)
		return FAULT(-errno);
	return 0;
}

static int
do_stage(struct frame *job, struct stage_result *result)
{
	SCOPED(buf_done) struct buf index = BUF_MAX(TREE_INDEX_BYTES_MAX);
	SCOPED(scope_close) int lock = -1;
	int r;

	if (job->n_fds != FD_STAGE_N)
		return REFUSE(REASON_MALFORMED, "stage", "%zu descriptors, not %d", job->n_fds,
			FD_STAGE_N);
	r = lock_store(&lock, job->fds[FD_STORE]);
	r = r ?: fs_read_fd(job->fds[FD_INDEX], TREE_INDEX_BYTES_MAX, &index);
	r = r
		?: stage_tree(result, job->fds[FD_STORE], job->fds[FD_OBJECTS], job->fds[FD_PATCHES],
			   index.data, index.len);
	return r;
}

static int
do_remove(struct frame *job)
{
	const char *hex = frame_text(job, ACTIVATE_TAG_HEX, 64);

	if (job->n_fds != 1 || !hex || strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
		return REFUSE(REASON_MALFORMED, "remove", "no store folder, or no digest");
	return stage_remove(job->fds[FD_STORE], hex);
}

static void
answer(struct frame_out *out, uint32_t id, int r, const struct stage_result *result)
{
	const struct refusal *no = refuse_last();
	char trail[512];

	if (r == 0) {
		frame_begin(out, ACTIVATE_TYPE_DONE, id);
		frame_put_u64(out, ACTIVATE_TAG_FILES, result->files);
		frame_put_u64(out, ACTIVATE_TAG_BYTES, result->bytes);
	} else if (r > 0) {
		frame_begin(out, ACTIVATE_TYPE_REFUSED, id);
		frame_put_text(out, ACTIVATE_TAG_REASON, refuse_token((enum reason)r));
		frame_put_text(out, ACTIVATE_TAG_OPERAND, no->operand);
		frame_put_text(out, ACTIVATE_TAG_TEXT, no->text);
	} else {
		fault_take(trail, sizeof(trail));
		frame_begin(out, ACTIVATE_TYPE_FAULT, id);
		frame_put_text(out, ACTIVATE_TAG_TEXT, trail[0] ? trail : strerror(-r));
	}
}

int
worker_main(int job_fd)
{
	SCOPED(frame_done) struct frame job = { 0 };
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	struct stage_result result = { 0 };
	int r;

	r = frame_recv_wait(job_fd, &job, ACTIVATE_TIME_MAX_S * 1000);
	if (r != 0)
		return refuse_exit_code(r);
	switch (job.type) {
	case ACTIVATE_TYPE_STAGE:
		r = do_stage(&job, &result);
		break;
	case ACTIVATE_TYPE_REMOVE:
		r = do_remove(&job);
		break;
	default:
		r = REFUSE(REASON_MALFORMED, "job", "unknown type %u", job.type);
	}
	answer(&out, job.id, r, &result);
	if (frame_send_wait(job_fd, &out, 10 * 1000) != 0)
		return refuse_exit_code(-EPIPE);
	return refuse_exit_code(r);
}

/* --- the monitor's side --------------------------------------------------------------------------------------- */
struct worker {
	struct worker **slot;
	struct spawn_job *job;
	worker_done_fn *done;
	void *arg;
};

struct worker *
worker_cancel(struct worker *w)
{
	if (!w)
		return NULL;
	if (w->slot)
		*w->slot = NULL;
	spawn_job_forget(w->job); /* the worker ends with its job; nobody hears its answer */
	free(w);
	return NULL;
}

SCOPED_DESTRUCTOR(struct worker, worker_cancel)

static void
finish(struct worker *w, int r, const struct stage_result *result)
{
	worker_done_fn *done = w->done;
	void *arg = w->arg;

	worker_cancel(w);
	done(r, result, arg);
}

static const struct frame_rule done_rules[] = {
	{ ACTIVATE_TAG_FILES, 1, 1, 8 },
	{ ACTIVATE_TAG_BYTES, 1, 1, 8 },
};

static const struct frame_rule refused_rules[] = {
	{ ACTIVATE_TAG_REASON, 1, 1, 32 },
	{ ACTIVATE_TAG_OPERAND, 0, 1, REFUSE_OPERAND_MAX },
	{ ACTIVATE_TAG_TEXT, 0, 1, REFUSE_TEXT_MAX },
};

/* What the worker says is as hostile as what it read. */
static void
on_answer(struct spawn_job *job, int r, struct frame *f, void *arg)
{
	struct worker *w = arg;
	struct stage_result result = { 0 };
	const char *text;
	enum reason reason;

	(void)job;
	if (r != 0) {
		finish(w, FAULT(r), NULL);
		return;
	}
	switch (f->type) {
	case ACTIVATE_TYPE_DONE:
		if (frame_check(f, done_rules, ARRAY_LEN(done_rules), false, 0) != 0)
			break;
		if (!frame_u64(f, ACTIVATE_TAG_FILES, &result.files) ||
			!frame_u64(f, ACTIVATE_TAG_BYTES, &result.bytes))
			break;
		finish(w, 0, &result);
		return;
	case ACTIVATE_TYPE_REFUSED:
		if (frame_check(f, refused_rules, ARRAY_LEN(refused_rules), false, 0) != 0)
			break;
		text = frame_text(f, ACTIVATE_TAG_REASON, 32);
		reason = text ? refuse_reason(text) : REASON_NONE;
		if (reason == REASON_NONE)
			break;
		finish(w,
			refuse_relay(reason,
				frame_text(f, ACTIVATE_TAG_OPERAND, REFUSE_OPERAND_MAX - 1), NULL,
				frame_text(f, ACTIVATE_TAG_TEXT, REFUSE_TEXT_MAX - 1)),
			NULL);
		return;
	case ACTIVATE_TYPE_FAULT:
		text = frame_text(f, ACTIVATE_TAG_TEXT, REFUSE_TEXT_MAX);
		log_error("mainstay-activate: %s", text ? text : "?");
		break;
	default:
		break;
	}
	finish(w, FAULT(-EPROTO), NULL);
}

static int
open_folders(const struct paths *paths, int *ret_store, int *ret_objects, int *ret_patches)
{
	SCOPED(scope_close) int incoming = -1;
	char path[sizeof(paths->lib) + 32];
	int r;

	snprintf(path, sizeof(path), "%s/store", paths->lib);
	r = fs_open_dir(ret_store, -1, path, 0755);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/incoming", paths->lib);
	incoming = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (incoming < 0)
		return -errno;
	/* The folder incoming/ is the courier's: links in it lead nowhere. */
	*ret_objects = beneath_open(incoming, "objects", O_RDONLY | O_DIRECTORY, 0);
	*ret_patches = beneath_open(incoming, "patches", O_RDONLY | O_DIRECTORY, 0);
	/* None came: a folder without any. */
	if (*ret_objects == -ENOENT)
		*ret_objects = openat(incoming, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_patches == -ENOENT)
		*ret_patches = openat(incoming, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_objects < 0 ? *ret_objects : *ret_patches < 0 ? *ret_patches : 0;
}

/* Send the job, whose frame is begun, to a worker of its own. */
static int
start(struct worker **slot, struct monitor *m, const struct frame_out *job, worker_done_fn *done, void *arg)
{
	SCOPED(worker_cancelp) struct worker *w = NULL;
	int r;

	if (!monitor_spawner(m))
		return FAULT(-ENOTSUP);
	w = calloc(1, sizeof(*w));
	if (!w)
		return FAULT(-ENOMEM);
	w->done = done;
	w->arg = arg;
	r = spawn_job_start(&w->job, monitor_loop(m), monitor_spawner(m), SPAWN_ACTIVATE, NULL, job,
		ACTIVATE_TIME_MAX_S * 1000, on_answer, w);
	if (r < 0)
		return FAULT(r);
	w->slot = slot;
	*slot = STEAL(w);
	return 0;
}

int
worker_stage(struct worker **slot, struct monitor *m, const void *index, size_t len,
	worker_done_fn *done, void *arg)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(scope_close) int store = -1;
	SCOPED(scope_close) int objects = -1;
	SCOPED(scope_close) int patches = -1;
	SCOPED(scope_close) int bytes = -1;
	int r;

	frame_begin(&out, ACTIVATE_TYPE_STAGE, 1);
	r = open_folders(monitor_paths(m), &store, &objects, &patches);
	r = r ?: fs_memfd(&bytes, "index", index, len);
	frame_put_fd(&out, store);
	frame_put_fd(&out, objects);
	frame_put_fd(&out, patches);
	frame_put_fd(&out, bytes);
	r = r ?: start(slot, m, &out, done, arg);
	return r < 0 ? FAULT(r) : 0;
}

int
worker_remove(struct worker **slot, struct monitor *m, const char *hex, worker_done_fn *done, void *arg)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(scope_close) int store = -1;
	char path[sizeof(monitor_paths(m)->lib) + 32];
	int r;

	snprintf(path, sizeof(path), "%s/store", monitor_paths(m)->lib);
	r = fs_open_dir(&store, -1, path, 0755);
	if (r < 0)
		return FAULT(r);
	frame_begin(&out, ACTIVATE_TYPE_REMOVE, 1);
	frame_put_text(&out, ACTIVATE_TAG_HEX, hex);
	frame_put_fd(&out, store);
	r = start(slot, m, &out, done, arg);
	return r < 0 ? FAULT(r) : 0;
}
