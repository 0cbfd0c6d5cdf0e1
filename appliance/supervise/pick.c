#include "appliance/supervise/pick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/supervise/down.h"
#include "appliance/tree/beneath.h"
#include "appliance/trust/sha256.h"

struct choice {
	struct slots before;
	struct slots_now now;
	enum slots_slot slot;
};

static const struct slots_package package = { MAINSTAY_VERSION, SLOTS_STATE_FORMAT, SLOTS_STATE_ACCEPTS };

static bool
choose(struct slots *s, void *arg)
{
	struct choice *c = arg;

	c->before = *s;
	return slots_pick(s, &package, &c->now, &c->slot);
}

/* The packaged core, which would not know what lib/ holds. */
static int
check_package(const struct slots *s, enum slots_slot slot)
{
	if (!s->format[0] || slots_accepts(package.accepts, s->format))
		return 0;
	if (slot == SLOTS_NONE || slot == SLOTS_PACKAGED)
		return REFUSE(REASON_CONFLICT, "mainstay " MAINSTAY_VERSION,
			"lib/ has the form %s, and this package takes over %s only: install the package that was there before, or a newer one",
			s->format, package.accepts);
	log_warning("the packaged core %s does not take over lib/ of form %s: slot %s goes on", package.version, s->format,
		slots_text(slot));
	return 0;
}

int
pick_core(struct pick *pick, const struct paths *paths)
{
	struct choice c = { .slot = SLOTS_PACKAGED };
	struct slots s = { .active = SLOTS_PACKAGED };
	const struct slots_tree *tree;
	int r;

	r = slots_now(&c.now);
	r = r ?: slots_update(&s, paths, choose, &c);
	if (r < 0) {
		/* Not taken off durably is not taken off: no try without it. */
		log_fault(r, "reading which core is to run");
		c.slot = s.active;
	}
	if (pick->packaged && !s.trial)
		c.slot = SLOTS_PACKAGED;
	tree = slots_tree(&s, c.slot);
	pick->slot = c.slot;
	if (tree)
		memcpy(pick->digest, tree->digest, sizeof(pick->digest));
	pick->trial = r == 0 && s.trial && s.trial == c.slot;
	pick->clear = c.before.trial || c.before.active != c.slot;
	pick->trial_ms = slots_left_ms(&s, &c.now);
	if (c.before.trial && !s.trial)
		log_warning("the core in slot %s is given up: %s; slot %s again",
			slots_text(s.failed), slots_why_text(s.why), slots_text(c.slot));
	if (pick->trial)
		log_info("the core in slot %s is on trial for %u ms, %u tries left after this one",
			slots_text(c.slot), pick->trial_ms, s.tries);
	return check_package(&s, c.slot);
}

int
pick_program(int *ret_fd, const struct pick *pick, const struct paths *paths, const char *name)
{
	char store[sizeof(paths->lib) + 8], digest[SHA256_TEXT_MAX], path[sizeof(digest) + 64];
	SCOPED(scope_close) int dir = -1;
	int fd;

	if (pick->slot == SLOTS_PACKAGED)
		return FAULT(child_program(ret_fd, name));
	(void)snprintf(store, sizeof(store), "%s/store", paths->lib);
	dir = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return FAULT(-errno);
	(void)snprintf(path, sizeof(path), "%s/bin/%s",
		sha256_text(digest, pick->digest) + strlen("sha256:"), name);
	fd = beneath_open(dir, path, O_RDONLY, 0);
	if (fd < 0)
		return FAULT(fd);
	*ret_fd = fd;
	return 0;
}

static bool
note(struct slots *s, void *arg)
{
	return slots_note(s, *(const enum slots_why *)arg);
}

static int
note_why(const struct paths *paths, enum slots_why why)
{
	return FAULT(slots_update(NULL, paths, note, &why));
}

bool
pick_unstarted(struct pick *pick, const struct paths *paths)
{
	if (pick->trial) {
		(void)note_why(paths, SLOTS_WHY_UNSTARTED); /* it is taken off all the same */
		return true;
	}
	if (pick->slot == SLOTS_PACKAGED)
		return false;
	log_error("the core in slot %s cannot be started: the packaged one takes its place",
		slots_text(pick->slot));
	pick->packaged = true;
	return true;
}

/* Does the core that was picked wait for its proof still? */
static int
is_on_trial(bool *ret, const struct pick *pick, const struct paths *paths)
{
	SCOPED(scope_close) int core = -1;
	struct slots s;
	int r;

	*ret = false;
	if (!pick->trial)
		return 0;
	r = slots_open(&core, paths);
	r = r ?: slots_load(&s, core);
	if (r == 0)
		*ret = s.trial == pick->slot;
	return FAULT(r);
}

int
pick_ended(const struct pick *pick, const struct paths *paths)
{
	bool waits;
	int r = is_on_trial(&waits, pick, paths);

	if (r || !waits)
		return FAULT(r);
	/* Its daemons may live, and must not meet another core's supervisor.  Where we ended it, why is noted already. */
	r = down_kill(paths);
	return FAULT(r ?: note_why(paths, SLOTS_WHY_ENDED));
}

int
pick_late(const struct pick *pick, const struct paths *paths)
{
	bool waits;
	int r = is_on_trial(&waits, pick, paths);

	if (r || !waits)
		return FAULT(r);
	log_warning("the core in slot %s did not prove itself in %u ms: killed", slots_text(pick->slot),
		pick->trial_ms);
	r = down_kill(paths);
	return FAULT(r ?: note_why(paths, SLOTS_WHY_SILENT));
}
