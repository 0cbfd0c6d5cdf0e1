/* Archives are patched as what is in them: what comes out is the file by its hash, and no list leads out of it. */
#include "updater/object/plain.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "updater/object/number.h"
#include "updater/object/patch.h"

enum { FILE_MAX = 1 << 24 };

/* --- archives ------------------------------------------------------------------------------------------------------ */
static void
deflated(struct buf *out, const uint8_t *p, size_t len, int level, int strategy)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, -15, 8, strategy), Z_OK);
	z.next_in = (uint8_t *)(uintptr_t)p;
	z.avail_in = (unsigned)len;
	z.avail_out = (unsigned)deflateBound(&z, len);
	z.next_out = buf_reserve(out, z.avail_out);
	assert_non_null(z.next_out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_advance(out, z.total_out);
	assert_int_equal(deflateEnd(&z), Z_OK);
}

/* Words without much order: half of what they are when they are packed.  changed: one byte in the middle is another. */
static void
text(struct buf *out, size_t len, uint64_t x, bool changed)
{
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		buf_u8(out, changed && i == len / 2 ? '!' : (uint8_t)('a' + x % 16));
	}
}

struct member {
	size_t len;
	uint64_t seed;
	int level, strategy;
	bool changed; /* in the newer one */
};

/* A member as zip files have it: a header with a name, then its stream. */
static void
put_member(struct buf *out, const struct member *m, bool newer)
{
	static const uint8_t header[30] = { 'P', 'K', 3, 4, 20, 0, 0, 0, 8, [26] = 4 };
	SCOPED(buf_done) struct buf raw = BUF_MAX(FILE_MAX);

	text(&raw, m->len, m->seed, m->changed && newer);
	buf_put(out, header, sizeof(header));
	buf_puts(out, "name");
	deflated(out, raw.data, raw.len, m->level, m->strategy);
}

struct pair {
	struct buf from, to, patch;
	int from_fd, to_fd;
	uint8_t sha256[32];
};

static void
pair_done(struct pair *p)
{
	buf_done(&p->from);
	buf_done(&p->to);
	buf_done(&p->patch);
	close(p->from_fd);
	close(p->to_fd);
}

static void
fill(struct pair *p, const struct member *members, size_t n)
{
	*p = (struct pair){ .from = BUF_MAX(FILE_MAX), .to = BUF_MAX(FILE_MAX), .patch = BUF_MAX(FILE_MAX) };
	buf_puts(&p->from, "begin");
	buf_puts(&p->to, "begin");
	for (size_t i = 0; i < n; i++) {
		put_member(&p->from, &members[i], false);
		put_member(&p->to, &members[i], true);
	}
	buf_puts(&p->from, "end");
	buf_puts(&p->to, "the end");
	assert_int_equal(fs_memfd(&p->from_fd, "from", p->from.data, p->from.len), 0);
	assert_int_equal(fs_memfd(&p->to_fd, "to", p->to.data, p->to.len), 0);
	sha256_of(p->sha256, p->to.data, p->to.len);
}

static int
apply(const struct pair *p, const struct buf *patch, struct buf *ret)
{
	SCOPED(patch_room_freep) struct patch_room *room = NULL;
	SCOPED(scope_close) int fd = -1, out = memfd_create("out", MFD_CLOEXEC);
	SCOPED(scope_close) int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	assert_int_equal(fs_memfd(&fd, "patch", patch->data, patch->len), 0);
	assert_int_equal(patch_room_new(&room, dir, NULL), 0);
	r = patch_apply(room, fd, p->from_fd, p->sha256, p->to.len, out);
	if (ret)
		assert_int_equal(fs_read_fd(out, ret->max, ret), 0);
	return r;
}

/* --- what is made -------------------------------------------------------------------------------------------------- */
static void
an_archive_is_patched_as_what_is_in_it(void **state)
{
	static const struct {
		struct member members[3];
		size_t n;
		unsigned kind;
	} rows[] = {
		{ { { 20000, 1, 6, 0, true } }, 1, PATCH_PLAIN },
		{ { { 20000, 1, 9, 0, true } }, 1, PATCH_PLAIN },
		{ { { 20000, 1, 1, 0, true } }, 1, PATCH_PLAIN },
		{ { { 20000, 1, 6, 0, false }, { 300000, 2, 6, 0, true }, { 20000, 3, 9, 0, true } }, 3, PATCH_PLAIN },
		{ { { 300000, 1, 6, 0, true }, { 20000, 2, 6, 0, false }, { 0, 3, 6, 0, false } }, 3, PATCH_PLAIN },
		/* another packer made one of them: it stays as it is */
		{ { { 20000, 1, 6, Z_HUFFMAN_ONLY, true }, { 30000, 2, 6, 0, true } }, 2, PATCH_PLAIN },
		{ { { 20000, 1, 6, Z_HUFFMAN_ONLY, true } }, 1, PATCH_AS_IS },
		{ { { 20000, 1, 6, 0, false } }, 1, PATCH_AS_IS }, /* nothing in it has changed */
		{ { { 0 } }, 0, PATCH_AS_IS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf again = BUF_MAX(FILE_MAX), out = BUF_MAX(FILE_MAX);
		SCOPED(pair_done) struct pair p;

		fill(&p, rows[i].members, rows[i].n);
		assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
		assert_int_equal(patch_make(&again, p.from_fd, p.to_fd, UINT64_MAX), 0);
		assert_int_equal(again.len, p.patch.len);
		assert_memory_equal(again.data, p.patch.data, again.len);
		assert_int_equal(p.patch.data[3], rows[i].kind);
		assert_int_equal(apply(&p, &p.patch, &out), 0);
		assert_int_equal(out.len, p.to.len);
		assert_memory_equal(out.data, p.to.data, out.len);
		if (rows[i].members[0].strategy == 0)
			assert_true(p.patch.len < 400); /* the stream itself is 10,000 bytes */
	}
}

/* What is no member, or none that ends, is left alone: scanning never leads out of a file. */
static void
what_looks_like_a_member_is_left_alone(void **state)
{
	static const uint8_t header[30] = { 'P', 'K', 3, 4, 20, 0, 0, 0, 8, [26] = 255, [27] = 255 };
	static const uint8_t stored[30] = { 'P', 'K', 3, 4, 20 };
	static const uint8_t broken[34] = { 'P', 'K', 3, 4, 20, 0, 0, 0, 8, [30] = 7, 7, 7, 7 };
	static const struct {
		const uint8_t *p;
		size_t len;
	} rows[] = { { header, 30 }, { header, 29 }, { header, 4 }, { header, 3 }, { stored, 30 }, { broken, 34 }, { broken, 30 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(plain_side_done) struct plain_side from = { 0 }, to = { 0 };
		SCOPED(scope_close) int fd = -1, none = -1;

		assert_int_equal(fs_memfd(&fd, "file", rows[i].p, rows[i].len), 0);
		assert_int_equal(fs_memfd(&none, "none", "", 0), 0);
		assert_int_equal(plain_find(&from, &to, none, fd), 0);
		assert_int_equal(to.n, 0);
	}
}

/* A bomb is left as it is: sites would not write it out. */
static void
what_grows_too_much_is_left_alone(void **state)
{
	SCOPED(plain_side_done) struct plain_side from = { 0 }, to = { 0 };
	SCOPED(buf_done) struct buf file = BUF_MAX(FILE_MAX), zeros = BUF_MAX(FILE_MAX);
	SCOPED(scope_close) int fd = -1, none = -1;
	static const uint8_t header[30] = { 'P', 'K', 3, 4, 20, 0, 0, 0, 8 };

	(void)state;
	buf_put(&file, header, sizeof(header));
	memset(buf_reserve(&zeros, 1 << 20), 0, 1 << 20);
	deflated(&file, zeros.data, 1 << 20, 6, Z_DEFAULT_STRATEGY);
	assert_int_equal(fs_memfd(&fd, "file", file.data, file.len), 0);
	assert_int_equal(fs_memfd(&none, "none", "", 0), 0);
	assert_int_equal(plain_find(&from, &to, none, fd), 0);
	assert_int_equal(to.n, 0);
}

/* --- what is refused ------------------------------------------------------------------------------------------------ */
/* The base "begin" + a member of 34 bytes of header + its stream of `packed` bytes + "end". */
static const struct member one[] = { { 5000, 1, 6, 0, true } };
enum { BEFORE = 5 + 34 };

/* A patch of kind 2 whose list is these numbers. */
static void
with_list(struct buf *out, const struct pair *p, const uint64_t *numbers, size_t n)
{
	SCOPED(buf_done) struct buf list = BUF_MAX(FILE_MAX);

	for (size_t i = 0; i < n; i++)
		number_put(&list, numbers[i]);
	buf_put(out, "MSP\2", 4);
	number_put(out, p->from.len);
	number_put(out, p->to.len);
	number_put(out, list.len);
	buf_put(out, list.data, list.len);
}

static void
a_hostile_list_is_refused(void **state)
{
	SCOPED(pair_done) struct pair p;

	(void)state;
	fill(&p, one, 1);
	const uint64_t packed = p.from.len - BEFORE - 3, to_plain = BEFORE + 5000 + 7, huge = (uint64_t)INT64_MAX;
	const struct {
		uint64_t numbers[12];
		size_t n;
		enum reason why;
		const char *says;
	} rows[] = {
		{ { PLAIN_STREAMS_MAX + 1 }, 1, REASON_TOO_LARGE, "a list of 32769 streams" },
		{ { 5, 0, 0, 0 }, 4, REASON_TOO_LARGE, "a list of 5 streams" }, /* more than its bytes can hold */
		{ { 1, p.from.len + 1, 0, 0, to_plain, 0 }, 6, REASON_MALFORMED, "behind the base's end" },
		{ { 1, huge, huge, huge, to_plain, 0 }, 6, REASON_MALFORMED, "behind the base's end" },
		{ { 1, BEFORE, packed + 4, 5000, to_plain, 0 }, 6, REASON_MALFORMED, "behind the base's end" },
		{ { 1, BEFORE, packed, huge, to_plain, 0 }, 6, REASON_TOO_LARGE, "the base grows" },
		{ { 1, BEFORE, packed, p.from.len * PLAIN_TIMES, to_plain, 0 }, 6, REASON_TOO_LARGE, "the base grows" },
		{ { 0, p.to.len * PLAIN_TIMES + 1, 0 }, 3, REASON_TOO_LARGE, "the file grows" },
		{ { 0, to_plain, 1, to_plain + 1, 0, 6 }, 6, REASON_MALFORMED, "behind the file's end" },
		{ { 0, to_plain, 1, BEFORE, 5008, 6 }, 6, REASON_MALFORMED, "behind the file's end" },
		{ { 0, to_plain, 1, BEFORE, huge, 6 }, 6, REASON_MALFORMED, "behind the file's end" },
		{ { 0, to_plain, 1, BEFORE, 5000, 0 }, 6, REASON_MALFORMED, "a level that is none" },
		{ { 0, to_plain, 1, BEFORE, 5000, 10 }, 6, REASON_MALFORMED, "a level that is none" },
		{ { 0, to_plain, 1, BEFORE, 5000, UINT64_C(1) << 32 }, 6, REASON_MALFORMED, "a level that is none" },
		{ { 0, to_plain, 0, 0 }, 4, REASON_MALFORMED, "is cut short, or goes on" },
		{ { 0, to_plain }, 2, REASON_MALFORMED, "is cut short, or goes on" },
		/* the list is well, the base is not what it says */
		{ { 1, BEFORE, packed, 4999, to_plain, 0 }, 6, REASON_MALFORMED, "a stream of the base is larger" },
		{ { 1, BEFORE, packed, 5001, to_plain, 0 }, 6, REASON_MALFORMED, "a stream of the base is not what" },
		{ { 1, BEFORE, packed - 1, 5000, to_plain, 0 }, 6, REASON_MALFORMED, "a stream of the base is not what" },
		{ { 1, BEFORE, packed + 1, 5000, to_plain, 0 }, 6, REASON_MALFORMED, "a stream of the base is not what" },
		{ { 1, 0, 5, 100, to_plain, 0 }, 6, REASON_MALFORMED, "a stream of the base is not what" },
		/* and all is well but that nothing follows */
		{ { 1, BEFORE, packed, 5000, to_plain, 0 }, 6, REASON_MALFORMED, "ends before a segment" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf patch = BUF_MAX(FILE_MAX);

		with_list(&patch, &p, rows[i].numbers, rows[i].n);
		assert_refused(apply(&p, &patch, NULL), rows[i].why, rows[i].says);
	}
}

static void
a_list_has_its_length(void **state)
{
	SCOPED(buf_done) struct buf patch = BUF_MAX(FILE_MAX);
	SCOPED(pair_done) struct pair p;
	size_t head;

	(void)state;
	fill(&p, one, 1);
	buf_put(&patch, "MSP\2", 4);
	number_put(&patch, p.from.len);
	number_put(&patch, p.to.len);
	head = patch.len;
	assert_refused(apply(&p, &patch, NULL), REASON_MALFORMED, "the patch ends in its list");
	number_put(&patch, 1);
	assert_refused(apply(&p, &patch, NULL), REASON_MALFORMED, "the patch ends in its list");
	patch.len = head;
	number_put(&patch, PLAIN_LIST_MAX + 1);
	memset(buf_reserve(&patch, PLAIN_LIST_MAX + 1), 0, PLAIN_LIST_MAX + 1);
	buf_advance(&patch, PLAIN_LIST_MAX + 1);
	assert_refused(apply(&p, &patch, NULL), REASON_TOO_LARGE, "a list of 1048577 bytes");
}

/* Each byte of a good patch cut off, and each changed: never another file. */
static void
a_patch_that_was_changed_gives_the_file_or_nothing(void **state)
{
	SCOPED(pair_done) struct pair p;

	(void)state;
	fill(&p, one, 1);
	assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
	assert_int_equal(p.patch.data[3], PATCH_PLAIN);
	for (size_t n = 0; n < p.patch.len; n++) {
		SCOPED(buf_done) struct buf cut = BUF_MAX(FILE_MAX), out = BUF_MAX(FILE_MAX);

		buf_put(&cut, p.patch.data, n);
		assert_true(apply(&p, &cut, NULL) > 0);
		buf_put(&cut, p.patch.data + n, p.patch.len - n);
		cut.data[n] ^= 0x15;
		assert_true(apply(&p, &cut, &out) > 0 || (out.len == p.to.len && memcmp(out.data, p.to.data, out.len) == 0));
	}
}

/* The file written out is well, but deflates to more than the file has. */
static void
what_comes_out_too_long_is_cut(void **state)
{
	SCOPED(plain_side_done) struct plain_side from = { 0 }, to = { 0 };
	SCOPED(buf_done) struct buf patch = BUF_MAX(FILE_MAX), list = BUF_MAX(FILE_MAX);
	SCOPED(pair_done) struct pair p;
	size_t at;

	(void)state;
	fill(&p, one, 1);
	assert_int_equal(patch_make(&p.patch, p.from_fd, p.to_fd, UINT64_MAX), 0);
	assert_int_equal(plain_find(&from, &to, p.from_fd, p.to_fd), 0);
	assert_int_equal(to.n, 1);
	plain_write(&from, &to, &list);
	at = p.patch.len;
	for (size_t i = 0; i + list.len <= p.patch.len; i++)
		if (memcmp(p.patch.data + i, list.data, list.len) == 0)
			at = i;
	assert_true(at < p.patch.len);
	buf_put(&patch, p.patch.data, p.patch.len);
	patch.data[at + list.len - 1] = 1; /* the level: 6 before */
	assert_refused(apply(&p, &patch, NULL), REASON_TOO_LARGE, "bytes come out");
}

static void
a_file_that_cannot_be_counted_is_refused(void **state)
{
	static const uint64_t rows[][2] = { { INT64_MAX / PLAIN_TIMES + 1, 1 }, { 1, INT64_MAX / PLAIN_TIMES + 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(plain_side_done) struct plain_side from = { 0 }, to = { 0 };
		struct cursor c = CURSOR("\0\0\0", 3);

		assert_refused(plain_read(&from, &to, rows[i][0], rows[i][1], &c, "file"), REASON_TOO_LARGE, "of that size");
	}
}

/* Before anything is written: what follows the list is no patch, and nobody looks at it. */
static void
what_the_disk_does_not_hold_is_not_written_out(void **state)
{
	static const uint64_t big = UINT64_C(1) << 50;
	SCOPED(patch_room_freep) struct patch_room *room = NULL;
	SCOPED(buf_done) struct buf patch = BUF_MAX(FILE_MAX);
	SCOPED(scope_close) int fd = -1, dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(pair_done) struct pair p;

	(void)state;
	fill(&p, one, 1);
	buf_puts(&patch, "MSP\2");
	number_put(&patch, p.from.len);
	number_put(&patch, big);
	number_put(&patch, 1 + 8 + 1); /* the list: no stream, these bytes, no stream */
	number_put(&patch, 0);
	number_put(&patch, big);
	number_put(&patch, 0);
	assert_int_equal(fs_memfd(&fd, "patch", patch.data, patch.len), 0);
	assert_int_equal(patch_room_new(&room, dir, NULL), 0);
	assert_refused(patch_apply(room, fd, p.from_fd, p.sha256, big, -1), REASON_NO_SPACE, "written out the archive needs");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_archive_is_patched_as_what_is_in_it),
		cmocka_unit_test(what_looks_like_a_member_is_left_alone),
		cmocka_unit_test(what_grows_too_much_is_left_alone),
		cmocka_unit_test(a_hostile_list_is_refused),
		cmocka_unit_test(a_list_has_its_length),
		cmocka_unit_test(a_patch_that_was_changed_gives_the_file_or_nothing),
		cmocka_unit_test(what_comes_out_too_long_is_cut),
		cmocka_unit_test(a_file_that_cannot_be_counted_is_refused),
		cmocka_unit_test(what_the_disk_does_not_hold_is_not_written_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
