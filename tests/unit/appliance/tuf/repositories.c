/* Repositories that other programs made: sigstore's chain of roots, and tuf-on-ci with a delegation. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/store.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/vectors.h"

static int
feed(struct tuf_client *c, int metadata)
{
	struct tuf_want want;

	while (tuf_client_want(c, &want)) {
		struct buf b = BUF_MAX(want.cap);
		int r = fs_read(metadata, want.file, want.cap, &b);

		if (r == REASON_NOT_FOUND)
			r = tuf_client_absent(c);
		else if (!r)
			r = tuf_client_update(c, want.role, b.data, b.len);
		buf_done(&b);
		if (r)
			return r;
	}
	return 0;
}

static int
open_in(const char *folder, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct tuf_client *
start(const char *folder, const char *first, const char *time, int own)
{
	struct buf root = BUF_MAX(TUF_ROOT_MAX);
	struct tuf_client *c = NULL;
	uint64_t now = 0;
	int fd = open_in(folder, first);

	assert_int_equal(clock_parse(&now, time), 0);
	assert_int_equal(fs_read_fd(fd, TUF_ROOT_MAX, &root), 0);
	assert_int_equal(tuf_store_open(&c, own, root.data, root.len, now), 0);
	buf_done(&root);
	close(fd);
	return c;
}

static void
roots_five_to_twelve_of_sigstore(void **state)
{
	char *folder = vectors_folder("tuf/static_data/sigstore-root-signing");
	int metadata = open_in(folder, "metadata");
	struct scratch s;
	struct tuf_client *c;

	(void)state;
	scratch_make(&s);
	/* Those before have fractions of seconds in their dates, or keys that are bare points. */
	c = start(folder, "metadata/5.root.json", "2025-02-09T12:02:08Z", s.fd);
	assert_int_equal(tuf_version(tuf_client_signed(c, "root")), 5);
	/* The set has roots alone: the chain is walked, then the timestamp is missing. */
	assert_int_equal(feed(c, metadata), REASON_NOT_FOUND);
	assert_int_equal(tuf_version(tuf_client_signed(c, "root")), 12);
	assert_string_equal(refuse_last()->operand, "timestamp.json");
	tuf_client_free(c);
	close(metadata);
	free(folder);
	scratch_remove(&s);
}

static void
tuf_on_ci_with_a_delegation(void **state)
{
	char *folder = vectors_folder("tuf/static_data/tuf-on-ci-0.11");
	int metadata = open_in(folder, "metadata"), targets = open_in(folder, "targets"), fd;
	struct buf b = BUF_MAX(4096);
	struct scratch s;
	struct tuf_client *c;
	struct tuf_target t;

	(void)state;
	scratch_make(&s);
	for (int again = 0; again < 2; again++) {
		c = start(folder, "initial_root.json", "2025-02-09T09:17:23Z", s.fd);
		assert_int_equal(feed(c, metadata), 0);
		if (!again) {
			assert_int_equal(tuf_client_target(c, "delegatedrole/artifact", &t), TUF_WANTS);
			assert_int_equal(feed(c, metadata), 0);
		}
		/* The second time all comes from the store, and is checked again. */
		assert_int_equal(tuf_client_target(c, "delegatedrole/artifact", &t), 0);
		assert_string_equal(t.role, "delegatedrole");
		assert_int_equal(tuf_client_fresh(c, "delegatedrole"), !again);
		assert_int_equal(tuf_store_save(c, s.fd), 0);
		assert_false(tuf_client_fresh(c, "delegatedrole"));
		tuf_client_free(c);
	}
	fd = openat(targets, t.file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fs_read_fd(fd, 4096, &b), 0);
	assert_int_equal(tuf_target_check(&t, b.data, b.len), 0);
	buf_done(&b);
	close(fd);
	close(targets);
	close(metadata);
	free(folder);
	scratch_remove(&s);
}

static void
tuf_on_ci_after_its_end(void **state)
{
	char *folder = vectors_folder("tuf/static_data/tuf-on-ci-0.11");
	int metadata = open_in(folder, "metadata");
	struct scratch s;
	struct tuf_client *c;
	int r;

	(void)state;
	scratch_make(&s);
	c = start(folder, "initial_root.json", "2099-12-31T00:00:00Z", s.fd);
	r = feed(c, metadata);
	assert_true(r == REASON_EXPIRED || r == REASON_FREEZE);
	assert_null(tuf_client_signed(c, "timestamp"));
	tuf_client_free(c);
	close(metadata);
	free(folder);
	scratch_remove(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_five_to_twelve_of_sigstore),
		cmocka_unit_test(tuf_on_ci_with_a_delegation),
		cmocka_unit_test(tuf_on_ci_after_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
