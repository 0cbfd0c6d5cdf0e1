/* The customer's ceiling: what the vendor may read, run and install here.
 *
 * The monitor keeps the compiled form (canonical JSON; policy_compile.h makes it from policy.yaml inside the
 * judge).  All rules that match count; deny beats ask beats allow; no rule means deny. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;
struct policy; /* one compiled policy; opaque, immutable */

enum {
	POLICY_BYTES_MAX = 256 * 1024,
	POLICY_RULES_MAX = 256,
	POLICY_MATCHES_MAX = 32,
	POLICY_APPROVERS_MAX = 64,
	POLICY_NEED_MAX = 16, /* approvers of one request */
	POLICY_KEY_MAX = 512, /* "ssh-ed25519 AAAA..." */
};

enum policy_decision { POLICY_DENY, POLICY_ASK, POLICY_ALLOW };
const char *policy_decision_text(enum policy_decision d); /* "deny" "ask" "allow" */

/* What becomes of a class of telemetry: sent, kept for review before it goes, or kept. */
enum policy_class { POLICY_SEND, POLICY_REVIEW, POLICY_KEEP };

/* The classes by name: "alert", "heartbeat", ... (egress/class.h says what they are). */
enum { POLICY_CLASSES = 9 };
extern const char *const policy_class_names[POLICY_CLASSES];

/* Parse the compiled form strictly.  Returns 0, REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged), or a
 * fault. */
int policy_parse(struct policy **ret, const void *json, size_t len);
/* The same from a document already read; borrowed. */
int policy_from_json(struct policy **ret, const json_t *doc);
struct policy *policy_free(struct policy *p);
SCOPED_DESTRUCTOR(struct policy, policy_free)

/* The policy that holds where nobody wrote one: observe ask, change ask, destroy deny, sessions deny, nobody
 * can approve. */
int policy_default(struct policy **ret);

/* The policy that holds where the compiled one is lost: everything is denied.  owners (borrowed; may be NULL) as in
 * a policy: they guard what is applied next. */
int policy_deny_all(struct policy **ret, const json_t *owners);

/* The compiled document, and the SHA-256 of its canonical form. */
const json_t *policy_json(const struct policy *p);
const uint8_t *policy_digest(const struct policy *p);

/* --- deciding -------------------------------------------------------------------------------------------- */
struct policy_question {
	const char *service;   /* "redis"; "appliance" for what is no service's */
	const char *operation; /* "memory-doctor" */
	const char *risk;      /* "observe" "change" "destroy" "session" */
	const char *role;      /* the engineer's role that is used: "support" */
	const char *engineer;  /* name in the people document */
	uint64_t now_us;
	bool windows_closed; /* the clock is doubtful: rules with hours never permit, and hold back all the same */
};

struct policy_answer {
	enum policy_decision decision; /* "ask", too, for what is allowed inside the maintenance hours alone */
	size_t n_rules; /* rules that matched, in the file's order */
	unsigned rules
		[POLICY_MATCHES_MAX]; /* their numbers, from 1; the first POLICY_MATCHES_MAX of them */
	unsigned closed; /* the first rule, from 1, that would ask or allow at another hour; 0: none */
	bool outside;	 /* the window "remote" is closed for what would change something */
	bool inside;	 /* ... and once it opens, it is allowed without asking */
	uint64_t opens_us; /* when that window (where outside), else the closed rule, opens next; 0: not known */
	unsigned need; /* of ask: how many different approvers must say yes, 1 at least */
	/* Of ask: who may approve, those on the list of every asking rule that has one. */
	bool limited; /* false: every approver of the policy */
	const char *approvers[POLICY_APPROVERS_MAX];
	size_t n_approvers;
};

/* Decide.  Outside the window "remote", what a rule allows waits for an approver all the same, but for risk observe.
 * The answer borrows from the policy. */
void policy_decide(const struct policy *p, const struct policy_question *q,
	struct policy_answer *ret);

/* Is it denied for the hour alone?  No rule denies it, and at another hour one would ask or allow. */
bool policy_outside_window(const struct policy_answer *a);

/* May this approver say yes to what got this answer?  (The name stands in the policy, too.) */
bool policy_may_approve(const struct policy *p, const struct policy_answer *a, const char *name);

/* Are there as many who may say yes to it as it takes?  Several rules that ask may name nobody in common. */
bool policy_approvable(const struct policy *p, const struct policy_answer *a);

/* What is wrong with the policy as a whole though each line is right, a sentence each, as a JSON array of texts (the
 * caller's to drop): classes without which other things do not work, and rules that ask about the same thing and leave nobody to say yes.  Two rules at a time: what only
 * three of them together make impossible is refused when it comes.  NULL where there is no memory to say it all. */
json_t *policy_warnings(const struct policy *p);

/* One sentence for people: "ask: rule 1 (ask), rule 3 (allow)"; out is terminated. */
void policy_explain(const struct policy *p, const struct policy_answer *a, char *out, size_t size);

/* Rule n, from 1, as {"number","decision","text"}; the caller's. */
json_t *policy_rule_json(const struct policy *p, unsigned n);

/* --- people of the customer ------------------------------------------------------------------------------- */
struct policy_approver {
	const char *name;
	const char *key; /* "ssh-ed25519 AAAA...", no comment */
};

size_t policy_n_approvers(const struct policy *p);
const struct policy_approver *policy_approver(const struct policy *p, size_t i);
/* By name; NULL where nobody is called so. */
const struct policy_approver *policy_find_approver(const struct policy *p, const char *name);
/* Owners' keys, and how many of them must sign; 0 owners: core releases cannot be approved. */
size_t policy_owners(const struct policy *p, unsigned *ret_k);
const char *policy_owner(const struct policy *p, size_t i);

/* --- the rest --------------------------------------------------------------------------------------------- */
/* A class that is not named is sent. */
enum policy_class policy_class_of(const struct policy *p, const char *class);
/* Does `notify` name the event? */
bool policy_notifies(const struct policy *p, const char *event);
/* The customer's maintenance hours.  "remote": outside it nothing that a rule allows changes anything without asking.
 * "updates": outside it nothing is activated but by a person's own word. */
#define POLICY_WINDOW_UPDATES "updates"
#define POLICY_WINDOW_REMOTE  "remote"

/* Is the window open?  One that the policy does not name always is; while the clock is doubtful none that it names is.
 * *ret_opens_us (may be NULL) is when it opens next, 0 where it is open or nobody knows. */
bool policy_window_open(const struct policy *p, const char *window, uint64_t now_us, bool doubtful,
	uint64_t *ret_opens_us);

/* What `after` permits otherwise than `before`, a sentence for people each, as a JSON array of texts (the caller's to
 * drop): first "+ ", what becomes possible; then "- ", what no longer is; then "= ", what went and made no difference.
 * Whenever some question gets a weaker answer, there is a "+"; *ret_widens says whether there is one.  NULL where there
 * is no memory to say it all; *ret_widens is then true. */
json_t *policy_diff(const struct policy *before, const struct policy *after, bool *ret_widens);
/* Do they differ in nothing but who the approvers are?  1, 0, or a fault. */
int policy_same_but_approvers(const struct policy *a, const struct policy *b);
