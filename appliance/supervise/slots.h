/* Which core runs: two slots and a counter of tries, in lib/core.
 *
 * A slot names a whole release tree of the store (lib/store/HEX), so that nothing is copied twice and a switch is
 * one write.  The packaged core, beside the running `mainstay run`, is always there as the last resort.
 *
 *	lib/core/slots.0  slots.1	two copies, written in turn: the valid one of the higher generation counts
 *	lib/core/lock			held while they are read and replaced, by `mainstay run` and by the monitor
 *
 * A copy is: magic "mscore1\n"; u64 generation; u8 active, previous, trial, failed, why, tries; u32 trial_ms, soak_ms;
 * of slot a and of slot b: u8 present (0 or 1), 32 bytes digest of index.json, u64 counter, u8 length and bytes of the
 * version; u8 length and bytes of the packaged version; u64 begun_ms; u8 length and bytes of boot, of format and of
 * accepts; SHA-256 of all before.  Numbers are big endian.  A promise: these bytes stay, for `mainstay run` of the package
 * reads what the monitor of any release wrote (tests/unit/appliance/supervise/takeover.c has them).
 *
 * The way of a switch:	the monitor writes a trial (slots_begin) and asks supervise to make room;
 *			`mainstay run` takes one try off, durably, BEFORE it starts the core on trial (slots_pick);
 *			the monitor of that core marks it good once it has proved itself (slots_good);
 *			no try left and not good: the core that was active runs again (slots_pick).
 *
 * A try has until begun_ms + trial_ms, whoever counts it: `mainstay run` kills it then; a run that was started again
 * meanwhile goes on with the same try in the time it has left; with no run at all the supervisor of the core on trial
 * ends by itself (trial.h).  Another boot is the end of a try. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct paths;

/* The form of lib/ that this core reads and writes, and those it takes over from, a ',' between.  A release names its own
 * as data.format, those it takes over from as data.accepts.  A core on trial writes the form it found; its own only once
 * it is good. */
#define SLOTS_STATE_FORMAT "mainstay-1"
#define SLOTS_STATE_ACCEPTS "mainstay-1"

enum slots_slot { SLOTS_NONE, SLOTS_PACKAGED, SLOTS_A, SLOTS_B, SLOTS_SLOT_MAX };

/* Why the last trial did not become good. */
enum slots_why {
	SLOTS_WHY_NONE,
	SLOTS_WHY_CUT,	     /* its last try was cut off: the machine or `mainstay run` ended */
	SLOTS_WHY_ENDED,     /* its supervisor ended */
	SLOTS_WHY_SILENT,    /* it did not prove itself in time */
	SLOTS_WHY_UNSTARTED, /* its supervisor could not be executed */
	SLOTS_WHY_WRONG,     /* its own proof failed */
	SLOTS_WHY_PACKAGE,   /* another packaged core was installed meanwhile, which is the customer's own word */
	SLOTS_WHY_MAX
};

enum {
	SLOTS_VERSION_MAX = 64,
	SLOTS_TRIES_MAX = 9,
	SLOTS_TIME_MAX_MS = 3600 * 1000,
	SLOTS_BYTES_MAX = 1024,
	SLOTS_LOCK_MS = 5000,
};

struct slots_tree {
	bool present;
	uint8_t digest[32]; /* of index.json: the name in the store */
	uint64_t counter;
	char version[SLOTS_VERSION_MAX + 1];
};

struct slots {
	uint64_t generation;
	enum slots_slot active;	  /* PACKAGED, A or B; of A and B the tree is present: so it is with the next two */
	enum slots_slot previous; /* was active before; NONE, or as above */
	enum slots_slot trial;	  /* NONE, or another than active */
	enum slots_slot failed;	  /* the last trial that did not become good; NONE */
	enum slots_why why;
	unsigned tries;		  /* left; 0 without a trial */
	uint32_t trial_ms;	  /* from the start of a try until it must be good */
	uint32_t soak_ms;	  /* its proofs must hold so long without a break; less than trial_ms */
	struct slots_tree tree[2];
	char packaged[SLOTS_VERSION_MAX + 1]; /* version of the packaged core that was seen last; "" before */
	uint64_t begun_ms;		      /* when the try that runs was begun; 0: none runs, as without a trial */
	char boot[SLOTS_VERSION_MAX + 1];     /* in which boot; "" where none runs */
	char format[SLOTS_VERSION_MAX + 1];   /* of lib/, as the active core writes it; "": not known */
	char accepts[SLOTS_VERSION_MAX + 1];  /* formats that the packaged core takes over, a ',' between */
};

/* A moment: of another boot says nothing of this one's. */
struct slots_now {
	char boot[SLOTS_VERSION_MAX + 1];
	uint64_t ms;
};

/* The packaged core, which `mainstay run` is of. */
struct slots_package {
	const char *version, *format, *accepts;
};

/* --- the bytes ------------------------------------------------------------------------------------------------- */
/* Parse one copy.  Returns 0 or REASON_MALFORMED (unlogged: the other copy may stand). */
int slots_parse(struct slots *ret, const void *p, size_t len);
int slots_write(struct buf *out, const struct slots *s);
/* Every member is what struct slots says. */
bool slots_sound(const struct slots *s);

/* --- the files ------------------------------------------------------------------------------------------------- */
/* Open lib/core, making it (0700).  Returns 0 or a fault. */
int slots_open(int *ret_core_fd, const struct paths *paths);
/* The valid copy of the higher generation; where there is none: the packaged core, generation 0.  A copy that is there
 * and not valid is logged.  Returns 0 or a fault. */
int slots_load(struct slots *ret, int core_fd);
/* Write the next generation over the older copy, durably.  Returns 0 or a fault: then s->generation is as before. */
int slots_save(struct slots *s, int core_fd);
/* Load, change by fn, save where fn returns true, under the lock; *ret (may be NULL) is what stands then, also where
 * saving failed.  Waits for the lock, at most SLOTS_LOCK_MS: whoever holds it only writes a small file.  Returns 0 or a
 * fault. */
int slots_update(struct slots *ret, const struct paths *paths, bool (*fn)(struct slots *s, void *arg), void *arg);

/* --- the steps, without I/O -------------------------------------------------------------------------------------- */
/* The slot that a release goes to: one that has this very tree already, so that none stands in both; else neither the
 * active one nor, where that can be kept, the previous.  NONE where it is the active one's. */
enum slots_slot slots_spare(const struct slots *s, const uint8_t digest[32]);
/* Put a release on trial in slot (as slots_spare() says; or, with tree NULL, what the slot has: `update rollback`).
 * Returns 0, or REASON_CONFLICT (logged) where another is on trial, or slot is active or empty. */
int slots_begin(struct slots *s, enum slots_slot slot, const struct slots_tree *tree, unsigned tries, uint32_t trial_ms,
	uint32_t soak_ms);
/* What `mainstay run`, itself of this package, is to start now: a try that runs goes on, in what time it has left.  NONE
 * where only the package is there and it does not take over lib/.  Returns true where s changed: it must be saved before
 * anything is started. */
bool slots_pick(struct slots *s, const struct slots_package *package, const struct slots_now *now, enum slots_slot *ret);
/* The try that runs ended badly; nothing where none runs. */
bool slots_note(struct slots *s, enum slots_why why);
/* That the try that runs has left; 0: none runs, or its time is up. */
uint32_t slots_left_ms(const struct slots *s, const struct slots_now *now);
/* Is format one of accepts? */
bool slots_accepts(const char *accepts, const char *format);
/* The trial is over and did not become good: what is active is picked again.  false: there was none. */
bool slots_give_up(struct slots *s, enum slots_why why);
/* What is on trial is good, and lib/ is in its form from now on.  false: slot is not on trial (any more), or its time is up. */
bool slots_good(struct slots *s, enum slots_slot slot, const char *format, const struct slots_now *now);

/* This moment.  Returns 0 or a fault. */
int slots_now(struct slots_now *ret);

/* --- who runs ---------------------------------------------------------------------------------------------------- */
/* The slot that the running program was started from, by /proc/self/exe; PACKAGED where it lies in no store. */
enum slots_slot slots_running(const struct slots *s);

const struct slots_tree *slots_tree(const struct slots *s, enum slots_slot slot); /* NULL: packaged, none, empty */
const char *slots_text(enum slots_slot slot);	  /* "packaged", "a", "b", "none" */
const char *slots_why_text(enum slots_why why);	  /* half a sentence */
