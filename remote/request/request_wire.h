/* Messages of one operation (data only).  Each travels as the payload of an envelope (trust).
 *
 *	engineer's desk              hub               site
 *	  request@  SSHSIG   --->  mailbox   --->  checks, plan
 *	  plan@     site key <---  results   <---  what would run
 *	                                           permit@ SSHSIG of an approver (never leaves)
 *	  result@   site key <---  results   <---  what happened
 *
 * request  v id site customer service instance operation args definition reason ticket engineer
 *          people_version epoch not_before expires nonce
 * plan     v request text argv targets limits downtime undo not_recorded
 * result   v request outcome reason exit_status signal stdout stderr truncated cpu_ms max_rss
 *          wall_ms
 * cancel   v request id engineer reason time                    (engineer; ends that request)
 * progress v request n time kind(state|out|err) text            (site key; what it says meanwhile)
 * permits  v site epoch counter time permits more               (site key; its standing permits, about no request: permits.h)
 *
 * A message dry-run@ (SSHSIG) has a request's members and asks for the plan alone: another namespace, so that nobody
 * can make it run.  Which of the three it is says the namespace in its signature, and nobody else's word:
 *	mailbox.deliver {n} body: ENVELOPE        (what the courier says of its kind besides is not asked)
 * What leaves goes to /v1/results as {"kind": plan | result | progress | permits, ...} (mailbox_wire.h).
 *
 * `request` in a plan and in a result, as in a permit, is the SHA-256 of the request's payload: it
 * binds to the very bytes the engineer signed, not to a name that two requests could share. args is
 * an object of texts, whole numbers and truth values, as the definition types them. */
#pragma once

enum {
	REQUEST_BYTES_MAX = 64 * 1024,    /* an envelope that asks for an operation */
	REQUEST_ID_MAX = 64,              /* [a-z0-9-], begins with a letter or digit */
	REQUEST_NAME_MAX = 64,            /* site, customer, service, operation ... */
	REQUEST_TEXT_MAX = 1024,          /* reason, ticket */
	REQUEST_ARGS_MAX = 32,
	REQUEST_ARG_MAX = 1024,           /* one argument's value */
	REQUEST_EPOCH_BYTES = 16,
	REQUEST_NONCE_BYTES = 16,
	REQUEST_PENDING_MAX = 64,         /* per site: received to running */
	REQUEST_PENDING_ENGINEER_MAX = 8, /* per engineer of these */
	REQUEST_KEPT_MAX = 512,           /* files of requests, finished ones included */
	REQUEST_KEPT_ENGINEER_MAX = 384,  /* of these that have not expired: the others find room */
	REQUEST_LIFE_S = 24 * 60 * 60,    /* expires at most so long after not_before */
	REQUEST_FILE_LIFE_S = 14 * 24 * 60 * 60, /* the same where a person brings it as a file */
	REQUEST_EARLY_S = 300,            /* not_before is so long before it was made: clocks differ */
	REQUEST_OUTPUT_MAX = 128 * 1024,  /* stdout and stderr of a result, each, as text */
	REQUEST_PLAN_TEXT_MAX = 32 * 1024,
	REQUEST_ARGV_MAX = 64,
	REQUEST_PROGRESS_MAX = 32 * 1024, /* text of one message */
	REQUEST_PROGRESS_MS = 500,        /* between two of one request */
	REQUEST_TOUCHED_MAX = 64,         /* lines of a dry run */
	REQUEST_TOUCHED_LINE_MAX = 512,
	REQUEST_TOUCHED_BYTES_MAX = 8 * 1024,
};
