/* What a process gives up for good, by its own hand, before it reads input. */
#pragma once

enum confine_profile {
	/* Memory, and the descriptors it already has: read, write, send, receive, poll, exit.  No files, no
	 * sockets of its own, no processes. */
	CONFINE_JUDGE,
	/* The same, and it takes connections of a socket that listens already. */
	CONFINE_SHOW,
	/* A daemon without network: socket() makes AF_UNIX only; with all of CONFINE_DAEMON. */
	CONFINE_NO_INET,
	/* A daemon: no tracing, no other's memory, no mounts, modules, kexec, bpf, keyrings, clock setting,
	 * new user namespaces. */
	CONFINE_DAEMON,
	/* CONFINE_NO_INET that may also ask adjtimex() whether the clock is synchronised: setting it takes
	 * CAP_SYS_TIME, which a user of its own has not. */
	CONFINE_COLLECT,
};

/* Set no_new_privs and enter the seccomp filter.  Forbidden calls give EPERM; those that only an attack
 * makes kill the process.  Call it before threads start.  Returns 0; REASON_NO_SANDBOX (logged) where the
 * kernel does not do it; or a fault. */
int confine_enter(enum confine_profile profile);

/* No core file, no ptrace by the same user, no /proc/self/mem for others. */
int confine_dumpable(void);
