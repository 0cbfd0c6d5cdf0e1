#include "updater/object/object.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

enum { BIG = 700 * 1024 };

static void
get(const struct scratch *s, const char *name, struct buf *out)
{
	int fd = openat(s->fd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_read_fd(fd, BIG, out), 0);
	close(fd);
}

static void
fill(uint8_t *p, size_t len, unsigned noise)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = noise ? (uint8_t)(x >> 24) : (uint8_t)(i / 1000);
	}
}

static void
bytes_come_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 1000, 128 * 1024, BIG };
	const struct scratch *s = *state;
	uint8_t *p = malloc(BIG), digest[32], is[32];

	for (size_t i = 0; i < 10; i++) {
		size_t len = sizes[i % 5];
		struct buf out = BUF_MAX(BIG);

		fill(p, len, i >= 5);
		assert_int_equal(object_put(s->fd, p, len, digest), 0);
		sha256_of(is, p, len);
		assert_memory_equal(digest, is, 32);
		assert_true(object_exists(s->fd, digest));
		assert_int_equal(object_get(s->fd, digest, len, &out), 0);
		assert_int_equal(out.len, len);
		if (len)
			assert_memory_equal(out.data, p, len);
		buf_done(&out);
		assert_int_equal(object_copy(s->fd, digest, len, true, -1), 0);
		assert_int_equal(object_copy(s->fd, digest, len + 1, true, -1), REASON_HASH_MISMATCH);
		if (len)
			assert_int_equal(object_copy(s->fd, digest, len - 1, false, -1),
				REASON_TOO_LARGE);
		assert_int_equal(object_verify(s->fd, digest), 0);
	}
	free(p);
}

static void
the_same_bytes_are_the_same_object(void **state)
{
	const struct scratch *s = *state;
	struct buf one = BUF_MAX(BIG), two = BUF_MAX(BIG);
	char name[OBJECT_NAME_MAX];
	uint8_t *p = malloc(BIG), digest[32];

	fill(p, BIG, 0);
	assert_int_equal(object_put(s->fd, p, BIG, digest), 0);
	get(s, object_name(name, digest), &one);
	assert_int_equal(unlinkat(s->fd, name, 0), 0);
	assert_false(object_exists(s->fd, digest));
	assert_int_equal(object_copy(s->fd, digest, BIG, true, -1), REASON_NOT_FOUND);
	assert_int_equal(object_put(s->fd, p, BIG, NULL), 0);
	get(s, name, &two);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	buf_done(&one);
	buf_done(&two);
	free(p);
}

/* Every single bit of an object, changed: the maker's check finds it. */
static void
changed_bytes_are_found(void **state)
{
	static const char text[] = "# Written by Mainstay from the service's knobs; changes made here are lost.\n"
				   "bind 127.0.0.1\nprotected-mode yes\nport 0\nunixsocketperm 770\ndaemonize no\n"
				   "supervised no\nloglevel notice\ndbfilename dump.rdb\ndatabases 16\nmaxclients 1000\n"
				   "maxmemory 67108864\nmaxmemory-policy noeviction\nappendonly yes\nappendfsync everysec\n"
				   "crash-log-enabled no\nenable-debug-command no\nenable-module-command no\n";
	const struct scratch *s = *state;
	struct buf b = BUF_MAX(4096);
	char name[OBJECT_NAME_MAX];
	uint8_t digest[32];

	assert_int_equal(object_put(s->fd, text, sizeof(text) - 1, digest), 0);
	get(s, object_name(name, digest), &b);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		size_t i = bit / 8;
		uint8_t was = b.data[i];
		int r;

		b.data[i] ^= (uint8_t)(1 << bit % 8);
		scratch_put(s, name, b.data, b.len);
		r = object_verify(s->fd, digest);
		if (r != REASON_ALTERED && r != REASON_MALFORMED && r != REASON_HASH_MISMATCH)
			fail_msg("byte %zu, bit %zu: %d", i, bit % 8, r);
		b.data[i] = was;
	}
	/* Cut short, longer, and another object's bytes under this name. */
	scratch_put(s, name, b.data, b.len - 1);
	assert_int_equal(object_copy(s->fd, digest, 4096, false, -1), REASON_MALFORMED);
	buf_u8(&b, 0);
	scratch_put(s, name, b.data, b.len);
	assert_int_equal(object_copy(s->fd, digest, 4096, false, -1), REASON_MALFORMED);
	buf_reset(&b);
	{
		uint8_t other[32];
		char other_name[OBJECT_NAME_MAX];

		assert_int_equal(object_put(s->fd, "other", 5, other), 0);
		get(s, object_name(other_name, other), &b);
	}
	scratch_put(s, name, b.data, b.len);
	assert_int_equal(object_copy(s->fd, digest, 4096, false, -1), REASON_HASH_MISMATCH);
	buf_done(&b);
}

/* The right bytes, as another compressor would lay them down: copied, and found by the maker's check. */
static void
frames_of_others_are_found(void **state)
{
	static const struct {
		int level, size_said;
	} rows[] = { { 3, 1 }, { 9, 0 }, { 19, 1 } };
	const struct scratch *s = *state;
	uint8_t *p = malloc(BIG), *out = malloc(2 * BIG), digest[32];
	char name[OBJECT_NAME_MAX];

	fill(p, BIG, 0);
	assert_int_equal(object_put(s->fd, p, BIG, digest), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ZSTD_CCtx *c = ZSTD_createCCtx();
		size_t len;

		ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, rows[i].level);
		ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, rows[i].size_said);
		len = ZSTD_compress2(c, out, (size_t)2 * BIG, p, BIG);
		assert_false(ZSTD_isError(len));
		scratch_put(s, object_name(name, digest), out, len);
		assert_int_equal(object_copy(s->fd, digest, BIG, true, -1), 0);
		assert_refused(object_verify(s->fd, digest), REASON_ALTERED, "but not as zstd");
		ZSTD_freeCCtx(c);
	}
	free(p);
	free(out);
}

/* A frame that ends where a read ends hides nothing behind it. */
static void
nothing_stands_behind_the_frame(void **state)
{
	enum { READ = 128 * 1024 };
	static const uint8_t magic[] = { 0x50, 0x2a, 0x4d, 0x18, 0xf8, 0xff, 0x01, 0x00 }; /* skippable, READ - 8 */
	const struct scratch *s = *state;
	uint8_t *file = calloc(1, READ + 1), digest[32];
	char name[OBJECT_NAME_MAX];

	assert_int_equal(object_put(s->fd, "one", 3, digest), 0);
	memcpy(file, magic, sizeof(magic));
	scratch_put(s, object_name(name, digest), file, READ + 1);
	assert_refused(object_copy(s->fd, digest, 4096, false, -1), REASON_MALFORMED, "bytes behind the zstd frame");
	free(file);
}

static void
a_link_is_not_followed(void **state)
{
	const struct scratch *s = *state;
	char name[OBJECT_NAME_MAX];
	uint8_t digest[32];

	assert_int_equal(object_put(s->fd, "one", 3, digest), 0);
	object_name(name, digest);
	assert_int_equal(renameat(s->fd, name, s->fd, "moved"), 0);
	assert_int_equal(symlinkat("../moved", s->fd, name), 0);
	assert_false(object_exists(s->fd, digest));
	assert_true(object_copy(s->fd, digest, 3, true, -1) < 0);
}

#define OBJECT_TEST(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		OBJECT_TEST(bytes_come_back),
		OBJECT_TEST(the_same_bytes_are_the_same_object),
		OBJECT_TEST(changed_bytes_are_found),
		OBJECT_TEST(frames_of_others_are_found),
		OBJECT_TEST(nothing_stands_behind_the_frame),
		OBJECT_TEST(a_link_is_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
