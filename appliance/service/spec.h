/* What a shim needs to know to run one service: canonical JSON on an inherited memory file.  Made
 * by the monitor or activation from a definition, a release and the knobs; read by the shim.
 *
 * Version 2.  Version 1 is still read, and of version 2 each member that version 1 did not have may
 * be absent: a supervisor starts the shims of another core's services again.  That is a promise, whose
 * bytes are in tests/unit/appliance/supervise/takeover.c.  A service's uid is not
 * in it: identity_service() says it, and its shim runs as it.  A secret's value is not in it either:
 * it is in a sealed memory file that goes beside the spec. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	SPEC_NAME_MAX = 64,
	SPEC_PATH_MAX = 512,
	SPEC_ARGS_MAX = 64,
	SPEC_ARG_MAX = 1024,
	SPEC_EXPECT_MAX = 255,
	SPEC_BYTES_MAX = 48 * 1024,
	SPEC_SECRETS_MAX = 8,
	SPEC_SECRET_BYTES_MAX = 4096,
};

enum spec_heal {
	SPEC_HEAL_EXIT,	  /* started again whenever it ends */
	SPEC_HEAL_HEALTH, /* and when its health fails */
	SPEC_HEAL_NEVER,
};

enum spec_health {
	SPEC_HEALTH_NONE, /* health stays unknown */
	SPEC_HEALTH_RESP, /* PING */
	SPEC_HEALTH_EXEC, /* `probe`, in a sandbox without data; exit 0 passes */
	SPEC_HEALTH_TCP,  /* it accepts on `port` */
	SPEC_HEALTH_UNIX, /* it accepts on `socket` */
	SPEC_HEALTH_HTTP, /* GET `path`, answered with `expect` */
	SPEC_HEALTH_POSTGRES, /* a start-up message for `user` and `database` is answered; starting up is not */
};

enum spec_network {
	SPEC_NETWORK_NONE,     /* loopback of its own; only its UNIX sockets are reached */
	SPEC_NETWORK_LOOPBACK, /* wants the host's loopback only; not told apart from host yet */
	SPEC_NETWORK_HOST,
};

struct spec_secret {
	char name[SPEC_NAME_MAX + 1]; /* seen as /run/secrets/NAME */
	int fd; /* owned: sealed memory file with the whole of it; -1: not here */
};

struct spec {
	char name[SPEC_NAME_MAX + 1]; /* [a-z][a-z0-9-]* */
	char release[65]; /* hex of the release's index.json; "" for a tree without one */
	char tree[SPEC_PATH_MAX + 1];	/* on the host; seen as / */
	char data[SPEC_PATH_MAX + 1];	/* seen as /data */
	char conf[SPEC_PATH_MAX + 1];	/* seen as /conf, read-only */
	char run[SPEC_PATH_MAX + 1];	/* seen as /run/service */
	char log[SPEC_PATH_MAX + 1];	/* seen as /log; holds NAME.log, its stdout and stderr */
	char *argv[SPEC_ARGS_MAX + 1];	/* owned; ends with NULL; argv[0] is a path inside */
	char *env[SPEC_ARGS_MAX + 1];	/* owned; "NAME=value"; ends with NULL */
	char *probe[SPEC_ARGS_MAX + 1]; /* of health exec; owned; ends with NULL */
	/* Of health exec: must stand in its stdout.  Of http: a status ("204"), or what must stand in the first
	 * 4 KiB of a 2xx answer.  "": nothing more. */
	char expect[SPEC_EXPECT_MAX + 1];
	enum spec_heal heal;
	enum spec_health health;
	/* Of tcp, unix, http, resp and postgres one of the two: file name below run, or port on 127.0.0.1. */
	char socket[SPEC_NAME_MAX + 1];
	uint64_t port;			/* 0: none; none at all with network none */
	char path[SPEC_EXPECT_MAX + 1]; /* of http; begins with '/' */
	char user[SPEC_NAME_MAX + 1], database[SPEC_NAME_MAX + 1]; /* of postgres; "": "postgres" */
	bool probe_secrets;	     /* health exec sees the secrets, too */
	uint64_t health_interval_ms; /* between probes; 100 .. 3600000 */
	uint64_t health_timeout_ms;  /* of one probe */
	uint64_t health_failures;    /* so many in a row are failing; 1 .. 100 */
	uint64_t start_timeout_ms;   /* in state starting; then failed */
	uint64_t grace_ms;	     /* between stop_signal and KILL */
	int stop_signal;	     /* SIGTERM, SIGINT or SIGQUIT */
	/* How it takes up changed configuration: a signal to its first process, then a program in its sandbox
	 * (owned; ends with NULL; with its data and secrets), whose exit status says whether it did.
	 * Neither: it cannot. */
	int reload_signal; /* SIGHUP, SIGUSR1, SIGUSR2 or SIGWINCH; 0: none */
	char *reload[SPEC_ARGS_MAX + 1];
	/* Run before the service while data/`creates` does not exist: makes data/.prepare.CREATES (emptied
	 * before), which takes that name once it ended with 0.  Owned; ends with NULL; empty: nothing. */
	char *prepare[SPEC_ARGS_MAX + 1];
	char creates[SPEC_NAME_MAX + 1];
	uint64_t prepare_timeout_ms;
	struct spec_secret secrets[SPEC_SECRETS_MAX];
	size_t n_secrets;
	/* Limits; 0: none, or as inherited.  Memory and cpu stand where control groups do, processes also
	 * where the service has a uid of its own. */
	uint64_t memory;    /* bytes */
	uint64_t processes; /* and threads */
	uint64_t cpu_milli; /* thousandths of one processor */
	uint64_t nice;	    /* 0..19 */
	uint64_t nofile;    /* RLIMIT_NOFILE */
	uint64_t log_bytes; /* the log file is rotated beyond it; 0: 64 MiB */
	enum spec_network network;
};

/* A spec with the defaults: heal exit, probes each 2 s with 2 s time and 3 failures, start 60 s,
 * stop by TERM with 10 s of grace, preparation 10 min, the host's network. */
void spec_init(struct spec *s);
void spec_done(struct spec *s);

/* Add an argument or NAME=value.  Returns 0, REASON_TOO_LARGE (logged), or a fault. */
int spec_arg(struct spec *s, const char *arg);
int spec_env(struct spec *s, const char *assignment);
int spec_probe(struct spec *s, const char *arg);
int spec_reload(struct spec *s, const char *arg);
int spec_prepare(struct spec *s, const char *arg);
/* Add a secret: seals a memory file with these bytes.  The caller wipes its own copy.  Returns 0;
 * REASON_TOO_LARGE (logged) more than SPEC_SECRETS_MAX of them, or than SPEC_SECRET_BYTES_MAX bytes; or a
 * fault. */
int spec_secret(struct spec *s, const char *name, const void *p, size_t len);

/* Append canonical JSON.  Returns 0 or a fault. */
int spec_encode(struct buf *out, const struct spec *s);
/* Parse into *ret (initialised here; spec_done in every case); its secrets have no descriptors.  Returns 0, REASON_MALFORMED,
 * REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged), or a fault. */
int spec_decode(struct spec *ret, const void *p, size_t len);
