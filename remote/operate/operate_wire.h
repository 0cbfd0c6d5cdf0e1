/* One operation's job: what the monitor hands mainstay-operate on fd 3 (SEQPACKET, frames of
 * bus/frame.h).
 *
 *	monitor                                               worker
 *	  JOB     {tag value}..., a descriptor for each secret, in their order    ->
 *	                                                     <- OUTPUT  STREAM, BYTES  (any number, as they
 *	                                                        are written; in all at most the job's output)
 *	                                                        RESULT  {tag value}...  (one, the last)
 *	                                                        REFUSED REASON, TEXT  (nothing ran)
 *
 * If the monitor closes its end before, the worker ends the operation.  SIGTERM: the same, outcome
 * cancelled. */
#pragma once

enum operate_type {
	OPERATE_JOB = 1,
	OPERATE_RESULT = 2,
	OPERATE_REFUSED = 3,
	OPERATE_OUTPUT = 4,
};

enum operate_tag {		    /* numbers are eight bytes */
	OPERATE_TAG_PROFILE = 1,    /* number, enum operate_profile */
	OPERATE_TAG_ARG = 2,	    /* text 1..4096; repeated, in order; 1..64 */
	OPERATE_TAG_TREE = 3,	    /* text: the release's tree on the host, seen as / */
	OPERATE_TAG_RUN = 4,	    /* text: the service's run folder, seen as /run/service */
	OPERATE_TAG_DATA = 5,	    /* text: seen as /data where the profile shows it */
	OPERATE_TAG_CONF = 6,	    /* text: seen as /conf where the profile shows it */
	OPERATE_TAG_UID = 7,	    /* number: what to become; the gid is the same number */
	OPERATE_TAG_TIMEOUT = 8,    /* number, ms, 1..86400000 */
	OPERATE_TAG_MEMORY = 9,	    /* number, bytes: of all together, or, without a control group, of each one's addresses; 0: none */
	OPERATE_TAG_OUTPUT = 10,    /* number, bytes, stdout and stderr together */
	OPERATE_TAG_PROCESSES = 11, /* number; 0: none */
	OPERATE_TAG_DECLARED = 12,  /* number: OPERATE_MAY_ bits, only of destroy */
	OPERATE_TAG_OUTCOME = 13,   /* number, enum operate_outcome */
	OPERATE_TAG_STATUS = 14,    /* number, exit status; absent where a signal ended it */
	OPERATE_TAG_SIGNAL = 15,    /* number */
	OPERATE_TAG_CPU_MS = 16,    /* number */
	OPERATE_TAG_MAX_RSS = 17,   /* number, bytes */
	OPERATE_TAG_WALL_MS = 18,   /* number */
	OPERATE_TAG_TRUNCATED = 19, /* number, 0 or 1 */
	OPERATE_TAG_REASON = 20,    /* text, a token */
	OPERATE_TAG_TEXT = 21,	    /* text */
	OPERATE_TAG_SECRET = 22,    /* text: its name; repeated; 0..8; seen as /run/secrets/NAME */
	OPERATE_TAG_SECRET_FROM = 23, /* number, one for each: where in the file its value begins */
	OPERATE_TAG_SECRET_LEN = 24,  /* number, one for each: the value's bytes, 1..1024; "***" in outputs */
	OPERATE_TAG_STREAM = 25, /* number, enum operate_stream */
	OPERATE_TAG_BYTES = 26,	 /* 1..OPERATE_CHUNK_MAX bytes, secrets masked */
	OPERATE_TAG_LIMITS = 27, /* number, OPERATE_LIMIT_ bits: those that were reached; absent: none that is known */
};

enum operate_stream {
	OPERATE_STDOUT = 1,
	OPERATE_STDERR = 2,
};

enum operate_profile {
	OPERATE_OBSERVE = 1, /* tree and run folder, read-only; private /tmp; no network */
	OPERATE_CHANGE = 2,  /* and data and conf, writable */
	OPERATE_DESTROY = 3, /* as OPERATE_TAG_DECLARED says */
};

enum operate_may {
	OPERATE_MAY_DATA = 1 << 0,
	OPERATE_MAY_CONF = 1 << 1,
	OPERATE_MAY_NETWORK = 1 << 2, /* the host's */
	OPERATE_MAY_READ = 1 << 3,    /* data and conf, read-only where the bits above do not say more */
};

/* Time and output are told otherwise: the outcome, and whether it is truncated. */
enum operate_limit {
	OPERATE_LIMIT_MEMORY = 1 << 0,
	OPERATE_LIMIT_PROCESSES = 1 << 1,
	OPERATE_LIMIT_CPU = 1 << 2,
	OPERATE_LIMIT_UNTOLD = 1 << 3, /* perhaps that of memory or processes: there is no group that would tell */
	OPERATE_LIMITS_ALL = 15,
};

enum operate_outcome {
	OPERATE_OK = 1,	       /* ended with status 0 */
	OPERATE_FAILED = 2,    /* another status, or a signal */
	OPERATE_TIMEOUT = 3,   /* ended by us */
	OPERATE_CANCELLED = 4, /* ended by SIGTERM */
};

enum {
	OPERATE_ARGS_MAX = 64,
	OPERATE_PROCESSES = 64,	 /* of an operation, at once */
	OPERATE_CPU_MILLI = 1000, /* of a processor, for all of them together */
	OPERATE_OURS = 1,	 /* in its control group beside them: bubblewrap */
	OPERATE_ARG_MAX = 4096,
	OPERATE_PATH_MAX = 512,
	OPERATE_TIMEOUT_MAX_MS = 86400000,
	OPERATE_OUTPUT_MAX = 8 * 1024 * 1024,
	OPERATE_CHUNK_MAX = 16 * 1024,
	OPERATE_SECRETS_MAX = 8,
	OPERATE_SECRET_MAX = 1024,	/* bytes of a value */
	OPERATE_SECRET_FILE_MAX = 4096, /* and of the file around it */
	OPERATE_NAME_MAX = 64,
};

/* What the worker's frames must be made of, as rows of struct frame_rule (bus/frame.h): for both ends, and for whoever else
 * runs a worker. */
#define OPERATE_RESULT_RULES \
	{ OPERATE_TAG_OUTCOME, 1, 1, 8 }, { OPERATE_TAG_STATUS, 0, 1, 8 }, { OPERATE_TAG_SIGNAL, 0, 1, 8 }, \
		{ OPERATE_TAG_CPU_MS, 1, 1, 8 }, { OPERATE_TAG_MAX_RSS, 1, 1, 8 }, { OPERATE_TAG_WALL_MS, 1, 1, 8 }, \
		{ OPERATE_TAG_TRUNCATED, 1, 1, 8 }, { OPERATE_TAG_LIMITS, 0, 1, 8 },
#define OPERATE_OUTPUT_RULES { OPERATE_TAG_STREAM, 1, 1, 8 }, { OPERATE_TAG_BYTES, 1, 1, OPERATE_CHUNK_MAX },
#define OPERATE_REFUSED_RULES { OPERATE_TAG_REASON, 1, 1, 32 }, { OPERATE_TAG_TEXT, 0, 1, REFUSE_TEXT_MAX },
