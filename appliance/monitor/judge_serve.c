#include <errno.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/monitor/judge.h"

static int
take_job(struct frame *f, struct buf *input, enum judge_kind *ret_kind, const char **ret_name)
{
	const char *kind = frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX);
	int r;

	*ret_name = frame_text(f, CALL_TAG_TEXT, 255);
	if (f->type != CALL_TYPE_CALL || !kind || !*ret_name || f->n_fds != 2 ||
		!judge_kind_parse(ret_kind, kind))
		return REFUSE(REASON_MALFORMED, "job", "not of the agreed form");
	r = fs_read_fd(f->fds[0], JUDGE_INPUT_MAX, input);
	if (r > 0)
		return REFUSE(r, *ret_name, "the input cannot be read");
	return FAULT(r);
}

static void
put_result(struct frame_out *out, uint32_t id, int r)
{
	const struct refusal *why = refuse_last();

	frame_begin(out, r == 0 ? CALL_TYPE_OK : r > 0 ? CALL_TYPE_REFUSED : CALL_TYPE_FAULT, id);
	if (r > 0) {
		frame_put_text(out, CALL_TAG_REASON, refuse_token((enum reason)r));
		frame_put_text(out, CALL_TAG_OPERAND, why->operand);
		frame_put_text(out, CALL_TAG_PLACE, why->place);
		frame_put_text(out, CALL_TAG_TEXT, why->text);
	} else if (r < 0) {
		frame_put_text(out, CALL_TAG_TEXT, strerror(-r));
	}
}

int
judge_serve(int fd)
{
	SCOPED(buf_done) struct buf input = BUF_MAX(JUDGE_INPUT_MAX);
	SCOPED(buf_done) struct buf output = BUF_MAX(JUDGE_OUTPUT_MAX);
	SCOPED(frame_done) struct frame f = { 0 };
	SCOPED(frame_out_done) struct frame_out out;
	enum judge_kind kind = JUDGE_TUF;
	const char *name = "job";
	int r;

	frame_begin(&out, CALL_TYPE_FAULT, 0);
	r = frame_recv_wait(fd, &f, 0);
	if (r)
		return r < 0 ? FAULT(r) : -EPIPE;
	r = take_job(&f, &input, &kind, &name);
	r = r ?: judge_job(kind, name, input.data, input.len, &output);
	r = r ?: fs_write_all(f.fds[1], output.data, output.len);
	frame_out_done(&out);
	put_result(&out, f.id, r);
	r = frame_send_wait(fd, &out, 0);
	return r > 0 ? -EPIPE : FAULT(r);
}
