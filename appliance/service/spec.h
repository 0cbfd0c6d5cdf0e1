/* What a shim needs to know to run one service: canonical JSON on an inherited memory file.  Made
 * by the monitor or activation from a definition, a release and the knobs; read by the shim. */
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
	SPEC_BYTES_MAX = 48 * 1024,
};

enum spec_heal {
	SPEC_HEAL_EXIT,	  /* started again whenever it ends */
	SPEC_HEAL_HEALTH, /* and when its health fails */
	SPEC_HEAL_NEVER,
};

enum spec_health {
	SPEC_HEALTH_NONE, /* health stays unknown */
	SPEC_HEALTH_RESP, /* PING over the UNIX socket `socket` below the run folder */
	SPEC_HEALTH_EXEC, /* `probe`, in a sandbox without data; exit 0 passes */
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
	char expect[SPEC_NAME_MAX +
		1]; /* of health exec: must stand in its stdout; "" for nothing */
	enum spec_heal heal;
	enum spec_health health;
	char socket[SPEC_NAME_MAX + 1]; /* file name below run; "" where health needs none */
	uint64_t health_interval_ms;	/* between probes; 100 .. 3600000 */
	uint64_t health_timeout_ms;	/* of one probe */
	uint64_t health_failures;	/* so many in a row are failing; 1 .. 100 */
	uint64_t start_timeout_ms;	/* in state starting; then failed */
	uint64_t grace_ms;		/* between TERM and KILL */
	uint64_t nofile;		/* RLIMIT_NOFILE; 0: as inherited */
	uint64_t log_bytes;		/* the log file is rotated beyond it; 0: 64 MiB */
	bool network; /* shares the host's network; else none but loopback of its own */
};

/* A spec with the defaults: heal exit, probes each 2 s with 2 s time and 3 failures, start 60 s,
 * grace 10 s, the host's network. */
void spec_init(struct spec *s);
void spec_done(struct spec *s);

/* Add an argument or NAME=value.  Returns 0, REASON_TOO_LARGE (logged), or a fault. */
int spec_arg(struct spec *s, const char *arg);
int spec_env(struct spec *s, const char *assignment);
int spec_probe(struct spec *s, const char *arg);

/* Append canonical JSON.  Returns 0 or a fault. */
int spec_encode(struct buf *out, const struct spec *s);
/* Parse into *ret (initialised here; spec_done in every case).  Returns 0, REASON_MALFORMED,
 * REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged), or a fault. */
int spec_decode(struct spec *ret, const void *p, size_t len);
