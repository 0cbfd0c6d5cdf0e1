/* One operation, from within; nobody else includes it.
 *
 *	worker.c        while it runs, and what became of it
 *	worker_start.c  into its sandbox */
#pragma once

#include <poll.h>

#include "appliance/loop/child.h"
#include "remote/operate/mask.h"
#include "remote/operate/worker.h"

enum { WORKER_STATUS_MAX = 4096 };

enum { ON_OUT, ON_ERR, ON_STATUS, ON_JOB, ON_STOP, ON_CHILD, ON_MAX };

struct worker {
	const struct operate_job *job;
	const struct fence *fence;
	struct child box; /* bubblewrap */
	pid_t inside;	  /* the operation's first process; 0: not told yet */
	int inside_fd;	  /* its pidfd */
	int go_fd;
	struct pollfd polls[ON_MAX]; /* fd -1: closed or none; OUT, ERR and STATUS are owned */
	int job_sock;		     /* where output goes; borrowed */
	bool full;		     /* nothing more fits in there for now */
	uint32_t room;		     /* bytes of output still taken */
	struct mask mask;
	struct mask_rest rest[2];    /* of stdout and stderr */
	char status[WORKER_STATUS_MAX + 1];
	size_t status_len;
	bool truncated, killed;
	enum operate_outcome outcome;
	uint64_t begun_us, due_us;
};

/* Build its sandbox and start bubblewrap in it, which waits at its gate (go_fd) until it is let in.  Sets box, go_fd, when
 * it began and is due, and of polls those of the outputs, the status and the child, all of them as far as it came: the
 * caller ends them.  Returns 0, REASON_NO_SANDBOX or another refusal (logged), or a fault. */
int worker_start(struct worker *w);
