/* Key files at rest: what opens them, what is none, and where a passphrase comes from. */
#include "updater/release/release_keyfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_passphrase.h"

static struct scratch scratch;
static const uint8_t seed[32] = { 1, 2, 3 };
static const char pass[] = "correct horse";

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_remove(&scratch);
	return 0;
}

static void
put_text(const char *name, const char *text, mode_t mode)
{
	assert_int_equal(fs_replace(scratch.fd, name, text, strlen(text), mode), 0);
}

static char *
text_of(const char *name)
{
	struct buf b = BUF_MAX(8192);

	assert_int_equal(fs_read(scratch.fd, name, 8192, &b), 0);
	return buf_take_text(&b);
}

static void
test_a_key_opens_with_its_passphrase_alone(void **state)
{
	struct release_keyfile f = { .plain = false };
	uint8_t out[32] = { 0 };

	(void)state;
	assert_int_equal(release_keyfile_write(scratch.fd, "k", seed, pass, strlen(pass), 10), 0);
	assert_int_equal(release_keyfile_read(&f, scratch.fd, "k"), 0);
	assert_false(f.plain);
	assert_int_equal(f.cost, 10);
	assert_int_equal(release_keyfile_open(&f, "k", "wrong horse", 11, out), REASON_DENIED);
	assert_memory_not_equal(out, seed, sizeof(seed));
	assert_int_equal(release_keyfile_open(&f, "k", pass, strlen(pass), out), 0);
	assert_memory_equal(out, seed, sizeof(seed));
	release_keyfile_done(&f);
	/* The seed stands nowhere in the file. */
	{
		char *text = text_of("k");

		assert_null(strstr(text, "ed25519:"));
		assert_non_null(strstr(text, "BEGIN ENCRYPTED PRIVATE KEY"));
		free(text);
	}
}

static void
test_costs_above_a_power_of_n_are_parallel(void **state)
{
	(void)state;
	for (unsigned cost = RELEASE_KEYFILE_COST_MIN; cost <= 15; cost++) {
		struct release_keyfile f = { .plain = false };

		assert_int_equal(release_keyfile_write(scratch.fd, "k", seed, pass, strlen(pass), cost), 0);
		assert_int_equal(release_keyfile_read(&f, scratch.fd, "k"), 0);
		assert_int_equal(f.cost, cost);
		release_keyfile_done(&f);
	}
}

static void
test_a_first_line_of_another_key(void **state)
{
	struct release_keyfile f = { .plain = false };
	uint8_t other[32] = { 9 }, out[32];
	char *one, *two;
	struct buf b = BUF_MAX(8192);

	(void)state;
	assert_int_equal(release_keyfile_write(scratch.fd, "a", seed, NULL, 0, 0), 0);
	assert_int_equal(release_keyfile_write(scratch.fd, "b", other, NULL, 0, 0), 0);
	one = text_of("a");
	two = text_of("b");
	buf_put(&b, one, strcspn(one, "\n"));
	buf_puts(&b, strchr(two, '\n'));
	put_text("c", buf_text(&b), 0600);
	assert_int_equal(release_keyfile_read(&f, scratch.fd, "c"), 0);
	assert_true(f.plain);
	assert_refused(release_keyfile_open(&f, "c", NULL, 0, out), REASON_ALTERED, "of another key than the one inside");
	release_keyfile_done(&f);
	buf_done(&b);
	free(one);
	free(two);
}

static void
test_what_is_no_key_file(void **state)
{
#define HEX "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
	static const struct {
		const char *text;
		mode_t mode;
		const char *says;
	} rows[] = {
		{ "", 0600, "no key file of mainstay-release" },
		{ "ed25519:12\n", 0600, "no Ed25519 key file" },
		{ "ed25519:zz" HEX "\n", 0600, "no Ed25519 key file" },
		{ "mainstay-key ed25519 " HEX "\nmore\n", 0644, "others may read it" },
		{ "mainstay-key ed25519 " HEX "\nmore\n", 0600, "not encrypted as ours are" },
		{ "mainstay-key ed25519 " HEX " anything\nmore\n", 0600, "no key file of mainstay-release" },
		{ "mainstay-key ed25519 12\nmore\n", 0600, "no key file of mainstay-release" },
	};
	static const char behind[] = "mainstay-key ed25519 " HEX " no-passphrase\nnothing\n\0more";
	struct release_keyfile f = { .plain = false };
	uint8_t out[32];
	char *long_text = calloc(1, 5000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put_text("k", rows[i].text, rows[i].mode);
		assert_refused(release_keyfile_read(&f, scratch.fd, "k"), REASON_MALFORMED, rows[i].says);
	}
	assert_int_equal(release_keyfile_read(&f, scratch.fd, "none"), REASON_NOT_FOUND);
	memset(long_text, 'x', 4999);
	put_text("k", long_text, 0600);
	assert_refused(release_keyfile_read(&f, scratch.fd, "k"), REASON_MALFORMED, "no key file");
	free(long_text);
	/* A good one, and something that no text shows behind it. */
	scratch_write(&scratch, "k", behind, sizeof(behind) - 1);
	assert_refused(release_keyfile_read(&f, scratch.fd, "k"), REASON_MALFORMED, "no key file");
	put_text("k", "mainstay-key ed25519 " HEX " no-passphrase\nnothing\n", 0600);
	assert_int_equal(release_keyfile_read(&f, scratch.fd, "k"), 0);
	assert_refused(release_keyfile_open(&f, "k", NULL, 0, out), REASON_MALFORMED, "holds no private key");
	release_keyfile_done(&f);
}

static void
test_keys_of_openssl_and_of_other_kinds(void **state)
{
	struct buf out = BUF_MAX(8192), b = BUF_MAX(8192);
	struct release_keyfile f = { .plain = false };
	uint8_t seed_out[32];

	(void)state;
	/* Not an Ed25519 key. */
	if (scratch_run(&scratch, (const char *const[]){ "openssl", "genpkey", "-algorithm", "X25519", NULL }, NULL, 0, &out) != 0)
		skip();
	buf_puts(&b, "mainstay-key ed25519 " HEX " no-passphrase\n");
	buf_put(&b, out.data, out.len);
	put_text("k", buf_text(&b), 0600);
	assert_int_equal(release_keyfile_read(&f, scratch.fd, "k"), 0);
	assert_refused(release_keyfile_open(&f, "k", NULL, 0, seed_out), REASON_MALFORMED, "holds no Ed25519 key");
	release_keyfile_done(&f);
	/* PBKDF2 with few rounds: not as ours. */
	buf_reset(&out);
	buf_reset(&b);
	assert_int_equal(scratch_run(&scratch,
				 (const char *const[]){ "openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", NULL },
				 NULL, 0, &out), 0);
	buf_puts(&b, "mainstay-key ed25519 " HEX "\n");
	buf_put(&b, out.data, out.len);
	put_text("k", buf_text(&b), 0600);
	assert_refused(release_keyfile_read(&f, scratch.fd, "k"), REASON_MALFORMED, "not encrypted as ours are");
	buf_done(&out);
	buf_done(&b);
}

static void
test_keys_without_a_passphrase_are_meant_to_be(void **state)
{
	struct release_keys keys = { .n = 0 };
	char path[128];
	struct buf b = BUF_MAX(256);

	(void)state;
	buf_puts(&b, "ed25519:" HEX "\n");
	put_text("k.key", buf_text(&b), 0600);
	buf_done(&b);
	assert_refused(release_keys_load(&keys, scratch.path), REASON_UNSIGNED, "keys passphrase gives it one");
	assert_int_equal(keys.n, 0);
	(void)snprintf(path, sizeof(path), "%s/none.key", scratch.path);
	assert_refused(release_keys_add(&keys, path), REASON_NOT_FOUND, "no such key file");
	assert_int_equal(release_keyfile_write(scratch.fd, "k.key", seed, pass, strlen(pass), 10), 0);
	assert_int_equal(release_keys_load(&keys, scratch.path), 0);
	{
		const struct ed25519 *private;

		assert_refused(release_keys_open(&keys, 0, &private), REASON_USAGE, "its passphrase is needed");
	}
	release_keys_done(&keys);
}

/* --- passphrases --------------------------------------------------------------------------------------- */
static int
get(const char *file, const char *fd_text, bool wrong)
{
	struct release_passphrase *p = NULL;
	const char *text = NULL;
	size_t len;
	int r = release_passphrase_new(&p, file, fd_text);

	r = r ?: release_passphrase_get(p, "root-1", false, &text, &len);
	if (!r && wrong)
		r = release_passphrase_get(p, "root-1", true, &text, &len);
	release_passphrase_free(p);
	return r;
}

static void
test_where_a_passphrase_comes_from(void **state)
{
	struct release_passphrase *p = NULL;
	const char *text;
	char path[128], number[16], *long_text = calloc(1, 2048);
	int ends[2];
	size_t len;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/pass", scratch.path);
	put_text("pass", "first line\nsecond\n", 0600);
	assert_int_equal(release_passphrase_new(&p, path, NULL), 0);
	assert_int_equal(release_passphrase_get(p, "k", false, &text, &len), 0);
	assert_string_equal(text, "first line");
	assert_int_equal(len, 10);
	p = release_passphrase_free(p);
	assert_refused(get(path, NULL, true), REASON_DENIED, "does not fit this key");
	assert_refused(get(path, "3", false), REASON_USAGE, "one of --passphrase-fd");
	assert_refused(get(NULL, "0", false), REASON_USAGE, "3 or above");
	assert_refused(get(NULL, "x", false), REASON_USAGE, "3 or above");
	assert_refused(get(NULL, "999", false), REASON_NOT_FOUND, "is not open");
	assert_refused(get("/nowhere/pass", NULL, false), REASON_NOT_FOUND, "cannot be opened");
	put_text("pass", "first line\n", 0640);
	assert_refused(get(path, NULL, false), REASON_MALFORMED, "others may read it");
	put_text("pass", "\nsecond\n", 0600);
	assert_refused(get(path, NULL, false), REASON_MALFORMED, "is empty");
	memset(long_text, 'x', 2047);
	put_text("pass", long_text, 0600);
	assert_refused(get(path, NULL, false), REASON_MALFORMED, "longer than 1024");
	free(long_text);
	/* A descriptor gives its first line, whatever waits behind it. */
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "by pipe\nrest", 12), 12);
	(void)snprintf(number, sizeof(number), "%d", ends[0]);
	assert_int_equal(release_passphrase_new(&p, NULL, number), 0);
	assert_int_equal(release_passphrase_get(p, "k", false, &text, &len), 0);
	assert_string_equal(text, "by pipe");
	assert_refused(release_passphrase_make(p, "k", &text, &len), REASON_MALFORMED, "at least 8 bytes");
	release_passphrase_free(p);
	close(ends[0]);
	close(ends[1]);
}

static void
test_public_keys_as_people_hand_them_on(void **state)
{
	uint8_t raw[32];
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/pub", scratch.path);
	assert_int_equal(release_keyfile_public(raw, HEX), 0);
	assert_int_equal(raw[0], 0x03);
	put_text("pub", "ed25519 " HEX "\n", 0644);
	assert_int_equal(release_keyfile_public(raw, path), 0);
	put_text("pub", "ed25519 12\n", 0644);
	assert_refused(release_keyfile_public(raw, path), REASON_MALFORMED, "holds no public key");
	put_text("pub", HEX "\n", 0644);
	assert_refused(release_keyfile_public(raw, path), REASON_MALFORMED, "holds no public key");
	assert_refused(release_keyfile_public(raw, "/nowhere"), REASON_NOT_FOUND, "neither 64 hex digits");
	assert_refused(release_keyfile_public(raw, "0100000000000000000000000000000000000000000000000000000000000000"),
		REASON_LOW_ORDER_KEY, "small order");
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_key_opens_with_its_passphrase_alone),
		TEST(test_costs_above_a_power_of_n_are_parallel),
		TEST(test_a_first_line_of_another_key),
		TEST(test_what_is_no_key_file),
		TEST(test_keys_of_openssl_and_of_other_kinds),
		TEST(test_keys_without_a_passphrase_are_meant_to_be),
		TEST(test_where_a_passphrase_comes_from),
		TEST(test_public_keys_as_people_hand_them_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
