/* Patches: what comes out is the file by its hash, or nothing; and never more memory than the format allows. */
#include "updater/object/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"

/* Two files that are much alike, and the patch between them. */
struct pair {
	struct buf from, to, patch;
	int from_fd, to_fd;
	uint8_t sha256[32];
};

static void
memory_file(int *ret, const struct buf *b)
{
	assert_int_equal(fs_memfd(ret, "file", b->data, b->len), 0);
}

static void
fill(struct pair *p, size_t from_len, size_t to_len)
{
	bool large = to_len > PATCH_SEGMENT; /* then dull, for the sake of time */
	uint64_t x = 88172645463325252;

	*p = (struct pair){ .from = BUF_MAX(from_len + 1), .to = BUF_MAX(to_len + 1), .patch = BUF_MAX(1 << 28) };
	for (size_t i = 0; i < (from_len > to_len ? from_len : to_len); i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		if (i < from_len)
			buf_u8(&p->from, large ? (uint8_t)(i >> 16) : (uint8_t)x);
		if (i < to_len)
			buf_u8(&p->to, large ? (uint8_t)(i >> 16) : (uint8_t)(x + (i % 5000 == 0)));
	}
	memory_file(&p->from_fd, &p->from);
	memory_file(&p->to_fd, &p->to);
	sha256_of(p->sha256, p->to.data, p->to.len);
}

static void
pair_done(struct pair *p)
{
	buf_done(&p->from);
	buf_done(&p->to);
	buf_done(&p->patch);
	close(p->from_fd);
	close(p->to_fd);
}

static int
apply(const struct pair *p, const struct buf *patch, uint64_t size, struct buf *ret)
{
	SCOPED(patch_room_freep) struct patch_room *room = NULL;
	SCOPED(scope_close) int fd = -1, out = memfd_create("out", MFD_CLOEXEC);
	int r;

	memory_file(&fd, patch);
	assert_int_equal(patch_room_new(&room, -1, NULL), 0);
	r = patch_apply(room, fd, p->from_fd, p->sha256, size, out);
	if (ret)
		assert_int_equal(fs_read_fd(out, ret->max, ret), 0);
	return r;
}

static void
what_was_made_gives_the_file_again(void **state)
{
	static const struct {
		size_t from, to;
	} rows[] = {
		{ 0, 0 },
		{ 0, 10 },
		{ 10, 0 },
		{ 100000, 100001 },
		{ 100001, 90000 },
		{ 1000, PATCH_SEGMENT + 1 },
		{ PATCH_BASE + 70000, PATCH_SEGMENT + 5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf again = BUF_MAX(1 << 28), out = BUF_MAX(1 << 28);
		SCOPED(pair_done) struct pair p;

		fill(&p, rows[i].from, rows[i].to);
		assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
		assert_int_equal(apply(&p, &p.patch, p.to.len, &out), 0);
		assert_int_equal(out.len, p.to.len);
		assert_true(p.to.len == 0 || memcmp(out.data, p.to.data, p.to.len) == 0);
		if (rows[i].to > 200000)
			continue;
		assert_int_equal(patch_make(&again, p.from_fd, p.to_fd, UINT64_MAX), 0);
		assert_int_equal(again.len, p.patch.len);
		assert_memory_equal(again.data, p.patch.data, again.len);
	}
}

/* Wherever it lies in the older one: in a file of which no base holds the half. */
static void
what_lies_far_from_where_it_was_is_found(void **state)
{
	enum { LARGE = 2 * PATCH_BASE + PATCH_SEGMENT, PART = 1024 * 1024, HEAD = 100 };
	static const size_t rows[] = { 0, LARGE - PART };
	SCOPED(pair_done) struct pair p = { .from = BUF_MAX(LARGE), .to = BUF_MAX(LARGE), .patch = BUF_MAX(LARGE), .to_fd = -1 };
	uint64_t x = 88172645463325252;

	(void)state;
	while (p.from.len < LARGE) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		buf_put(&p.from, &x, sizeof(x));
	}
	memory_file(&p.from_fd, &p.from);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		p.to.len = p.patch.len = 0;
		while (p.to.len < HEAD)
			buf_u8(&p.to, (uint8_t)i);
		buf_put(&p.to, p.from.data + rows[i], PART);
		sha256_of(p.sha256, p.to.data, p.to.len);
		scope_close(&p.to_fd);
		memory_file(&p.to_fd, &p.to);
		assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
		assert_true(p.patch.len < 1000);
		assert_int_equal(apply(&p, &p.patch, p.to.len, NULL), 0);
	}
}

static void
one_that_is_not_small_is_not_made(void **state)
{
	SCOPED(pair_done) struct pair p;

	(void)state;
	fill(&p, 100000, 100000);
	assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
	assert_true(p.patch.len < p.to.len / 50);
	assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, p.patch.len), 0);
	assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, 30), REASON_TOO_LARGE);
}

static void
refused(const struct pair *p, const struct buf *patch, uint64_t size, enum reason why, const char *says)
{
	assert_refused(apply(p, patch, size, NULL), why, says);
}

/* The patch with this many bytes at its beginning replaced. */
static void
refused_with(const struct pair *p, const char *head, size_t len, size_t replaced, enum reason why,
	const char *says)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);

	buf_put(&b, head, len);
	buf_put(&b, p->patch.data + replaced, p->patch.len - replaced);
	refused(p, &b, p->to.len, why, says);
}

/* Sizes 1000 and 1000: "MSP\1" e8 07 e8 07, then base at 00, then the frame's length in two bytes. */
static void
a_hostile_patch_is_refused(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	SCOPED(pair_done) struct pair p;

	(void)state;
	fill(&p, 1000, 1000);
	assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
	assert_memory_equal(p.patch.data, "MSP\1\xe8\x07\xe8\x07\0", 9);
	assert_true(p.patch.data[9] < 0x80);
	refused_with(&p, "MSP\3", 4, 4, REASON_MALFORMED, "is no patch of this format");
	refused_with(&p, "MSP\1\xe9\x07", 6, 6, REASON_MALFORMED, "is for a file of");
	refused_with(&p, "MSP\1\xe8\x87\x00", 7, 6, REASON_MALFORMED, "ends in its sizes");
	refused_with(&p, "MSP\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 14, 6, REASON_MALFORMED, "ends in its sizes");
	refused_with(&p, "MSP\1\xe8\x07\xe9\x07", 8, 8, REASON_TOO_LARGE, "the patch makes");
	refused_with(&p, "MSP\1\xe8\x07\xe8\x07\xe9\x07", 10, 9, REASON_MALFORMED, "a base begins behind");
	refused_with(&p, "MSP\1\xe8\x07\xe8\x07\0\x7f", 10, 10, REASON_MALFORMED, "ends inside a frame");
	refused_with(&p, "MSP\1\xe8\x07\xe8\x07\0\xff\xff\xff\x7f", 13, 10, REASON_TOO_LARGE, "a frame of");
	refused_with(&p, "MSP\1\xe8\x07\xe8\x07\0\0", 10, 10, REASON_MALFORMED, "does not give its segment");
	refused(&p, &p.patch, p.to.len - 1, REASON_TOO_LARGE, "the patch makes");
	buf_put(&b, p.patch.data, p.patch.len);
	buf_u8(&b, 0);
	refused(&p, &b, p.to.len, REASON_MALFORMED, "bytes follow the patch");
	for (size_t n = 0; n < p.patch.len; n++) {
		buf_reset(&b);
		buf_put(&b, p.patch.data, n);
		refused(&p, &b, p.to.len, REASON_MALFORMED,
			n < 4 ? "is no patch" : n < 8 ? "ends in its sizes" : n < 10 ? "ends before a segment" : "ends inside a frame");
	}
	p.sha256[0] ^= 1;
	refused(&p, &p.patch, p.to.len, REASON_HASH_MISMATCH, "the patch gives other bytes");
	p.sha256[0] ^= 1;
	assert_int_equal(apply(&p, &p.patch, p.to.len, NULL), 0);
}

/* The same size, other bytes: only the hash tells. */
static void
a_base_that_has_changed_gives_nothing(void **state)
{
	SCOPED(pair_done) struct pair p;

	(void)state;
	fill(&p, 1000, 1000);
	assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
	p.from.data[500] ^= 1;
	close(p.from_fd);
	memory_file(&p.from_fd, &p.from);
	refused(&p, &p.patch, p.to.len, REASON_HASH_MISMATCH, "the patch gives other bytes");
}

static void
a_name_is_read_as_it_is_written(void **state)
{
	uint8_t from[32], to[32], a[32], b[32];
	char name[PATCH_NAME_MAX];

	(void)state;
	memset(from, 0xab, sizeof(from));
	memset(to, 0x12, sizeof(to));
	assert_true(patch_name_read(patch_name(name, from, to), a, b));
	assert_memory_equal(a, from, 32);
	assert_memory_equal(b, to, 32);
	name[64] = '_';
	assert_false(patch_name_read(name, a, b));
	patch_name(name, from, to);
	name[0] = 'A';
	assert_false(patch_name_read(name, a, b));
	patch_name(name, from, to);
	memcpy(name + 129, ".bad", 4);
	assert_false(patch_name_read(name, a, b));
	assert_false(patch_name_read("", a, b));
	assert_false(patch_name_read("..", a, b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_made_gives_the_file_again),
		cmocka_unit_test(what_lies_far_from_where_it_was_is_found),
		cmocka_unit_test(one_that_is_not_small_is_not_made),
		cmocka_unit_test(a_hostile_patch_is_refused),
		cmocka_unit_test(a_base_that_has_changed_gives_nothing),
		cmocka_unit_test(a_name_is_read_as_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
