#include "appliance/supervise/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/process.h"
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

/* None runs any more, whatever comes of the trial. */
static void
end_try(struct slots *s)
{
	s->begun_ms = 0;
	memset(s->boot, 0, sizeof(s->boot));
}

static void
put_text(char to[SLOTS_VERSION_MAX + 1], const char *from)
{
	(void)snprintf(to, SLOTS_VERSION_MAX + 1, "%s", from);
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
	end_try(&next);
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
	end_try(s);
	s->failed = s->trial;
	s->trial = SLOTS_NONE;
	s->tries = 0;
	s->why = why;
}

bool
slots_accepts(const char *accepts, const char *format)
{
	size_t n = strlen(format);

	for (const char *at = accepts; n > 0 && *at; at += strcspn(at, ",")) {
		at += *at == ',';
		if (strcspn(at, ",") == n && strncmp(at, format, n) == 0)
			return true;
	}
	return false;
}

uint32_t
slots_left_ms(const struct slots *s, const struct slots_now *now)
{
	uint64_t ran = now->ms - s->begun_ms;

	if (!s->begun_ms || strcmp(s->boot, now->boot) != 0 || ran >= s->trial_ms)
		return 0;
	return s->trial_ms - (uint32_t)ran;
}

/* Whoever installs another package means it to run, which it can where it takes over what is there. */
static bool
take_package(struct slots *s, const struct slots_package *package, bool fits)
{
	bool another = strcmp(s->packaged, package->version) != 0;
	bool changed = another || strcmp(s->accepts, package->accepts) != 0;

	if (another && fits && s->packaged[0] && (s->active != SLOTS_PACKAGED || s->trial)) {
		if (s->trial)
			go_back(s, SLOTS_WHY_PACKAGE);
		s->previous = SLOTS_NONE;
		s->active = SLOTS_PACKAGED;
	}
	if (s->active == SLOTS_PACKAGED && fits && strcmp(s->format, package->format) != 0) {
		put_text(s->format, package->format);
		changed = true;
	}
	put_text(s->packaged, package->version);
	put_text(s->accepts, package->accepts);
	return changed;
}

bool
slots_pick(struct slots *s, const struct slots_package *package, const struct slots_now *now, enum slots_slot *ret)
{
	bool fits = !s->format[0] || slots_accepts(package->accepts, s->format);
	bool changed = take_package(s, package, fits);

	if (s->begun_ms && slots_left_ms(s, now) == 0) {
		s->why = strcmp(s->boot, now->boot) == 0 ? SLOTS_WHY_SILENT : SLOTS_WHY_CUT;
		end_try(s);
		changed = true;
	}
	if (s->begun_ms) {
		*ret = s->trial;
		return changed;
	}
	if (s->trial && s->tries > 0) {
		s->tries--;
		s->begun_ms = now->ms ?: 1;
		put_text(s->boot, now->boot);
		*ret = s->trial;
		return true;
	}
	if (s->trial) {
		go_back(s, s->why ?: SLOTS_WHY_CUT);
		changed = true;
	}
	*ret = s->active == SLOTS_PACKAGED && !fits ? SLOTS_NONE : s->active;
	return changed;
}

bool
slots_note(struct slots *s, enum slots_why why)
{
	if (!s->begun_ms)
		return false;
	s->why = why;
	end_try(s);
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
slots_good(struct slots *s, enum slots_slot slot, const char *format, const struct slots_now *now)
{
	if (slot == SLOTS_NONE || s->trial != slot || slots_left_ms(s, now) == 0)
		return false;
	end_try(s);
	s->previous = s->active;
	s->active = slot;
	s->trial = s->failed = SLOTS_NONE;
	s->why = SLOTS_WHY_NONE;
	s->tries = 0;
	put_text(s->format, format);
	return true;
}

int
slots_now(struct slots_now *ret)
{
	char boot[PROCESS_BOOT_ID_MAX];
	int r = process_boot_id(boot);

	if (r)
		return FAULT(r);
	put_text(ret->boot, boot);
	ret->ms = clock_mono_us() / CLOCK_US_PER_MS;
	return 0;
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
