/* What the shim's files share: for shim*.c alone. */
#pragma once

#include <stdbool.h>

#include "appliance/base/buf.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/service/process.h"
#include "appliance/service/spec.h"
#include "appliance/service/state.h"
#include "appliance/supervise/boxed.h"
#include "appliance/supervise/boxed_run.h"
#include "appliance/supervise/probe.h"
#include "appliance/supervise/shim_core.h"
#include "appliance/supervise/shim_look.h"

enum { SHIM_INFO_MAX = 4096, SHIM_STATE_BYTES_MAX = 4096 };

struct shim {
	sd_event *loop;
	struct spec spec;
	struct shim_core core;
	struct buf saved; /* what the file says */
	int dir_fd;	  /* run/shim */
	char boot[PROCESS_BOOT_ID_MAX];

	struct child box; /* bubblewrap; pid 0: none */
	struct child_watch *box_watch;
	bool box_ended;
	int box_status;
	struct child service; /* what runs inside, as this host numbers it; pid 0: none */
	struct child_watch *service_watch;
	bool service_ended;
	bool box_killed;
	int info_fd; /* bubblewrap's words; -1 */
	struct loop_watch *info_watch;
	char info[SHIM_INFO_MAX + 1];
	size_t info_len;
	bool elsewhere;	    /* the last try to start it found it running, and not by us */
	int log_fd;	    /* where its output goes, claimed; -1 */
	int go_fd;	    /* the service begins when this is written; -1 */
	int pending_signal; /* asked for before the pid was known */
	uint64_t started_us;
	int last_exit;

	struct boxed boxed;
	uint64_t kills;	       /* of its control group, when it was started */
	struct boxed_run *run; /* its preparation, or its reload */
	bool preparing;
	unsigned reloads;
	bool reload_failed;
	char why[STATE_WHY_MAX + 1];
	uint64_t log_size; /* at the last look */

	struct probe *probe;
	uint64_t probe_began_us; /* the last one, boot time */
	bool probe_counts;	 /* it is the period's: where it fails the core hears of it */
	uint64_t starting_ms;	 /* until the next one while it starts */
	struct shim_look asked;	 /* whether it does well since somebody asked */
	struct loop_timer *due, *probe_timer, *asked_timer, *look, *log_check, *status_wait, *reload_late;
};

/* An event: the core decides, and its actions are taken. */
void shim_step(struct shim *s, enum shim_event event);
/* See how it does from now on: the state file's "looked" tells when it did well.  Where nothing is probed, nothing. */
void shim_ask(struct shim *s);

/* shim_state.c: the state file.  Written, where it would say something else than it does. */
void shim_state_save(struct shim *s);
/* What an earlier shim recorded in this boot: *ret_alive tells whether its service lives.  false where there is nothing. */
bool shim_state_recall(struct shim *s, struct state *ret, bool *ret_alive);
/* Why it came down: what, and what the log's last lines say to it. */
void shim_state_say_why(struct shim *s, const char *what);

/* shim_process.c: make sure that nobody else runs it.  Until shim_process_forget(), and as long as the service lives.
 * Returns 0, REASON_BUSY (logged), or a fault. */
int shim_process_claim(struct shim *s);
/* Start what is claimed, held back until its pid is on the disk; the event EXITED comes at its end.  Returns 0, what
 * boxed_spawn() refuses, or a fault. */
int shim_process_spawn(struct shim *s);
/* Take up a process that runs already.  Returns 0, REASON_NOT_FOUND where it does not any more, or a fault. */
int shim_process_take(struct shim *s, pid_t pid, uint64_t starttime);
/* Now, or as soon as its pid is known. */
void shim_process_signal(struct shim *s, int sig);
/* Stop watching; nothing is ended. */
void shim_process_forget(struct shim *s);

/* shim_task.c: programs inside that end by themselves.  Does the service want something made first? */
bool shim_task_is_needed(struct shim *s);
/* Make it; the event PREPARED or SPAWN_FAILED comes later.  Returns 0, what boxed_spawn() refuses, or a
 * fault. */
int shim_task_prepare(struct shim *s);
/* Have the service take up its configuration; .reloads counts it at the end, however that is. */
void shim_task_reload(struct shim *s);
/* s->run has ended (boxed_run_fn). */
void shim_task_ended(bool passed, void *arg);
