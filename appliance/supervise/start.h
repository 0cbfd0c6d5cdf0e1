/* Starting processes by their role's table, and the supervisor's own state. */
#pragma once

#include <stdbool.h>

#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/service/identity.h"
#include "appliance/service/roster.h"
#include "appliance/supervise/enforced.h"
#include "appliance/supervise/group.h"
#include "appliance/supervise/held.h"
#include "appliance/supervise/trial.h"

struct paths;

struct supervise {
	const struct paths *paths;
	const char *state;
	sd_event *loop;
	struct identity id;
	struct enforced walls;
	struct group_root groups; /* of services */
	int run_fd;
	int ready_out; /* told once, when every daemon is ready; -1 afterwards */
	struct held *held;
	struct roster roster; /* scratch for saving */
	uint64_t workers;     /* started so far; their ids */
	bool ending, services_too;
	struct loop_timer *end_late, *shims_late;
	struct trial trial;

	struct frame_server *server; /* requests.c */
	struct frame_conn *monitor;  /* the one connection; NULL */
};

/* Start h's process, one of s->held, and save the roster before it does anything.  take_fd becomes its descriptor 3 (-1 for daemons: a readiness pipe, whose
 * read end goes to h->ready_fd); again is told to shims.  Returns 0 or a fault. */
int start_process(struct supervise *s, struct held *h, int take_fd, bool again);

/* Open the control group of a service, with these limits (NULL: as they are).  Where that fails although it was
 * possible before, services go on without, and the walls say so. */
void start_group(struct supervise *s, struct group *ret, const char *service,
	const struct group_limits *limits);

/* The control group of an operation's worker: a name that is no service's, and begins so. */
#define START_OPERATION_GROUP ".op-"
const char *start_operation_group(char out[ROSTER_ID_MAX + 8], const char *id);

/* The spec of a shim, kept until the service is stopped so that the shim can be started again. */
int start_keep_spec(struct supervise *s, const char *service, int spec_fd);
void start_forget_spec(struct supervise *s, const char *service);
int start_shim(struct supervise *s, struct held *h, bool again);

/* supervise.c: after a change of the held; watch what was just started. */
void supervise_save(struct supervise *s);
int supervise_watch(struct held *h);
/* supervise_end.c: end daemons and workers, and shims where services_too; who takes too long is killed. */
void supervise_end(struct supervise *s, bool services_too);
/* Leave the loop where they are to end and have. */
void supervise_over(struct supervise *s);
