/* policy.yaml to the compiled form.  Runs in the judge, in `mainstay policy check` and in tests; decides
 * nothing.
 *
 *	v: 1
 *	owners: { k: 2, keys: [ssh-ed25519 AAAA..., ...] }
 *	approvers: [{ name: ann, key: ssh-ed25519 AAAA... }]
 *	classes: { logs: review }                    # send | review | keep
 *	windows:                                     # maintenance hours, UTC
 *	  updates: ["sat-sun 02:00-05:00"]           # outside: nothing is activated but by a person's own word
 *	  remote: ["mon-fri 20:00-06:00"]            # outside: what is allowed to change something asks first
 *	notify: [request, alert, update]
 *	rules:
 *	  - { services: [redis], operations: [info, ping], decision: allow, hours: "mon-fri 08:00-18:00" }
 *	  - { risk: [observe, change], decision: ask, approvers: [ann] }
 *	  - { services: [redis], operations: [flush], decision: ask, approvers: { need: 2, of: [ann, bob, eve] } }
 *	  - { risk: destroy, decision: deny }
 *
 * services, operations, risk, roles and engineers are one word or a list; left out, or (but for risk) "*", they
 * match everything, but "allow" must name its operations.  approvers is one name, a list (one of them must say yes), or
 * how many of whom; left out, any one approver. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Compile; name is the file's for messages ("policy.yaml").  *ret_json is the compiled document, the
 * caller's.  Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE, logged with
 * "file:line:col"; or a fault. */
int policy_compile(json_t **ret_json, const void *yaml, size_t len, const char *name);

/* In which line each of its rules begins, for people: the first max of them into lines, their number in *ret_n.
 * Returns as policy_compile(). */
int policy_compile_lines(unsigned *lines, size_t max, size_t *ret_n, const void *yaml, size_t len,
	const char *name);

/* The text of the default policy, as interfaces.md gives it. */
extern const char policy_compile_default[];
