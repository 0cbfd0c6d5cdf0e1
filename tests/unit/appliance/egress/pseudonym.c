/* Pseudonyms: stable, revealed on site alone, bounded, rotated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/pseudonym.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/scratch.h"

/* What was made durable, as the disk sees it. */
static struct {
	unsigned n;	/* syncs of data alone: of what was appended */
	struct stat st; /* of the last one's file */
	int error;	/* of the next one, once */
} synced;

int
fdatasync(int fd)
{
	int error = synced.error;

	synced.n++;
	synced.error = 0;
	assert_int_equal(fstat(fd, &synced.st), 0);
	if (error == 0)
		return (int)syscall(SYS_fdatasync, fd);
	errno = error;
	return -1;
}

struct token {
	char text[PSEUDONYM_TOKEN_MAX];
};

static struct token
put(struct pseudonym *p, enum pseudonym_kind kind, const char *text)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(256);
	struct token t = { "" };

	pseudonym_put(p, kind, text, strlen(text), &out);
	assert_true(out.len < sizeof(t.text));
	(void)snprintf(t.text, sizeof(t.text), "%s", buf_text(&out));
	return t;
}

static void
the_same_is_the_same_and_nothing_else_is(void **state)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL, *other = NULL;
	SCOPED(scratch_remove) struct scratch s, far;
	struct token a, again, b, kind, elsewhere;

	(void)state;
	scratch_make(&s);
	scratch_make(&far);
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	assert_int_equal(pseudonym_open(&other, far.fd, true), 0);
	a = put(p, PSEUDONYM_IP, "203.0.113.7");
	again = put(p, PSEUDONYM_IP, "203.0.113.7");
	b = put(p, PSEUDONYM_IP, "203.0.113.8");
	kind = put(p, PSEUDONYM_USER, "203.0.113.7");
	elsewhere = put(other, PSEUDONYM_IP, "203.0.113.7");
	assert_int_equal(strlen(a.text), 5 + 12);
	assert_memory_equal(a.text, "<ip:", 4);
	assert_string_equal(a.text, again.text);
	assert_string_not_equal(a.text, b.text);
	assert_string_not_equal(a.text + 4, kind.text + 6);
	assert_string_not_equal(a.text, elsewhere.text);
	assert_string_equal(pseudonym_reveal(p, a.text), "203.0.113.7");
	assert_null(pseudonym_reveal(p, elsewhere.text));
}

/* What stands in the header, so that a customer can make the same with any tool. */
static void
a_token_is_the_hmac_that_the_header_says(void **state)
{
	static const char text[] = "ip\000203.0.113.7";
	SCOPED(buf_done) struct buf key = BUF_MAX(128);
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL;
	SCOPED(scratch_remove) struct scratch s;
	uint8_t raw[32], digest[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1], token[PSEUDONYM_TOKEN_MAX];

	(void)state;
	scratch_make(&s);
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	assert_int_equal(fs_read(s.fd, PSEUDONYM_KEY_NAME, 65, &key), 0);
	key.data[64] = '\0';
	assert_true(hex_decode(raw, sizeof(raw), (const char *)key.data));
	sha256_hmac(digest, raw, sizeof(raw), text, sizeof(text) - 1);
	hex_encode(hex, digest, sizeof(digest));
	(void)snprintf(token, sizeof(token), "<ip:%.12s>", hex);
	assert_string_equal(put(p, PSEUDONYM_IP, "203.0.113.7").text, token);
}

static void
what_was_saved_is_revealed_after_a_restart(void **state)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL, *later = NULL, *reader = NULL;
	SCOPED(scratch_remove) struct scratch s;
	struct token saved, unsaved;
	struct stat st;

	(void)state;
	scratch_make(&s);
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	saved = put(p, PSEUDONYM_EMAIL, "ann@example.org");
	assert_int_equal(pseudonym_save(p), 0);
	unsaved = put(p, PSEUDONYM_EMAIL, "bob@example.org");
	assert_int_equal(fstatat(s.fd, PSEUDONYM_TABLE_NAME, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(s.fd, PSEUDONYM_KEY_NAME, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(pseudonym_open(&reader, s.fd, false), 0);
	assert_string_equal(pseudonym_reveal(reader, saved.text), "ann@example.org");
	assert_null(pseudonym_reveal(reader, unsaved.text));
	assert_int_equal(pseudonym_open(&later, s.fd, true), 0);
	assert_string_equal(put(later, PSEUDONYM_EMAIL, "ann@example.org").text, saved.text);
}

/* A record may be durable, and gone, as soon as it is written. */
static void
what_was_saved_is_durable_by_one_sync(void **state)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL;
	SCOPED(scratch_remove) struct scratch s;
	struct stat st;

	(void)state;
	scratch_make(&s);
	synced.n = 0;
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	(void)put(p, PSEUDONYM_IP, "203.0.113.7");
	assert_int_equal(pseudonym_save(p), 0); /* the first: put in its place as a whole */
	for (unsigned i = 1; i <= 2; i++) {
		(void)put(p, PSEUDONYM_IP, i == 1 ? "203.0.113.8" : "203.0.113.9");
		(void)put(p, PSEUDONYM_EMAIL, i == 1 ? "ann@example.org" : "bob@example.org");
		assert_int_equal(pseudonym_save(p), 0);
		assert_int_equal(synced.n, i);
		assert_int_equal(fstatat(s.fd, PSEUDONYM_TABLE_NAME, &st, 0), 0);
		assert_int_equal(synced.st.st_ino, st.st_ino);
		assert_int_equal(synced.st.st_size, st.st_size);
		assert_int_equal(pseudonym_save(p), 0);
		(void)put(p, PSEUDONYM_IP, "203.0.113.8");
		assert_int_equal(pseudonym_save(p), 0);
		assert_int_equal(synced.n, i);
	}
}

/* The kernel calls pages clean whose sync failed: what follows is written anew, not synced again. */
static void
after_a_sync_that_failed_all_is_written_anew(void **state)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL, *later = NULL;
	SCOPED(scratch_remove) struct scratch s;
	struct token first, second;
	struct stat before, after;

	(void)state;
	scratch_make(&s);
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	first = put(p, PSEUDONYM_IP, "203.0.113.7");
	assert_int_equal(pseudonym_save(p), 0);
	assert_int_equal(fstatat(s.fd, PSEUDONYM_TABLE_NAME, &before, 0), 0);
	second = put(p, PSEUDONYM_IP, "203.0.113.8");
	synced.error = EIO;
	assert_int_equal(pseudonym_save(p), -EIO);
	assert_int_equal(pseudonym_save(p), 0);
	assert_int_equal(fstatat(s.fd, PSEUDONYM_TABLE_NAME, &after, 0), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_int_equal(pseudonym_open(&later, s.fd, false), 0);
	assert_int_equal(pseudonym_kept(later), 2);
	assert_string_equal(pseudonym_reveal(later, first.text), "203.0.113.7");
	assert_string_equal(pseudonym_reveal(later, second.text), "203.0.113.8");
}

/* A crash in the middle of a line; lines of nobody. */
static void
a_damaged_table_costs_what_it_held(void **state)
{
	static const char table[] = "<ip:000000000001>\t203.0.113.1\nno tab\n\t\n<ip:0123456789012345678901234567890>\tx\n"
				    "<ip:000000000002>\t203.0.1";
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL, *later = NULL;
	SCOPED(scratch_remove) struct scratch s;
	struct token t;

	(void)state;
	scratch_make(&s);
	scratch_write(&s, PSEUDONYM_TABLE_NAME, table, sizeof(table) - 1);
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	assert_string_equal(pseudonym_reveal(p, "<ip:000000000001>"), "203.0.113.1");
	assert_null(pseudonym_reveal(p, "<ip:000000000002>"));
	t = put(p, PSEUDONYM_IP, "203.0.113.9");
	assert_int_equal(pseudonym_save(p), 0);
	assert_int_equal(pseudonym_open(&later, s.fd, false), 0);
	assert_string_equal(pseudonym_reveal(later, t.text), "203.0.113.9");
	assert_string_equal(pseudonym_reveal(later, "<ip:000000000001>"), "203.0.113.1");
}

static void
the_oldest_make_room_in_memory_and_on_disk(void **state)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL, *later = NULL;
	SCOPED(scratch_remove) struct scratch s;
	struct token first = { "" }, last = { "" }, *at = &first;
	struct stat st;
	char text[32];

	(void)state;
	scratch_make(&s);
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	for (int i = 0; i < 5 * PSEUDONYM_KEPT; i++) {
		(void)snprintf(text, sizeof(text), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		*at = put(p, PSEUDONYM_IP, text);
		at = &last;
		if (i % 100 == 99)
			assert_int_equal(pseudonym_save(p), 0);
	}
	assert_int_equal(pseudonym_save(p), 0);
	assert_null(pseudonym_reveal(p, first.text));
	assert_string_equal(pseudonym_reveal(p, last.text), text);
	assert_int_equal(fstatat(s.fd, PSEUDONYM_TABLE_NAME, &st, 0), 0);
	assert_in_range(st.st_size, PSEUDONYM_KEPT * 20, 2 * PSEUDONYM_KEPT * 40);
	assert_int_equal(pseudonym_open(&later, s.fd, false), 0);
	assert_string_equal(pseudonym_reveal(later, last.text), text);
	/* Evicted, it is given the same token again. */
	assert_string_equal(put(p, PSEUDONYM_IP, "10.0.0.0").text, first.text);
}

static void
a_key_that_is_taken_away_is_made_anew(void **state)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL;
	SCOPED(scratch_remove) struct scratch s;
	struct token before, after;

	(void)state;
	scratch_make(&s);
	assert_int_equal(pseudonym_open(&p, s.fd, true), 0);
	before = put(p, PSEUDONYM_USER, "ann");
	assert_int_equal(pseudonym_look(p), 0);
	assert_string_equal(put(p, PSEUDONYM_USER, "ann").text, before.text);
	assert_int_equal(unlinkat(s.fd, PSEUDONYM_KEY_NAME, 0), 0);
	assert_int_equal(pseudonym_look(p), 0);
	after = put(p, PSEUDONYM_USER, "ann");
	assert_string_not_equal(after.text, before.text);
	assert_string_equal(pseudonym_reveal(p, before.text), "ann");
	assert_string_equal(pseudonym_reveal(p, after.text), "ann");
	assert_int_equal(faccessat(s.fd, PSEUDONYM_KEY_NAME, F_OK, 0), 0);
}

static void
what_is_no_key_is_refused(void **state)
{
	static const char *const keys[] = { "", "0123\n",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg\n",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0" };
	SCOPED(scratch_remove) struct scratch s;
	struct pseudonym *p = NULL;

	(void)state;
	scratch_make(&s);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		scratch_write(&s, PSEUDONYM_KEY_NAME, keys[i], strlen(keys[i]));
		assert_int_equal(pseudonym_open(&p, s.fd, true), REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_null(p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_is_the_same_and_nothing_else_is),
		cmocka_unit_test(a_token_is_the_hmac_that_the_header_says),
		cmocka_unit_test(what_was_saved_is_revealed_after_a_restart),
		cmocka_unit_test(what_was_saved_is_durable_by_one_sync),
		cmocka_unit_test(after_a_sync_that_failed_all_is_written_anew),
		cmocka_unit_test(a_damaged_table_costs_what_it_held),
		cmocka_unit_test(the_oldest_make_room_in_memory_and_on_disk),
		cmocka_unit_test(a_key_that_is_taken_away_is_made_anew),
		cmocka_unit_test(what_is_no_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
