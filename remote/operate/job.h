/* Jobs and results as structs, and their way over the job socket.  The monitor's side uses
 * operate_job_put(), operate_output_take() and operate_answer_take(), the worker the others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote/operate/operate_wire.h"

struct frame;
struct frame_out;

/* One that the operation is given, as a file that it alone reads. */
struct operate_secret {
	char name[OPERATE_NAME_MAX + 1];
	int fd;	       /* borrowed when sending, owned when received */
	uint32_t from; /* the value within the file */
	uint32_t len;
};

struct operate_job {
	enum operate_profile profile;
	char *argv[OPERATE_ARGS_MAX +
		1]; /* ends with NULL; borrowed when sending, owned when received */
	char tree[OPERATE_PATH_MAX + 1];
	char run[OPERATE_PATH_MAX + 1];
	char data[OPERATE_PATH_MAX + 1]; /* "" where the service has none */
	char conf[OPERATE_PATH_MAX + 1];
	uid_t uid;
	uint32_t timeout_ms;
	uint64_t memory; /* bytes of address space per process; 0: no limit */
	uint32_t output;
	uint32_t processes; /* 0: no limit */
	uint32_t declared;  /* OPERATE_MAY_ bits */
	struct operate_secret secrets[OPERATE_SECRETS_MAX];
	size_t n_secrets;
};

struct operate_result {
	enum operate_outcome outcome;
	int exit_status; /* -1 where a signal ended it */
	int signal;	 /* 0 where none */
	uint64_t cpu_ms, max_rss, wall_ms;
	bool truncated;
	unsigned limits; /* OPERATE_LIMIT_ bits: reached */
};

/* Part of what an operation wrote. */
struct operate_output {
	enum operate_stream stream;
	const uint8_t *bytes; /* borrowed from the frame */
	size_t len;	      /* 1..OPERATE_CHUNK_MAX */
};

/* Begin *out as a job (its descriptors are borrowed until it is sent).  The caller ends it with
 * frame_out_done() in every case.  Returns 0, REASON_TOO_LARGE (logged), or a fault. */
int operate_job_put(struct frame_out *out, const struct operate_job *job);
/* Receive one: blocks.  *ret is empty or whole (operate_job_done() in every case).  Returns 0,
 * REASON_MALFORMED or REASON_TOO_LARGE (logged), or a fault (-ECONNRESET: the peer left). */
int operate_job_receive(int sock, struct operate_job *ret);
void operate_job_done(struct operate_job *job);

/* Both wait while the monitor does not read, ten seconds at most; -ECONNRESET where it is gone. */
int operate_output_send(int sock, const struct operate_output *o);
int operate_result_send(int sock, const struct operate_result *r);
/* Tell the monitor that nothing has run; details are those of refuse_last(). */
int operate_refusal_send(int sock, int reason);
/* Part of the output, from a frame of type OPERATE_OUTPUT.  Returns 0, or REASON_MALFORMED (logged). */
int operate_output_take(const struct frame *f, struct operate_output *ret);
/* What the worker's last frame says.  Returns 0; the worker's refusal (relayed); or REASON_MALFORMED
 * (logged). */
int operate_answer_take(const struct frame *f, struct operate_result *ret);
