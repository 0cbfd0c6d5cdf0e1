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
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/spawn.h"
#include "appliance/tree/index.h"
#include "updater/activate/activate_wire.h"

/* --- the worker ---------------------------------------------------------------------------------------------- */
enum { FD_STORE, FD_OBJECTS, FD_INDEX, FD_STAGE_N };

static int
do_stage(struct frame *job, struct stage_result *result)
{
	SCOPED(buf_done) struct buf index = BUF_MAX(TREE_INDEX_BYTES_MAX);
	int r;

	if (job->n_fds != FD_STAGE_N)
		return REFUSE(REASON_MALFORMED, "stage", "%zu descriptors, not %d", job->n_fds, FD_STAGE_N);
	/* A worker whose monitor was killed goes on to its end: the next one waits for it. */
	if (flock(job->fds[FD_STORE], LOCK_EX) < 0)
		return FAULT(-errno);
	r = fs_read_fd(job->fds[FD_INDEX], TREE_INDEX_BYTES_MAX, &index);
	r = r ?: stage_tree(result, job->fds[FD_STORE], job->fds[FD_OBJECTS], index.data, index.len);
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
	struct frame_conn *conn;
	struct loop_timer *limit;
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
	frame_conn_close(w->conn); /* the worker ends with its job; nobody hears its answer */
	loop_cancel(w->limit);
	free(w);
	return NULL;
}

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
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct worker *w = arg;
	struct stage_result result = { 0 };
	const char *text;
	enum reason reason;

	(void)conn;
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
		finish(w, refuse_relay(reason, frame_text(f, ACTIVATE_TAG_OPERAND, REFUSE_OPERAND_MAX - 1), NULL,
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

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	(void)conn;
	(void)why;
	finish(arg, FAULT(-ECONNRESET), NULL);
}

static void
on_limit(void *arg)
{
	finish(arg, FAULT(-ETIMEDOUT), NULL);
}

static const struct frame_conn_ops conn_ops = { .frame = on_frame, .closed = on_closed };

/* The two folders and the index, as descriptors. */
static int
send_job(struct worker *w, struct monitor *m, const void *index, size_t len)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(scope_close) int store = -1;
	SCOPED(scope_close) int objects = -1;
	SCOPED(scope_close) int bytes = -1;
	char path[sizeof(monitor_paths(m)->lib) + 32];
	int r;

	snprintf(path, sizeof(path), "%s/store", monitor_paths(m)->lib);
	r = fs_open_dir(&store, -1, path, 0755);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/incoming/objects", monitor_paths(m)->lib);
	objects = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (objects < 0)
		return -errno;
	r = fs_memfd(&bytes, "index", index, len);
	if (r < 0)
		return r;
	frame_begin(&out, ACTIVATE_TYPE_STAGE, 1);
	frame_put_fd(&out, store);
	frame_put_fd(&out, objects);
	frame_put_fd(&out, bytes);
	return frame_conn_send(w->conn, &out);
}

int
worker_stage(struct worker **slot, struct monitor *m, const void *index, size_t len,
	worker_done_fn *done, void *arg)
{
	struct worker *w;
	int pair[2];
	int r;

	if (!monitor_spawner(m))
		return FAULT(-ENOTSUP);
	w = calloc(1, sizeof(*w));
	if (!w)
		return FAULT(-ENOMEM);
	w->done = done;
	w->arg = arg;
	r = frame_pair(pair);
	if (r == 0) {
		r = frame_conn_open(&w->conn, monitor_loop(m), pair[0], &conn_ops, w);
		if (r < 0)
			close(pair[1]);
	}
	r = r ?: spawn_worker(monitor_spawner(m), SPAWN_ACTIVATE, pair[1], NULL, NULL);
	r = r ?: send_job(w, m, index, len);
	r = r ?: loop_after(&w->limit, monitor_loop(m), ACTIVATE_TIME_MAX_S * 1000, on_limit, w);
	if (r < 0) {
		worker_cancel(w);
		return FAULT(r);
	}
	w->slot = slot;
	*slot = w;
	return 0;
}
