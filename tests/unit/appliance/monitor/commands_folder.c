/* A log that was taken along, checked where nobody can be asked. */
#include "appliance/monitor/commands_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/audit/audit.h"
#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/note.h"
#include "tests/fakes/scratch.h"

static struct scratch scratch;
static struct ed25519 *key, *witness;
static char dir[200], policy[200];

static void
put(const char *path, const char *text)
{
	assert_int_equal(fs_replace_path(path, text, strlen(text), 0600), 0);
}

/* "log NAME+..." by that key, or a witness's line. */
static void
put_line(struct buf *out, const char *word, uint8_t type, const char *name, const struct ed25519 *by)
{
	struct note_key k;

	assert_int_equal(note_key_make(&k, name, type, ed25519_public(by)), 0);
	buf_puts(out, word);
	note_key_text(out, &k);
	buf_u8(out, '\n');
}

static int
setup(void **state)
{
	SCOPED(buf_done) struct buf own = BUF_MAX(4096);
	struct audit *log = NULL;
	char path[300];
	int fd = -1;

	(void)state;
	scratch_make(&scratch);
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(ed25519_generate(&witness), 0);
	(void)snprintf(dir, sizeof(dir), "%s/out", scratch.path);
	(void)snprintf(policy, sizeof(policy), "%s/policy", scratch.path);
	(void)snprintf(path, sizeof(path), "%s/audit", dir);
	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, path, 0700), 0);
	assert_int_equal(audit_open(&log, fd, "site1", key), 0);
	assert_int_equal(audit_append(log, AUDIT_LEAVE, "me", "site1", NULL, REASON_NONE, NULL, NULL), 0);
	assert_int_equal(audit_commit(log), 0);
	audit_free(log);
	(void)unlinkat(fd, "lock", 0);
	(void)close(fd);
	put_line(&own, "log ", NOTE_TYPE_ED25519, "mainstay.audit/site1", key);
	put_line(&own, "witness hub ", NOTE_TYPE_COSIGNATURE, "hub.example/witness", witness);
	buf_puts(&own, "quorum hub\n");
	(void)snprintf(path, sizeof(path), "%s/verify.policy", dir);
	put(path, buf_text(&own));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(key);
	ed25519_free(witness);
	scratch_remove(&scratch);
	return 0;
}

static int said; /* by the command */

static int
run(struct command_call *call)
{
	said = commands_folder_verify(call, call->operands[0]);
	return said;
}

/* Verify, with --policy where text is given. */
static int
verify(const char *text)
{
	static const struct command_option options[] = { { .name = "policy", .value = "F", .help = "F" }, { 0 } };
	static const struct command commands[] = {
		{ .name = "verify", .max = 1, .summary = "verify", .options = options, .run = run },
		{ 0 },
	};
	static const struct command_program program = { .name = "test", .summary = "test", .tables = { commands } };
	static char words[][12] = { "test", "verify", "--json", "--policy" };
	char *argv[] = { words[0], words[1], dir, words[2], words[3], policy, NULL };

	if (text)
		put(policy, text);
	said = -1;
	(void)command_main(&program, text ? 6 : 4, argv);
	return said;
}

static void
refused(const char *text, enum reason reason)
{
	uint64_t n = refuse_count(reason);

	assert_int_equal(verify(text), reason);
	assert_int_equal(refuse_last()->reason, reason);
	assert_int_equal(refuse_count(reason), n + 1);
}

static void
the_folder_says_by_which_key(void **state)
{
	char path[300];

	(void)state;
	assert_true(commands_folder_is_one(dir));
	assert_false(commands_folder_is_one(scratch.path));
	/* nobody has cosigned: by its own policy that is said, no more */
	assert_int_equal(verify(NULL), 0);
	/* the log alone, as any copy of lib/audit */
	(void)snprintf(path, sizeof(path), "%s/verify.policy", dir);
	assert_int_equal(unlink(path), 0);
	refused(NULL, REASON_USAGE);
	put(path, "lock the door\n");
	refused(NULL, REASON_UNKNOWN_FIELD);
	assert_int_equal(truncate(path, 1 << 20), 0);
	refused(NULL, REASON_TOO_LARGE);
}

static void
an_auditors_policy_decides(void **state)
{
	SCOPED(buf_done) struct buf good = BUF_MAX(4096), asks = BUF_MAX(4096), other = BUF_MAX(4096), two = BUF_MAX(4096);

	(void)state;
	put_line(&good, "log ", NOTE_TYPE_ED25519, "any/name", key);
	buf_puts(&good, "quorum none\n");
	assert_int_equal(verify(buf_text(&good)), 0);
	put_line(&asks, "log ", NOTE_TYPE_ED25519, "mainstay.audit/site1", key);
	put_line(&asks, "witness hub ", NOTE_TYPE_COSIGNATURE, "hub.example/witness", witness);
	buf_puts(&asks, "quorum hub\n");
	refused(buf_text(&asks), REASON_THRESHOLD);
	put_line(&other, "log ", NOTE_TYPE_ED25519, "mainstay.audit/site1", witness);
	buf_puts(&other, "quorum none\n");
	assert_int_equal(verify(buf_text(&other)), REASON_ALTERED);
	put_line(&two, "log ", NOTE_TYPE_ED25519, "mainstay.audit/site2", witness);
	put_line(&two, "log ", NOTE_TYPE_ED25519, "mainstay.audit/site3", key);
	buf_puts(&two, "quorum none\n");
	refused(buf_text(&two), REASON_UNKNOWN_KEY);
	refused("quorum none\n", REASON_USAGE);
}

static void
a_checkpoint_that_cannot_be_read_is_named(void **state)
{
	char path[300];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/audit/checkpoint", dir);
	assert_int_equal(truncate(path, 1 << 24), 0);
	refused(NULL, REASON_TOO_LARGE);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_folder_says_by_which_key),
		TEST(an_auditors_policy_decides),
		TEST(a_checkpoint_that_cannot_be_read_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
