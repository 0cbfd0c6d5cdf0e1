#include "appliance/supervise/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"

enum { COPIES = 2, LOOK_MS = 10 };

static const char *const copies[COPIES] = { "slots.0", "slots.1" };

/* --- the files -------------------------------------------------------------------------------- */
int
slots_open(int *ret_core_fd, const struct paths *paths)
{
	char path[sizeof(paths->lib) + 8];

	(void)snprintf(path, sizeof(path), "%s/core", paths->lib);
	return FAULT(fs_open_dir(ret_core_fd, AT_FDCWD, path, 0700));
}

/* A program that was stopped while it held the lock must not stop us, too. */
static int
take_lock(int *ret_fd, int core_fd)
{
	SCOPED(scope_close) int fd = openat(core_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return FAULT(-errno);
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOOK_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return FAULT(-errno);
		if (waited >= SLOTS_LOCK_MS)
			return FAULT(-ETIMEDOUT);
		(void)poll(NULL, 0, LOOK_MS);
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* Returns 0, REASON_NOT_FOUND where there is none, REASON_MALFORMED, or a fault. */
static int
load_copy(struct slots *ret, int core_fd, const char *name)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SLOTS_BYTES_MAX);
	int r = fs_read(core_fd, name, SLOTS_BYTES_MAX, &b);

	if (r == 0)
		r = slots_parse(ret, b.data, b.len);
	if (r > 0 && r != REASON_NOT_FOUND) {
		log_warning("core/%s is damaged: the other copy counts", name);
		r = REASON_MALFORMED;
	}
	return r < 0 ? FAULT(r) : r;
}

int
slots_load(struct slots *ret, int core_fd)
{
	struct slots best = { .active = SLOTS_PACKAGED };

	for (size_t i = 0; i < COPIES; i++) {
		struct slots s;
		int r = load_copy(&s, core_fd, copies[i]);

		if (r < 0)
			return FAULT(r);
		if (r == 0 && s.generation > best.generation)
			best = s;
	}
	*ret = best;
	return 0;
}

int
slots_save(struct slots *s, int core_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SLOTS_BYTES_MAX);
	struct slots next = *s;
	int r;

	next.generation++;
	r = slots_write(&b, &next);
	r = r ?: fs_replace(core_fd, copies[next.generation % COPIES], b.data, b.len, 0600);
	if (r)
		return FAULT(r);
	*s = next;
	return 0;
}

int
slots_update(struct slots *ret, const struct paths *paths, bool (*fn)(struct slots *s, void *arg), void *arg)
{
	SCOPED(scope_close) int core = -1;
	SCOPED(scope_close) int lock = -1;
	struct slots s, old;
	int r;

	r = slots_open(&core, paths);
	r = r ?: take_lock(&lock, core);
	r = r ?: slots_load(&s, core);
	if (r)
		return FAULT(r);
	old = s;
	if (fn(&s, arg)) {
		r = slots_save(&s, core);
		if (r)
			s = old;
	}
	if (ret)
		*ret = s;
	return FAULT(r);
}

/* --- the steps -------------------------------------------------------------------------------- */
static struct slots_tree *
own_tree(struct slots *s, enum slots_slot slot)
{
	return slot == SLOTS_A || slot == SLOTS_B ? &s->tree[slot - SLOTS_A] : NULL;
}

const struct slots_tree *
slots_tree(const struct slots *s, enum slots_slot slot)
{
	if (slot != SLOTS_A && slot != SLOTS_B)
		return NULL;
	return s->tree[slot - SLOTS_A].present ? &s->tree[slot - SLOTS_A] : NULL;
}

enum slots_slot
slots_spare(const struct slots *s, const uint8_t digest[32])
{
	for (enum slots_slot slot = SLOTS_A; slot <= SLOTS_B; slot++) {
		const struct slots_tree *t = slots_tree(s, slot);

		if (t && memcmp(t->digest, digest, sizeof(t->digest)) == 0)
			return slot == s->active ? SLOTS_NONE : slot;
	}
	if (s->active == SLOTS_A)
		return SLOTS_B;
	if (s->active == SLOTS_B)
		return SLOTS_A;
	return s->previous == SLOTS_A ? SLOTS_B : SLOTS_A;
}

int
slots_begin(struct slots *s, enum slots_slot slot, const struct slots_tree *tree, unsigned tries, uint32_t trial_ms,
	uint32_t soak_ms)
{
	struct slots next = *s;
	struct slots_tree *to = own_tree(&next, slot);

	if (s->trial)
		return REFUSE(REASON_CONFLICT, slots_text(slot), "another core is on trial in slot %s",
			slots_text(s->trial));
	if (tree && to) {
		*to = *tree;
		to->present = true;
		/* What stood there is gone, and with it what was said of it. */
		if (next.previous == slot)
			next.previous = SLOTS_NONE;
	}
	next.trial = slot;
	next.failed = SLOTS_NONE;
	next.why = SLOTS_WHY_NONE;
	next.tries = tries;
	next.trial_ms = trial_ms;
	next.soak_ms = soak_ms;
	if (tries == 0 || slot == s->active || !slots_sound(&next))
		return REFUSE(REASON_CONFLICT, slots_text(slot), "nothing in this slot can be put on trial");
	*s = next;
	return 0;
}

/* The trial is over, and what was active before goes on. */
static void
go_back(struct slots *s, enum slots_why why)
{
	s->failed = s->trial;
	s->trial = SLOTS_NONE;
	s->tries = 0;
	s->why = why;
}

bool
slots_pick(struct slots *s, const char *packaged, enum slots_slot *ret)
{
	bool changed = strcmp(s->packaged, packaged) != 0;

	if (changed && s->packaged[0] && (s->active != SLOTS_PACKAGED || s->trial)) {
		/* Whoever installs another package means it to run. */
		if (s->trial)
			go_back(s, SLOTS_WHY_PACKAGE);
		s->previous = SLOTS_NONE;
		s->active = SLOTS_PACKAGED;
	}
	if (changed)
		(void)snprintf(s->packaged, sizeof(s->packaged), "%s", packaged);
	if (s->trial && s->tries > 0) {
		s->tries--;
		*ret = s->trial;
		return true;
	}
	if (s->trial) {
		go_back(s, s->why ?: SLOTS_WHY_CUT);
		changed = true;
	}
	*ret = s->active;
	return changed;
}

bool
slots_note(struct slots *s, enum slots_why why)
{
	if (!s->trial || s->why == why)
		return false;
	s->why = why;
	return true;
}

bool
slots_give_up(struct slots *s, enum slots_why why)
{
	if (!s->trial)
		return false;
	go_back(s, why);
	return true;
}

bool
slots_good(struct slots *s, enum slots_slot slot)
{
	if (slot == SLOTS_NONE || s->trial != slot)
		return false;
	s->previous = s->active;
	s->active = slot;
	s->trial = s->failed = SLOTS_NONE;
	s->why = SLOTS_WHY_NONE;
	s->tries = 0;
	return true;
}

/* --- who runs --------------------------------------------------------------------------------- */
enum slots_slot
slots_running(const struct slots *s)
{
	static const char mark[] = "/store/";
	char exe[4096], digest[SHA256_TEXT_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	const char *at;

	exe[n > 0 ? n : 0] = '\0';
	for (enum slots_slot slot = SLOTS_A; slot <= SLOTS_B; slot++) {
		const struct slots_tree *t = slots_tree(s, slot);

		if (!t)
			continue;
		at = strstr(exe, sha256_text(digest, t->digest) + strlen("sha256:"));
		if (at && at - exe >= (ssize_t)sizeof(mark) && !strncmp(at - strlen(mark), mark, strlen(mark)))
			return slot;
	}
	return SLOTS_PACKAGED;
}

const char *
slots_text(enum slots_slot slot)
{
	static const char *const texts[SLOTS_SLOT_MAX] = { "none", "packaged", "a", "b" };

	return slot < SLOTS_SLOT_MAX ? texts[slot] : "?";
}

const char *
slots_why_text(enum slots_why why)
{
	static const char *const texts[SLOTS_WHY_MAX] = {
		[SLOTS_WHY_NONE] = "it was not tried",
		[SLOTS_WHY_CUT] = "its last try was cut off",
		[SLOTS_WHY_ENDED] = "it ended before it had proved itself",
		[SLOTS_WHY_SILENT] = "it did not prove itself in time",
		[SLOTS_WHY_UNSTARTED] = "it could not be started",
		[SLOTS_WHY_WRONG] = "it found itself wrong",
		[SLOTS_WHY_PACKAGE] = "another packaged core was installed meanwhile",
	};

	return why < SLOTS_WHY_MAX ? texts[why] : "?";
}
