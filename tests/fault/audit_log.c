/* The work that is cut, and what must hold after the cut.
 *
 *	audit_log work FOLDER SEED NOTES STEPS BLOCKS    write a log into FOLDER; after each step note in NOTES what
 *	                                                 was promised then and how long BLOCKS was: "ack BYTES SIZE ROOT"
 *	                                                 (the caller was told), "seen BYTES SIZE ROOT" (a witness holds it)
 *	audit_log check FOLDER SEED NOTES CUT            FOLDER is what a cut after CUT bytes of BLOCKS left: open it,
 *	                                                 hold it against all that was promised by then */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/audit/audit.h"
#include "appliance/audit/verify.h"
#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/trust/sha256.h"
#include "tests/fault/trouble.h"

#define SITE "plant7"
#define WITNESS "witness.example"

struct world {
	struct ed25519 *key, *hub;
	struct note_key witness;
	struct audit *log;
	int dir;
	uint64_t drawn; /* the last draw: what comes follows from SEED */
	uint64_t what;	/* is done next */
	FILE *notes;
	const char *blocks;
};

static void
need(bool ok, const char *what)
{
	if (ok)
		return;
	printf("%s: %s: %s\n", what, refuse_last()->operand, refuse_last()->text);
	exit(1);
}

static uint64_t
draw(struct world *w, uint64_t below)
{
	w->drawn = w->drawn * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (w->drawn >> 33) % below;
}

static void
make_world(struct world *w, const char *folder, const char *seed)
{
	uint8_t bytes[32];

	w->drawn = strtoull(seed, NULL, 10);
	sha256_of(bytes, "audit", 5);
	need(ed25519_from_seed(&w->key, bytes) == 0, "key");
	sha256_of(bytes, "hub", 3);
	need(ed25519_from_seed(&w->hub, bytes) == 0, "key");
	need(note_key_make(&w->witness, WITNESS, NOTE_TYPE_COSIGNATURE, ed25519_public(w->hub)) ==
			0,
		"witness");
	w->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(w->dir >= 0, folder);
}

static void
end_world(struct world *w)
{
	audit_free(w->log);
	ed25519_free(w->key);
	ed25519_free(w->hub);
	close(w->dir);
}

static int
reopen(void *arg)
{
	struct world *w = arg;

	audit_free(w->log);
	w->log = NULL;
	return audit_open(&w->log, w->dir, SITE, w->key);
}

/* --- the work --------------------------------------------------------------------------------- */
static void
note_down(const struct world *w, const char *word)
{
	uint8_t root[32];
	char hex[65];
	struct stat st;

	need(stat(w->blocks, &st) == 0, w->blocks);
	audit_root(w->log, root);
	fprintf(w->notes, "%s %lld %" PRIu64 " %s\n", word, (long long)st.st_size, audit_size(w->log),
		hex_encode(hex, root, sizeof(root)));
	fflush(w->notes);
}

static int
append(struct world *w)
{
	struct audit_leaf leaves[600];
	size_t n = draw(w, 4) ? 1 : 1 + draw(w, draw(w, 3) ? 20 : 600);

	for (size_t i = 0; i < n; i++)
		leaves[i] = (struct audit_leaf){ .kind = AUDIT_START,
			.actor = "anna",
			.object = draw(w, 2) ? "a short one"
					     : "one that is a little longer than it" };
	return audit_append_many(w->log, leaves, n, NULL);
}

static int
cosign(struct world *w)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done)
	struct buf body = BUF_MAX(WITNESS_BODY_MAX), reply = BUF_MAX(4096), note = BUF_MAX(8192);
	const char *head;
	struct merkle_proof proof;
	uint64_t old = audit_cosigned(w->log);
	int r = audit_commit(w->log);

	head = r ? NULL : audit_checkpoint(w->log);
	r = r ?: audit_consistency(w->log, old, &proof);
	if (r)
		return r;
	witness_request(&body, old, &proof, head, strlen(head));
	need(witness_parse(&s, body.data, body.len) == 0, "submission");
	need(witness_cosignature(&reply, &s, WITNESS, w->hub, 1800000000) == 0, "cosignature");
	note_down(w, "seen");
	need(witness_accept(&note, head, strlen(head), reply.data, reply.len, &w->witness) == 0,
		"accept");
	return audit_keep_cosigned(w->log, note.data, note.len, &w->witness);
}

static int
erase(struct world *w)
{
	uint64_t from = draw(w, audit_size(w->log)), left = audit_size(w->log) - from;
	int r = audit_erase(w->log, "anna", from, from + draw(w, left), "asked for", NULL);

	return r == REASON_NOT_FOUND ? 0 : r;
}

static int
step(void *arg)
{
	struct world *w = arg;

	if (!w->log || w->what == 3)
		return reopen(w);
	if (w->what < 3)
		return cosign(w);
	if (w->what < 5 && audit_size(w->log) > 2)
		return erase(w);
	if (w->what < 8)
		return audit_commit(w->log);
	return append(w); /* and no commit: what was acknowledged must be there all the same */
}

static int
work(struct world *w, const char *notes_path, unsigned long steps, const char *blocks)
{
	bool good = true;

	w->notes = fopen(notes_path, "we");
	w->blocks = blocks;
	need(w->notes != NULL, notes_path);
	for (unsigned long i = 0; i <= steps && good; i++) {
		w->what = draw(w, 20);
		good = trouble_do("step", step, reopen, w);
		if (good)
			note_down(w, "ack");
	}
	if (good)
		printf("%" PRIu64 " entries, %" PRIu64 " cosigned\n", audit_size(w->log), audit_cosigned(w->log));
	return fclose(w->notes) ? 4 : 0;
}

/* --- the check -------------------------------------------------------------------------------- */
/* Does the log that we have contain the tree that was promised? */
static void
check_promise(struct world *w, const char *word, uint64_t size, const char *hex)
{
	const uint8_t(*proof)[MERKLE_HASH];
	struct merkle_proof p;
	uint8_t was[32], is[32];

	need(hex_decode(was, sizeof(was), hex), "notes");
	if (size > audit_size(w->log)) {
		printf("rolled back: %" PRIu64 " entries, %s %" PRIu64 "\n", audit_size(w->log),
			word, size);
		exit(1);
	}
	if (!size)
		return;
	audit_root(w->log, is);
	need(audit_consistency(w->log, size, &p) == 0, "consistency");
	proof = (const uint8_t(*)[MERKLE_HASH])p.hash;
	if (merkle_check_consistency(size, audit_size(w->log), proof, p.n, was, is)) {
		printf("forked: not the tree of %" PRIu64 " entries that was %s\n", size, word);
		exit(1);
	}
}

static int
check(struct world *w, const char *notes_path, long long cut)
{
	FILE *notes = fopen(notes_path, "re");
	struct verify_report report;
	char word[8], hex[65];
	uint64_t size;
	long long at;

	need(notes != NULL, notes_path);
	need(reopen(w) == 0, "open");
	while (fscanf(notes, "%7s %lld %" SCNu64 " %64s", word, &at, &size, hex) == 4 && at <= cut)
		check_promise(w, word, size, hex);
	fclose(notes);
	need(verify_log(&report, w->dir, ed25519_public(w->key), &w->witness) == 0, "verify");
	need(report.size == audit_size(w->log), "size");
	need(audit_append(w->log, AUDIT_END, "anna", "after the cut", NULL, REASON_NONE, NULL,
		     NULL) == 0,
		"append");
	need(reopen(w) == 0, "open");
	need(audit_size(w->log) == report.size + 1, "reopening");
	return 0;
}

int
main(int argc, char **argv)
{
	struct world w = { .dir = -1 };
	int r = 2;

	if (argc == 7 && !strcmp(argv[1], "work")) {
		make_world(&w, argv[2], argv[3]);
		r = work(&w, argv[4], strtoul(argv[5], NULL, 10), argv[6]);
	} else if (argc == 6 && !strcmp(argv[1], "check")) {
		make_world(&w, argv[2], argv[3]);
		r = check(&w, argv[4], strtoll(argv[5], NULL, 10));
	} else {
		fprintf(stderr,
			"usage: audit_log work FOLDER SEED NOTES STEPS BLOCKS | "
			"check FOLDER SEED NOTES CUT\n");
	}
	end_world(&w);
	return r;
}
