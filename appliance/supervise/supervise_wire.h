/* What the monitor says to mainstay-supervise, on run/supervise.sock (SEQPACKET, frames of
 * bus/frame.h).  Data only.  The peer must be the process that stands in the roster as monitor.
 *
 *	monitor                                supervise
 *	  SPAWN   id, KIND, one descriptor (the job socket, becomes fd 3); of an operation: MEMORY, PROCESSES, CPU ->
 *	  SHIM    id, NAME, MEMORY, PROCESSES, CPU, descriptors: a sealed memory file with the
 *	          spec, and one for each of its secrets                       ->
 *	                              (of a service whose shim lost them: another shim takes its place, and the
 *	                              service goes on)
 *	  STOP    id, NAME                    (the shim stops its service and ends)
 *	  RELOAD  id, NAME                    (the shim tells its service to take up its configuration)
 *	  LOOK    id, NAME                    (the shim looks at once how its service does, state.h's looked)
 *	  KILL    id, PID, SIGNAL             (a worker; TERM or KILL)
 *	  LIST    id
 *	  DIAL    id, PORT, ADDRESS, one descriptor (a stream socket: what is connected to this port of the host's
 *	          loopback, or of the address, is written to it, as dial.h has it, and where nobody listens it is closed)
 *	  SWITCH  id                          (another core is to run: daemons and workers end, then supervise
 *	                                       itself, and `mainstay run` starts what lib/core says; shims stay)
 *	                                      <- OK       id, PID; of LIST: TEXT, the roster
 *	                                         REFUSED  id, REASON, OPERAND, TEXT
 *	                                      <- EXITED   0, KIND, NAME, PID, STATUS     (unasked)
 *
 * Everything but the descriptors is small; a frame that is not exactly one of these ends the
 * connection.
 *
 * A promise: numbers of types and tags stay, and what is added is optional.  Monitor and supervisor are of one core but for
 * the moment of a switch, in which each must still understand the other (tests/unit/appliance/supervise/takeover.c has the
 * bytes). */
#pragma once

enum supervise_type {
	SUPERVISE_SPAWN = 1,
	SUPERVISE_SHIM = 2,
	SUPERVISE_STOP = 3,
	SUPERVISE_KILL = 4,
	SUPERVISE_LIST = 5,
	SUPERVISE_OK = 6,
	SUPERVISE_REFUSED = 7,
	SUPERVISE_EXITED = 8,
	SUPERVISE_RELOAD = 9,
	SUPERVISE_SWITCH = 10,
	SUPERVISE_DIAL = 11,
	SUPERVISE_LOOK = 12,
};

enum supervise_tag {		      /* numbers are eight bytes */
	SUPERVISE_TAG_KIND = 1,	      /* number, enum roster_role */
	SUPERVISE_TAG_NAME = 2,	      /* text, 1..64 */
	SUPERVISE_TAG_PID = 3,	      /* number */
	SUPERVISE_TAG_SIGNAL = 4,     /* number: 15 or 9 */
	SUPERVISE_TAG_STATUS = 5,     /* number, waitpid's; absent where nobody could collect it */
	SUPERVISE_TAG_REASON = 6,     /* text, a token */
	SUPERVISE_TAG_OPERAND = 7,    /* text */
	SUPERVISE_TAG_TEXT = 8,	      /* text */
	SUPERVISE_TAG_MEMORY = 9,     /* number, bytes; of these three 0, or absent, is no limit */
	SUPERVISE_TAG_PROCESSES = 10, /* number */
	SUPERVISE_TAG_CPU = 11,	      /* number, thousandths of a processor */
	SUPERVISE_TAG_PORT = 12,      /* number, 1..65535 */
	SUPERVISE_TAG_ADDRESS = 13,   /* text, of IPv4 or IPv6; absent: loopback */
};

enum {
	SUPERVISE_WORKERS_MAX = 16, /* at once */
	SUPERVISE_SHIMS_MAX = 64,
	SUPERVISE_ADDRESS_MAX = 45,
	/* What a worker inherits: its job, and where an operation has limits and this host groups, their cgroup.procs (open
	 * to write), then what counts memory's, processes' and the processor's (open to read); a daemon: the readiness pipe; a shim: the spec, from here on its
	 * secrets in the spec's order, and then the cgroup.procs of its control groups (open to write) and
	 * what counts its kills for lack of memory (open to read). */
	SUPERVISE_FD_JOB = 3,
	SUPERVISE_SECRETS_MAX = 8,
};
