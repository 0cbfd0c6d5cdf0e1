/* Bits of the spool that turn on their own: what they cost is counted, to the record, and what arrives is what was
 * written. */
#include "telemetry/spool/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/lanes.h"
#include "tests/fakes/scratch.h"

enum { WORLDS = 200, RECORDS = 40, MORE = 20 /* another segment begins */, NUMBERS_MAX = 20000, FILES_MAX = 32, FLIPS_MAX = 6 };

static struct scratch scratch;
static uint64_t dice;

static unsigned
draw(unsigned n)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice >> 33) % n;
}

/* What record n says, in full. */
static size_t
text_of(uint64_t n, char out[1024])
{
	uint64_t x = n * 0x9e3779b97f4a7c15u;
	size_t len = 200 + x % 800;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		out[i] = (char)(x >> 56);
	}
	return len;
}

/* Which text each number was given to; 0: none.  Where the head of the last segment is spoilt, a writer that opens it
 * passes over every number that may have been given there: they count as damaged, too. */
static uint8_t said[NUMBERS_MAX], had[NUMBERS_MAX];
static uint64_t last, n_written;

static void
put(struct spool *s, bool may_jump)
{
	char text[1024];
	size_t len = text_of(++n_written, text);
	uint64_t sequence;

	assert_int_equal(spool_write(s,
		&(struct spool_item){ .class = CLASS_METRIC, .path = "/v1/metrics",
			.content_type = "application/x-protobuf", .body = text, .len = len },
		&sequence), 0);
	assert_true(sequence == last + 1 || (may_jump && sequence > last));
	assert_true(sequence < NUMBERS_MAX);
	said[sequence] = (uint8_t)n_written;
	last = sequence;
}

static void
flip_one(void)
{
	SCOPED(scope_close) int fd = -1;
	int dir_fd = openat(scratch.fd, "metrics", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char names[FILES_MAX][64];
	DIR *dir = fdopendir(dir_fd);
	unsigned n = 0;
	struct stat st;
	off_t at;
	uint8_t b;

	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));)
		if (strstr(d->d_name, ".seg") && n < FILES_MAX)
			(void)snprintf(names[n++], sizeof(names[0]), "%.63s", d->d_name);
	assert_true(n > 2);
	fd = openat(dir_fd, names[draw(n)], O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0);
	at = (off_t)draw((unsigned)st.st_size);
	assert_int_equal(pread(fd, &b, 1, at), 1);
	b ^= (uint8_t)(1u << draw(8));
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
	(void)closedir(dir);
}

/* Bring everything to somebody who looks at each body; how many came. */
static unsigned
ship_all(struct ack *a)
{
	SCOPED(lanes_freep) struct lanes *lanes = NULL;
	const struct lanes_record *rec;
	char text[1024];
	unsigned n = 0;

	assert_int_equal(lanes_new(&lanes, a, scratch.fd, "metrics", "metrics", true), 0);
	while (lanes_next(lanes, &rec) == 0) {
		size_t len;

		assert_true(rec->sequence <= last && said[rec->sequence]);
		assert_int_equal(had[rec->sequence]++, 0);
		len = text_of(said[rec->sequence], text);
		assert_int_equal(rec->entry.body_len, len);
		assert_memory_equal(rec->entry.body, text, len);
		assert_int_equal(lanes_done(lanes, NULL, 0), 0);
		n++;
	}
	return n;
}

static json_int_t
counted(const struct ack *a, const char *what)
{
	return json_integer_value(json_object_get(json_object_get(ack_counts(a), "metrics"), what));
}

/* The writer may have been there all the time, or come anew; what it writes after that shows the end of what was. */
static void
one_world(uint64_t seed)
{
	const struct spool_limits limits = { .total_max = 1 << 20, .segment_max = 8 * 1024 };
	SCOPED(spool_closep) struct spool *s = NULL;
	SCOPED(ack_freep) struct ack *a = NULL;
	unsigned arrived;
	bool again = false;

	memset(said, 0, sizeof(said));
	memset(had, 0, sizeof(had));
	last = n_written = 0;
	dice = seed;
	assert_int_equal(spool_open(&s, scratch.fd, "metrics", &limits), 0);
	while (last < RECORDS)
		put(s, false);
	for (unsigned flips = 1 + draw(FLIPS_MAX); flips > 0; flips--)
		flip_one();
	/* A record that is spoilt and the last of all cannot be told from what a power cut left: so one follows. */
	put(s, false);
	if (draw(2) == 0) {
		s = spool_close(s);
		assert_int_equal(spool_open(&s, scratch.fd, "metrics", &limits), 0);
		again = true;
	}
	for (unsigned i = 0; i < MORE; i++)
		put(s, again);
	assert_int_equal(ack_open(&a, scratch.fd), 0);
	arrived = ship_all(a);
	if (arrived + (uint64_t)(counted(a, "damaged") + counted(a, "lost")) != last)
		fail_msg("seed %llu: %u of %llu came, %lld counted as damaged, %lld as lost",
			(unsigned long long)seed, arrived, (unsigned long long)last,
			(long long)counted(a, "damaged"), (long long)counted(a, "lost"));
	assert_int_equal(counted(a, "lost"), 0); /* the cap pushed nothing out */
}

static void
each_bit_that_turned_costs_what_is_counted(void **state)
{
	const char *seed = getenv("SEED");

	(void)state;
	log_open("damage", LOG_LEVEL_ERROR);
	for (uint64_t n = 0; n < WORLDS; n++) {
		scratch_make(&scratch);
		one_world((seed ? strtoull(seed, NULL, 10) : 1) * 1000 + n);
		scratch_remove(&scratch);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bit_that_turned_costs_what_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
