/* Checking an export on a machine that has neither side: what the command refuses before and beside export_check(). */
#include "appliance/monitor/commands_export.h"
#include "appliance/trust/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/audit/audit.h"
#include "appliance/audit/export.h"
#include "appliance/audit/proof.h"
#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/commands.h"
#include "tests/fakes/scratch.h"

#define ORIGIN "mainstay.audit/site1"

static struct scratch dir;
static struct ed25519 *key;
static char file[200], folder[200], policy[200];

static int
run(const char *const *argv)
{
	static const struct command_program program = { .name = "mainstay",
		.tables = { commands_audit } };
	int n = 0;

	while (argv[n])
		n++;
	return command_main(&program, n, (char **)(uintptr_t)argv);
}

#define VERIFY(...) run((const char *const[]){ "mainstay", "audit", "verify", __VA_ARGS__, NULL })

#define REFUSED(call, why, what)                                                                   \
	do {                                                                                       \
		uint64_t count_ = refuse_count(why);                                               \
		assert_int_equal((call), (why) == REASON_USAGE ? 2 : 1);                           \
		assert_int_equal(refuse_last()->reason, (why));                                    \
		assert_string_equal(refuse_last()->operand, what);                                 \
		assert_int_equal(refuse_count(why), count_ + 1);                                   \
	} while (0)

static void
write_text(const char *path, const char *text)
{
	assert_int_equal(fs_replace_path(path, text, strlen(text), 0644), 0);
}

static void
write_folder(const json_t *doc)
{
	const char *name;
	json_t *text;
	char path[400];

	(void)mkdir(folder, 0755);
	(void)snprintf(path, sizeof(path), "%s/leaves", folder);
	(void)mkdir(path, 0755);
	json_object_foreach(json_object_get(doc, "files"), name, text) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
		write_text(path, json_string_value(text));
	}
	(void)snprintf(path, sizeof(path), "%s/manifest", folder);
	write_text(path, json_text(doc, "manifest"));
}

static int
set_up(void **state)
{
	SCOPED(audit_freep) struct audit *a = NULL;
	SCOPED(buf_done) struct buf proof = BUF_MAX(PROOF_FILE_MAX), vkey = BUF_MAX(1024);
	SCOPED(scope_close) int fd = -1;
	SCOPED(scope_free) char *text = NULL;
	SCOPED_JSON *files = json_object(), *doc = NULL;
	struct note_key log;
	char keys[600], lines[600], path[400];

	(void)state;
	scratch_make(&dir);
	(void)snprintf(file, sizeof(file), "%s/T-1.export", dir.path);
	(void)snprintf(folder, sizeof(folder), "%s/T-1", dir.path);
	(void)snprintf(policy, sizeof(policy), "%s/auditor.policy", dir.path);
	(void)snprintf(path, sizeof(path), "%s/log", dir.path);
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(fs_open_dir(&fd, -1, path, 0700), 0);
	assert_int_equal(audit_open(&a, fd, "site1", key), 0);
	assert_int_equal(audit_append(a, AUDIT_REQUEST, "ann", "r-1", NULL, REASON_NONE, NULL, NULL), 0);
	assert_int_equal(proof_make_under(a, 0, audit_checkpoint(a), &proof), 0);
	assert_int_equal(note_key_make(&log, ORIGIN, NOTE_TYPE_ED25519, ed25519_public(key)), 0);
	note_key_text(&vkey, &log);
	(void)snprintf(keys, sizeof(keys), "log %s\nsite %s\n", buf_text(&vkey), ed25519_public_hex(key));
	(void)snprintf(lines, sizeof(lines), "log %s\nquorum none\n", buf_text(&vkey));
	write_text(policy, lines);
	json_object_set_new(files, "leaves/0.tlog-proof", json_string(buf_text(&proof)));
	json_object_set_new(files, "checkpoint", json_string(audit_checkpoint(a)));
	json_object_set_new(files, "policy", json_string("quorum none\n"));
	json_object_set_new(files, "keys", json_string(keys));
	json_object_set_new(files, "missing.txt", json_string("r-2 the \033[2Jrequest\n"));
	assert_int_equal(export_seal(&doc, "site1", "T-1", files, ORIGIN, key), 0);
	text = json_dumps(doc, JSON_SORT_KEYS | JSON_COMPACT);
	write_text(file, text);
	write_folder(doc);
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

static void
both_forms_are_good_and_bytes_around_them_are_not(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);

	(void)state;
	assert_int_equal(VERIFY(file), 0);
	assert_int_equal(VERIFY(folder), 0);
	assert_int_equal(VERIFY(file, "--policy", policy), 0);
	assert_int_equal(VERIFY(folder, "--policy", policy, "--json"), 0);
	scratch_read(&dir, "T-1.export", &b);
	buf_puts(&b, "\n");
	write_text(file, buf_text(&b)); /* reads as the same, and is not what was written */
	REFUSED(VERIFY(file), REASON_ALTERED, file);
	write_text(file, "{}");
	REFUSED(VERIFY(file), REASON_MALFORMED, "keys");
}

static void
a_folder_is_what_its_list_says(void **state)
{
	static const char *const names[] = { "checkpoint", "keys", "leaves/0.tlog-proof" };
	char path[400];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/SHA256SUMS", folder);
	write_text(path, "x\n");
	REFUSED(VERIFY(folder), REASON_ALTERED, "SHA256SUMS");
	assert_int_equal(unlink(path), 0);
	REFUSED(VERIFY(folder), REASON_ALTERED, "SHA256SUMS");
	(void)tear_down(NULL);
	(void)set_up(NULL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		assert_int_equal(unlink(path), 0);
		REFUSED(VERIFY(folder), REASON_ALTERED, names[i]);
		write_text(path, "\xff");
		REFUSED(VERIFY(folder), REASON_ALTERED, names[i]);
		(void)tear_down(NULL);
		(void)set_up(NULL);
	}
	(void)snprintf(path, sizeof(path), "%s/manifest", folder);
	assert_int_equal(unlink(path), 0);
	REFUSED(VERIFY(folder), REASON_NOT_FOUND, folder);
}

/* A manifest that names that very list, as somebody without the site's key writes one. */
static void
write_list(const char *list, const char *after)
{
	char path[400], text[400], digest[SHA256_TEXT_MAX];
	uint8_t hash[SHA256_LEN];

	sha256_of(hash, list, strlen(list));
	(void)snprintf(text, sizeof(text), "%s\n%s", sha256_text(digest, hash), after);
	(void)snprintf(path, sizeof(path), "%s/SHA256SUMS", folder);
	write_text(path, list);
	(void)snprintf(path, sizeof(path), "%s/manifest", folder);
	write_text(path, text);
}

static void
a_list_leads_out_of_no_folder(void **state)
{
	char up[100] = "", list[200];

	(void)state;
	memset(up, '0', SHA256_LEN * 2);
	(void)snprintf(list, sizeof(list), "%s  ../log/checkpoint\n", up);
	write_list(list, "");
	REFUSED(VERIFY(folder), REASON_MALFORMED, "SHA256SUMS");
	write_list("x\n", "");
	REFUSED(VERIFY(folder), REASON_MALFORMED, "SHA256SUMS");
	write_list("", "\xff");
	REFUSED(VERIFY(folder), REASON_MALFORMED, "manifest");
}

static void
a_key_or_card_that_is_none_is_refused(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *other = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(1024), lines = BUF_MAX(2048);
	struct note_key log;

	(void)state;
	assert_int_equal(ed25519_generate(&other), 0);
	assert_int_equal(note_key_make(&log, "mainstay.audit/site2", NOTE_TYPE_ED25519,
				 ed25519_public(other)),
		0);
	note_key_text(&b, &log);
	buf_printf(&lines, "log %s\nquorum none\n", buf_text(&b));
	write_text(policy, buf_text(&lines));
	REFUSED(VERIFY(file, "--policy", policy), REASON_UNKNOWN_KEY, ORIGIN);
	REFUSED(VERIFY(file, "--card", policy), REASON_MALFORMED, "vendor.card");
	REFUSED(VERIFY("--card", policy), REASON_USAGE, "--card");
	REFUSED(VERIFY(policy, "--card", policy), REASON_USAGE, "--card");
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(both_forms_are_good_and_bytes_around_them_are_not),
		ROW(a_folder_is_what_its_list_says),
		ROW(a_list_leads_out_of_no_folder),
		ROW(a_key_or_card_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
