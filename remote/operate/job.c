#include "remote/operate/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"

enum { SEND_MS = 10 * 1000 };

_Static_assert((int)OPERATE_SECRETS_MAX <= (int)FRAME_FDS_MAX, "a frame carries all descriptors of a job");

static const struct frame_rule job_rules[] = {
	{ OPERATE_TAG_PROFILE, 1, 1, 8 },
	{ OPERATE_TAG_ARG, 1, OPERATE_ARGS_MAX, OPERATE_ARG_MAX },
	{ OPERATE_TAG_TREE, 1, 1, OPERATE_PATH_MAX },
	{ OPERATE_TAG_RUN, 1, 1, OPERATE_PATH_MAX },
	{ OPERATE_TAG_DATA, 0, 1, OPERATE_PATH_MAX },
	{ OPERATE_TAG_CONF, 0, 1, OPERATE_PATH_MAX },
	{ OPERATE_TAG_UID, 1, 1, 8 },
	{ OPERATE_TAG_TIMEOUT, 1, 1, 8 },
	{ OPERATE_TAG_MEMORY, 1, 1, 8 },
	{ OPERATE_TAG_OUTPUT, 1, 1, 8 },
	{ OPERATE_TAG_PROCESSES, 1, 1, 8 },
	{ OPERATE_TAG_DECLARED, 0, 1, 8 },
	{ OPERATE_TAG_SECRET, 0, OPERATE_SECRETS_MAX, OPERATE_NAME_MAX },
	{ OPERATE_TAG_SECRET_FROM, 0, OPERATE_SECRETS_MAX, 8 },
	{ OPERATE_TAG_SECRET_LEN, 0, OPERATE_SECRETS_MAX, 8 },
};

static const struct frame_rule result_rules[] = { OPERATE_RESULT_RULES };
static const struct frame_rule output_rules[] = { OPERATE_OUTPUT_RULES };
static const struct frame_rule refused_rules[] = { OPERATE_REFUSED_RULES };

int
operate_job_put(struct frame_out *out, const struct operate_job *job)
{
	int r;

	frame_begin(out, OPERATE_JOB, 1);
	for (size_t n = 0; job->argv[n]; n++) {
		if (strlen(job->argv[n]) > OPERATE_ARG_MAX)
			return REFUSE(REASON_TOO_LARGE, "operation",
				"an argument is longer than %d bytes", OPERATE_ARG_MAX);
		frame_put_text(out, OPERATE_TAG_ARG, job->argv[n]);
	}
	frame_put_u64(out, OPERATE_TAG_PROFILE, job->profile);
	frame_put_text(out, OPERATE_TAG_TREE, job->tree);
	frame_put_text(out, OPERATE_TAG_RUN, job->run);
	frame_put_text(out, OPERATE_TAG_DATA, *job->data ? job->data : NULL);
	frame_put_text(out, OPERATE_TAG_CONF, *job->conf ? job->conf : NULL);
	frame_put_u64(out, OPERATE_TAG_UID, job->uid);
	frame_put_u64(out, OPERATE_TAG_TIMEOUT, job->timeout_ms);
	frame_put_u64(out, OPERATE_TAG_MEMORY, job->memory);
	frame_put_u64(out, OPERATE_TAG_OUTPUT, job->output);
	frame_put_u64(out, OPERATE_TAG_PROCESSES, job->processes);
	frame_put_u64(out, OPERATE_TAG_DECLARED, job->declared);
	for (size_t i = 0; i < job->n_secrets; i++) {
		frame_put_text(out, OPERATE_TAG_SECRET, job->secrets[i].name);
		frame_put_u64(out, OPERATE_TAG_SECRET_FROM, job->secrets[i].from);
		frame_put_u64(out, OPERATE_TAG_SECRET_LEN, job->secrets[i].len);
		frame_put_fd(out, job->secrets[i].fd);
	}
	r = buf_error(&out->buf);
	if (r == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, "operation", "its command line is too long");
	return FAULT(r);
}

/* A number of at most max. */
static bool
take_number(const struct frame *f, uint16_t tag, uint64_t max, uint64_t *ret)
{
	return frame_u64(f, tag, ret) && *ret <= max;
}

/* An absolute path; absent is left "". */
static bool
take_path(const struct frame *f, uint16_t tag, char out[OPERATE_PATH_MAX + 1])
{
	const char *text = frame_text(f, tag, OPERATE_PATH_MAX);

	if (!frame_find(f, tag, 0))
		return true;
	if (!text || *text != '/')
		return false;
	(void)snprintf(out, OPERATE_PATH_MAX + 1, "%s", text);
	return true;
}

static int
take_args(const struct frame *f, struct operate_job *job)
{
	const struct frame_field *a;

	for (size_t n = 0; (a = frame_find(f, OPERATE_TAG_ARG, n)); n++) {
		if (memchr(a->data, '\0', a->len))
			return REFUSE(REASON_MALFORMED, "job", "an argument holds a NUL");
		job->argv[n] = strdup((const char *)a->data);
		if (!job->argv[n])
			return FAULT(-ENOMEM);
	}
	return 0;
}

/* The nth field as a number; UINT64_MAX, which is none that may be, where there is none. */
static uint64_t
number_at(const struct frame *f, uint16_t tag, size_t nth)
{
	const struct frame_field *field = frame_find(f, tag, nth);
	uint64_t v = 0;

	if (!field || field->len != 8)
		return UINT64_MAX;
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | field->data[i];
	return v;
}

static bool
is_name(const struct frame_field *f)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	return f->len > 0 && !memchr(f->data, '\0', f->len) &&
		strspn((const char *)f->data, good) == f->len;
}

/* Each secret has its name, its place in the file, and the next of the descriptors. */
static int
take_secrets(struct frame *f, struct operate_job *job)
{
	const struct frame_field *name;
	size_t n;

	for (n = 0; (name = frame_find(f, OPERATE_TAG_SECRET, n)); n++) {
		uint64_t from = number_at(f, OPERATE_TAG_SECRET_FROM, n),
			 len = number_at(f, OPERATE_TAG_SECRET_LEN, n);
		struct operate_secret *s = &job->secrets[n];

		if (!is_name(name))
			return REFUSE(REASON_MALFORMED, "job", "a secret has no name that can be a file's");
		if (from > OPERATE_SECRET_FILE_MAX || len == 0 || len > OPERATE_SECRET_MAX ||
			n >= f->n_fds)
			return REFUSE(REASON_MALFORMED, "job",
				"a secret has no place in its file, or no descriptor");
		(void)snprintf(s->name, sizeof(s->name), "%.*s", (int)name->len, (const char *)name->data);
		s->from = (uint32_t)from;
		s->len = (uint32_t)len;
		s->fd = STEAL_FD(f->fds[n]);
		job->n_secrets = n + 1;
	}
	if (f->n_fds != n || frame_find(f, OPERATE_TAG_SECRET_FROM, n) ||
		frame_find(f, OPERATE_TAG_SECRET_LEN, n))
		return REFUSE(REASON_MALFORMED, "job", "more descriptors or places than it has secrets");
	return 0;
}

static int
take_job(struct frame *f, struct operate_job *job)
{
	uint64_t profile, uid, timeout, memory, output, processes, declared = 0;
	int r;

	r = frame_check(f, job_rules, ARRAY_LEN(job_rules), false, OPERATE_SECRETS_MAX);
	if (r)
		return r;
	if (f->type != OPERATE_JOB)
		return REFUSE(REASON_MALFORMED, "job", "a frame of type %u", f->type);
	if (!take_number(f, OPERATE_TAG_PROFILE, OPERATE_DESTROY, &profile) ||
		profile < OPERATE_OBSERVE ||
		!take_number(f, OPERATE_TAG_UID, UINT32_MAX - 1, &uid) ||
		!take_number(f, OPERATE_TAG_TIMEOUT, OPERATE_TIMEOUT_MAX_MS, &timeout) ||
		timeout == 0 || !take_number(f, OPERATE_TAG_MEMORY, UINT64_MAX, &memory) ||
		!take_number(f, OPERATE_TAG_OUTPUT, OPERATE_OUTPUT_MAX, &output) ||
		!take_number(f, OPERATE_TAG_PROCESSES, UINT32_MAX, &processes) ||
		(frame_find(f, OPERATE_TAG_DECLARED, 0) &&
			!take_number(f, OPERATE_TAG_DECLARED, UINT32_MAX, &declared)))
		return REFUSE(REASON_MALFORMED, "job", "a number is out of its bounds");
	if (!take_path(f, OPERATE_TAG_TREE, job->tree) ||
		!take_path(f, OPERATE_TAG_RUN, job->run) ||
		!take_path(f, OPERATE_TAG_DATA, job->data) ||
		!take_path(f, OPERATE_TAG_CONF, job->conf))
		return REFUSE(REASON_MALFORMED, "job", "a folder is no absolute path");
	job->profile = (enum operate_profile)profile;
	job->uid = (uid_t)uid;
	job->timeout_ms = (uint32_t)timeout;
	job->memory = memory;
	job->output = (uint32_t)output;
	job->processes = (uint32_t)processes;
	job->declared = (uint32_t)declared;
	r = take_secrets(f, job);
	return r ?: take_args(f, job);
}

int
operate_job_receive(int sock, struct operate_job *ret)
{
	SCOPED(frame_done) struct frame f = { 0 };
	int r;

	*ret = (struct operate_job){ 0 };
	r = frame_recv_wait(sock, &f, 0);
	if (r == REASON_UNREACHABLE)
		return FAULT(-ECONNRESET);
	r = r ?: take_job(&f, ret);
	return r < 0 ? FAULT(r) : r;
}

void
operate_job_done(struct operate_job *job)
{
	for (char **a = job->argv; *a; a++) {
		free(*a);
		*a = NULL;
	}
	for (size_t i = 0; i < job->n_secrets; i++)
		scope_close(&job->secrets[i].fd);
	job->n_secrets = 0;
}

static int
send_answer(int sock, const struct frame_out *out)
{
	int r = frame_send_wait(sock, out, SEND_MS);

	return r == REASON_UNREACHABLE ? FAULT(-ECONNRESET) : FAULT(r);
}

int
operate_output_send(int sock, const struct operate_output *o)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, OPERATE_OUTPUT, 1);
	frame_put_u64(&out, OPERATE_TAG_STREAM, o->stream);
	frame_put_bytes(&out, OPERATE_TAG_BYTES, o->bytes, o->len);
	return send_answer(sock, &out);
}

int
operate_result_send(int sock, const struct operate_result *r)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, OPERATE_RESULT, 1);
	frame_put_u64(&out, OPERATE_TAG_OUTCOME, r->outcome);
	if (r->exit_status >= 0)
		frame_put_u64(&out, OPERATE_TAG_STATUS, (uint64_t)r->exit_status);
	if (r->signal > 0)
		frame_put_u64(&out, OPERATE_TAG_SIGNAL, (uint64_t)r->signal);
	frame_put_u64(&out, OPERATE_TAG_CPU_MS, r->cpu_ms);
	frame_put_u64(&out, OPERATE_TAG_MAX_RSS, r->max_rss);
	frame_put_u64(&out, OPERATE_TAG_WALL_MS, r->wall_ms);
	frame_put_u64(&out, OPERATE_TAG_TRUNCATED, r->truncated ? 1 : 0);
	if (r->limits > 0)
		frame_put_u64(&out, OPERATE_TAG_LIMITS, r->limits);
	return send_answer(sock, &out);
}

int
operate_refusal_send(int sock, int reason)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, OPERATE_REFUSED, 1);
	frame_put_text(&out, OPERATE_TAG_REASON, refuse_token((enum reason)reason));
	frame_put_text(&out, OPERATE_TAG_TEXT, refuse_last()->text);
	return send_answer(sock, &out);
}

static int
take_result(const struct frame *f, struct operate_result *ret)
{
	uint64_t outcome, status, signal = 0, truncated, limits = 0;
	int r;

	r = frame_check(f, result_rules, ARRAY_LEN(result_rules), false, 0);
	if (r)
		return r;
	*ret = (struct operate_result){ .exit_status = -1 };
	if (!take_number(f, OPERATE_TAG_OUTCOME, OPERATE_CANCELLED, &outcome) ||
		outcome < OPERATE_OK || !frame_u64(f, OPERATE_TAG_CPU_MS, &ret->cpu_ms) ||
		!frame_u64(f, OPERATE_TAG_MAX_RSS, &ret->max_rss) ||
		!frame_u64(f, OPERATE_TAG_WALL_MS, &ret->wall_ms) ||
		!take_number(f, OPERATE_TAG_TRUNCATED, 1, &truncated) ||
		(frame_find(f, OPERATE_TAG_LIMITS, 0) &&
			!take_number(f, OPERATE_TAG_LIMITS, OPERATE_LIMITS_ALL, &limits)) ||
		(frame_find(f, OPERATE_TAG_SIGNAL, 0) &&
			!take_number(f, OPERATE_TAG_SIGNAL, 64, &signal)))
		return REFUSE(REASON_MALFORMED, "result", "a number is out of its bounds");
	if (frame_find(f, OPERATE_TAG_STATUS, 0)) {
		if (!take_number(f, OPERATE_TAG_STATUS, 255, &status))
			return REFUSE(REASON_MALFORMED, "result", "the exit status is none");
		ret->exit_status = (int)status;
	}
	ret->outcome = (enum operate_outcome)outcome;
	ret->signal = (int)signal;
	ret->truncated = truncated == 1;
	ret->limits = (unsigned)limits;
	return 0;
}

int
operate_output_take(const struct frame *f, struct operate_output *ret)
{
	uint64_t stream;
	int r = frame_check(f, output_rules, ARRAY_LEN(output_rules), false, 0);

	if (r)
		return r;
	*ret = (struct operate_output){ 0 };
	ret->bytes = frame_bytes(f, OPERATE_TAG_BYTES, &ret->len);
	if (!take_number(f, OPERATE_TAG_STREAM, OPERATE_STDERR, &stream) ||
		stream < OPERATE_STDOUT || ret->len == 0)
		return REFUSE(REASON_MALFORMED, "output", "of no stream, or of nothing");
	ret->stream = (enum operate_stream)stream;
	return 0;
}

int
operate_answer_take(const struct frame *f, struct operate_result *ret)
{
	enum reason reason;
	int r;

	if (f->type == OPERATE_RESULT)
		return take_result(f, ret);
	if (f->type != OPERATE_REFUSED)
		return REFUSE(REASON_MALFORMED, "result", "a frame of type %u", f->type);
	r = frame_check(f, refused_rules, ARRAY_LEN(refused_rules), false, 0);
	if (r)
		return r;
	reason = refuse_reason(frame_text(f, OPERATE_TAG_REASON, 32) ?: "");
	return refuse_relay(reason ?: REASON_FAULT, "operation", "",
		frame_text(f, OPERATE_TAG_TEXT, REFUSE_TEXT_MAX) ?: "the worker could not");
}
