/* Being a witness by file, and a witness policy on paper: what the commands refuse before they ask anybody. */
#include "appliance/monitor/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

#define ORIGIN "mainstay.audit/site1"

static struct scratch dir;
static struct ed25519 *key;
static char memory[200], file[200], out[200], vkey[400];

static int
set_up(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(sizeof(vkey));
	struct note_key k;

	(void)state;
	scratch_make(&dir);
	(void)snprintf(memory, sizeof(memory), "%s/memory", dir.path);
	(void)snprintf(file, sizeof(file), "%s/head.txt", dir.path);
	(void)snprintf(out, sizeof(out), "%s/out.txt", dir.path);
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(note_key_make(&k, ORIGIN, NOTE_TYPE_ED25519, ed25519_public(key)), 0);
	note_key_text(&b, &k);
	(void)snprintf(vkey, sizeof(vkey), "%s", buf_text(&b));
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	key = ed25519_free(key);
	scratch_remove(&dir);
	return 0;
}

static int
run(const char *const *argv)
{
	static const struct command_program program = { .name = "mainstay",
		.tables = { commands_witness } };
	int n = 0;

	while (argv[n])
		n++;
	return command_main(&program, n, (char **)(uintptr_t)argv);
}

#define RUN(...) run((const char *const[]){ "mainstay", __VA_ARGS__, NULL })
#define COSIGN(...) RUN("audit", "cosign", file, "--memory", memory, "--name", "w.example", __VA_ARGS__)

/* Refused so, once, and nothing was written. */
#define REFUSED(call, why)                                                                         \
	do {                                                                                       \
		uint64_t count_ = refuse_count(why);                                               \
		assert_int_equal((call), (why) == REASON_USAGE ? 2 : 1);                           \
		assert_int_equal(refuse_last()->reason, (why));                                    \
		assert_int_equal(refuse_count(why), count_ + 1);                                   \
		assert_int_not_equal(access(out, F_OK), 0);                                        \
	} while (0)

/* What a log of one leaf, or of two, is given out as. */
static void
submit(uint64_t old, uint64_t size, const struct ed25519 *by, uint8_t first)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024), note = BUF_MAX(4096), body = BUF_MAX(8192);
	struct note_checkpoint c = { .size = size, .root = { first } };
	struct merkle_proof proof = { 0 };

	(void)snprintf(c.origin, sizeof(c.origin), "%s", ORIGIN);
	note_checkpoint_text(&text, &c);
	assert_int_equal(note_sign(&note, buf_text(&text), text.len, ORIGIN, by), 0);
	witness_request(&body, old, &proof, buf_text(&note), note.len);
	scratch_write(&dir, "head.txt", body.data, body.len);
}

static void
a_witness_by_file_cosigns_what_continues(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *other = NULL;

	(void)state;
	assert_int_equal(ed25519_generate(&other), 0);
	submit(0, 5, key, 1);
	REFUSED(COSIGN("--out", out), REASON_USAGE);
	REFUSED(COSIGN("--log", vkey), REASON_USAGE);
	REFUSED(COSIGN("--log", "nonsense", "--out", out), REASON_MALFORMED);
	submit(0, 5, other, 1);
	REFUSED(COSIGN("--log", vkey, "--out", out), REASON_UNKNOWN_KEY);
	scratch_write(&dir, "head.txt", "x", 1);
	REFUSED(COSIGN("--log", vkey, "--out", out), REASON_MALFORMED);
	submit(0, 5, key, 1);
	REFUSED(COSIGN("--log", vkey, "--out", "/nonexistent/out.txt"), REASON_NOT_FOUND);
	submit(5, 5, key, 1); /* what it signed it remembers, though nobody got it */
	assert_int_equal(COSIGN("--log", vkey, "--out", out), 0);
	assert_int_equal(unlink(out), 0);
	/* It remembers: neither an older head, nor another one of that size, nor one that it cannot follow. */
	submit(0, 4, key, 2);
	REFUSED(COSIGN("--log", vkey, "--out", out), REASON_CONFLICT);
	submit(5, 5, key, 2);
	REFUSED(COSIGN("--log", vkey, "--out", out), REASON_ALTERED);
	submit(5, 5, key, 1);
	assert_int_equal(COSIGN("--log", vkey, "--out", out), 0);
}

static void
a_policy_is_checked_without_a_site(void **state)
{
	(void)state;
	scratch_write(&dir, "head.txt", "quorum none\n", 12);
	assert_int_equal(RUN("audit", "policy", file, "--check"), 0);
	scratch_write(&dir, "head.txt", "quorum x\n", 9);
	REFUSED(RUN("audit", "policy", file, "--check"), REASON_NOT_FOUND);
	scratch_write(&dir, "head.txt", "", 0);
	REFUSED(RUN("audit", "policy", file), REASON_MALFORMED);
	REFUSED(RUN("audit", "policy", "--check"), REASON_USAGE);
	REFUSED(RUN("audit", "policy", "--key", file), REASON_USAGE);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(a_witness_by_file_cosigns_what_continues),
		ROW(a_policy_is_checked_without_a_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
