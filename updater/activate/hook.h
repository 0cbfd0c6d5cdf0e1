/* Hooks of a release: what it runs around a change on its own account, in a sandbox of mainstay-operate with the
 * service's uid, without a network, and with the limits of its definition.
 *
 *	snapshot  the old release's, while it runs: data and what it writes below {snapshot}
 *	check     the new release's tree on the old data, which it may only read
 *	restore   the old release's, while nothing runs: from {snapshot} back into data
 *
 * Snapshots lie in data/.snapshot/ID, an ID being 32 hex digits. */
#pragma once

#include <stdbool.h>

#include "appliance/base/scope.h"
#include "appliance/service/definition.h"

enum { HOOK_SNAPSHOTS_KEPT = 2 };

struct hook;
struct monitor;

/* r: 0 and the SHA-256 of what it wrote to stdout and stderr (64 hex digits, lent); REASON_CONFLICT (logged, with the
 * end of what it wrote) where it failed or took too long; the worker's refusal; or a fault. */
typedef void hook_done_fn(int r, const char *output, void *arg);

/* Run hook `which` of release (hex of its index), whose definition is d.  snapshot: the name of the one that it makes or
 * reads; "" for check.  done runs exactly once, later, from the loop, unless hook_cancel() came first; *slot is NULL
 * again before.  The hook's secrets go to it by descriptor, and "***" stands for them in what it wrote.  Returns 0;
 * REASON_NOT_FOUND (logged) where the snapshot to restore is not there; REASON_UNSAFE_TREE
 * (logged) where a link stands in the way of it; or a fault (done does not run then). */
int hook_start(struct hook **slot, struct monitor *m, const struct definition *d, const char *release,
	enum definition_hooks which, const char *snapshot, hook_done_fn *done, void *arg);
struct hook *hook_cancel(struct hook *h);
SCOPED_DESTRUCTOR(struct hook, hook_cancel)

/* Is that snapshot of the service there? */
bool hook_has_snapshot(struct monitor *m, const char *service, const char *id);

/* Remove all snapshots of a service but those named: n names.  What cannot be removed stays. */
void hook_forget_snapshots(struct monitor *m, const char *service, const char *const *keep, size_t n);
