/* One operation in its sandbox, and the monitor that listens: what the programs of this folder stand on. */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "remote/operate/fence.h"
#include "remote/operate/job.h"
#include "remote/operate/worker.h"
#include "tests/fakes/scratch.h"

#define UNUSED __attribute__((unused))

enum { TEXT_MAX = 4096 };

static const struct fence no_fence UNUSED = { .kills = -1, .refusals = -1, .cpu = -1 };

struct bench {
	struct scratch s;
	struct operate_job job;
	char *script; /* the last of argv */
	int socks[2];
	struct operate_result result;
	struct buf out, err; /* what was received of the last run */
	size_t n_frames;
	char text[TEXT_MAX + 1], errors[TEXT_MAX + 1]; /* the same, or its beginning */
};

static UNUSED int
setup(void **state)
{
	static const char *const subs[] = { "run", "data", "conf" };
	struct bench *b = calloc(1, sizeof(*b));

	scratch_make(&b->s);
	for (size_t i = 0; i < ARRAY_LEN(subs); i++)
		if (mkdirat(b->s.fd, subs[i], 0755) < 0)
			return -1;
	b->job = (struct operate_job){ .profile = OPERATE_OBSERVE,
		.tree = "/",
		.uid = geteuid(),
		.timeout_ms = 20000,
		.output = 65536 };
	(void)snprintf(b->job.run, sizeof(b->job.run), "%s/run", b->s.path);
	(void)snprintf(b->job.data, sizeof(b->job.data), "%s/data", b->s.path);
	(void)snprintf(b->job.conf, sizeof(b->job.conf), "%s/conf", b->s.path);
	b->out = b->err = BUF_MAX(OPERATE_OUTPUT_MAX);
	if (frame_pair(b->socks))
		return -1;
	*state = b;
	return 0;
}

static UNUSED int
teardown(void **state)
{
	struct bench *b = *state;

	buf_done(&b->out);
	buf_done(&b->err);
	close(b->socks[0]);
	if (b->socks[1] >= 0)
		close(b->socks[1]);
	scratch_remove(&b->s);
	free(b);
	return 0;
}

static UNUSED void
set_script(struct bench *b, const char *script)
{
	static char sh[] = "/bin/sh", c[] = "-c";

	b->job.argv[0] = sh;
	b->job.argv[1] = c;
	b->job.argv[2] = (char *)(uintptr_t)script; /* borrowed, and only read */
	b->job.argv[3] = NULL;
}

static UNUSED void
copy_text(char text[TEXT_MAX + 1], const struct buf *b)
{
	size_t len = b->len < TEXT_MAX ? b->len : TEXT_MAX;

	memcpy(text, buf_text(b), len);
	text[len] = '\0';
}

/* The monitor's end: takes what comes until something else than output does. */
static UNUSED void *
listen_to(void *arg)
{
	struct bench *b = arg;

	for (;;) {
		SCOPED(frame_done) struct frame f = { 0 };
		struct operate_output o;

		if (frame_recv_wait(b->socks[1], &f, 0) != 0 || f.type != OPERATE_OUTPUT)
			return NULL;
		assert_int_equal(operate_output_take(&f, &o), 0);
		buf_put(o.stream == OPERATE_STDOUT ? &b->out : &b->err, o.bytes, o.len);
		b->n_frames++;
	}
}

static UNUSED int
run(struct bench *b, const char *script, int stop_fd)
{
	bool listens = b->socks[1] >= 0;
	struct operate_result end = { .outcome = OPERATE_OK };
	pthread_t listener;
	int r;

	set_script(b, script);
	buf_reset(&b->out);
	buf_reset(&b->err);
	b->n_frames = 0;
	if (listens)
		assert_int_equal(pthread_create(&listener, NULL, listen_to, b), 0);
	r = worker_run(&b->job, &no_fence, b->socks[0], stop_fd, &b->result);
	if (listens) {
		assert_int_equal(operate_result_send(b->socks[0], &end), 0);
		assert_int_equal(pthread_join(listener, NULL), 0);
	}
	copy_text(b->text, &b->out);
	copy_text(b->errors, &b->err);
	return r;
}

/* --- secrets ------------------------------------------------------------------------------------ */
#define CANARY "c4n4ry-c4n4ry-c4n4ry"

static UNUSED int
a_secret(const char *text)
{
	int fd = memfd_create("secret", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static UNUSED void
give_secret(struct bench *b, const char *text, uint32_t from, uint32_t len)
{
	b->job.secrets[0] = (struct operate_secret){ .name = "word", .fd = a_secret(text), .from = from, .len = len };
	b->job.n_secrets = 1;
}
