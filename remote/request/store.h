/* Requests on disk: lib/monitor/requests/ID.json, each replaced atomically, and the nonces that
 * were used.
 *
 * A file stays until its request has expired, for it is what remembers the nonce; after that the
 * oldest finished ones go first when REQUEST_KEPT_MAX is reached.  A request whose signature did
 * not verify has no file: it may not crowd out others. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "remote/request/flow.h"
#include "remote/request/request.h"

struct envelope;
struct request_store;

/* What a person of the customer lowered; 0: as the definition says. */
struct request_limits {
	uint64_t timeout_ms, memory, output;
};

/* One request with its history.  Members change in place, request_store_save() makes them
 * durable. */
struct request_item {
	struct request *request;
	bool plan_only;	      /* signed as dry-run@: the plan is all it can have */
	struct flow flow;
	uint64_t mailbox;     /* its number in the hub's mailbox; 0: it came as a file */
	uint64_t received_us;
	char *decision;       /* "allow", "ask", "deny"; NULL before it was decided; owned */
	char *plan_text;      /* owned; NULL before it was planned */
	json_t *envelope;     /* as received; owned */
	json_t *plan;         /* envelope, signed by the site; owned; NULL before */
	json_t *touched;      /* texts that its dry run said, one a line; owned; NULL: it has none, or not yet */
	struct request_limits limits;
	char *narrowed_by;    /* who lowered them last; owned; NULL: nobody */
	unsigned plans;       /* made so far */
	uint64_t said;        /* the number of the last message progress@, but for those while it runs */
	char *waits;          /* the last text that said for whom it waits; owned; never saved */
	json_t *result;       /* envelope, signed by the site; owned; NULL before */
	json_t *ended;        /* {"result","health_ms"}: its program has ended, its service's health is watched; owned; else NULL */
	json_t *permits;      /* [{"text","sig","approver"}]: those that counted, each by another approver, a
			       * standing one also with "standing"; owned; NULL before */
	uint64_t opens_us;    /* when it runs though nobody says anything: the maintenance hours begin; 0: not; never
			       * saved */
	unsigned need;        /* how many it takes, as last decided; 0: not asked; never saved */
	enum reason reason;   /* of a refusal or a failure */
	char *detail;         /* sentence to the reason; owned; may be NULL */
	char *outcome;        /* of the result; owned; NULL before the end */
	bool settled;         /* its last leaf is written and its result handed over */
	uint64_t held_until_us; /* not checked before; never saved */
	bool leafed;          /* its last leaf is written; never saved: the log itself is asked */
	void *run;            /* the runner's, never saved */
	void *trial;          /* its dry run, while that runs; never saved */
	bool tried;           /* the dry run ended just now; never saved */
};

/* Open the folder lib/monitor/requests below monitor_fd (borrowed during the call) and read what is
 * there; a file that does not parse is set aside as ID.json.bad and logged, never a reason not to
 * start.  Held until it is closed: meanwhile another has REASON_BUSY (logged).  Where the file that says what went to make
 * room is damaged, it is set aside, too, and nothing that ends by now_us (0: the clock is doubtful) is new any more. */
int request_store_open(struct request_store **ret, int monitor_fd, uint64_t now_us);
struct request_store *request_store_close(struct request_store *s);
SCOPED_DESTRUCTOR(struct request_store, request_store_close)

/* Add a request: take_r is consumed on every path.  e is what arrived (its text is referenced; of
 * type request or dry run).  Durable when it returns 0; *ret_item stays the store's.  Returns REASON_REPLAYED where
 * the id was seen or may have been, REASON_BUSY where a limit of request_wire.h is reached (both logged, nothing
 * changed), or a fault.  Where all places are taken, one goes that is over and ended before
 * date_us; from then on nothing that ends as early as it is new (replayed), whatever a clock
 * says. */
int request_store_add(struct request_store *s, struct request *take_r, const struct envelope *e,
	uint64_t mailbox, uint64_t now_us, uint64_t date_us, struct request_item **ret_item);

/* Where that file was found damaged while the clock was doubtful nothing at all is new; a now_us that is not 0 ends that: only
 * what ends by then is none.  Returns 0 or a fault, then it stays as it was. */
int request_store_date(struct request_store *s, uint64_t now_us);

/* Make the item's present members durable.  On a fault the file still says what it said before. */
int request_store_save(struct request_store *s, struct request_item *item);

/* Forget an item and its file. */
int request_store_remove(struct request_store *s, struct request_item *item);

/* true where this exact delivery (mailbox number, digest) is already here: the courier asked
 * twice. */
bool request_store_delivered(const struct request_store *s, uint64_t mailbox,
	const uint8_t digest[32]);

/* true where a request of another id used the nonce. */
bool request_store_nonce_used(const struct request_store *s, const char *id,
	const uint8_t nonce[REQUEST_NONCE_BYTES]);

struct request_item *request_store_find(const struct request_store *s, const char *id);
size_t request_store_count(const struct request_store *s);
/* In order of arrival. */
struct request_item *request_store_at(const struct request_store *s, size_t i);
/* engineer NULL: of all. */
size_t request_store_pending(const struct request_store *s, const char *engineer);
