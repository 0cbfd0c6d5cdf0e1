/* Recordings on disk: what is written, what a crash leaves, what makes room. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/trust/sha256.h"
#include "remote/recording/recordings.h"
#include "tests/fakes/scratch.h"

enum { NOW_S = 1795348800, FILE_MAX = 64 << 20 };

struct bench {
	struct scratch s;
	sd_event *loop;
	struct recordings *all;
	uint64_t mono_us;
	uint8_t request[32];
};

static int
set_up(void **state)
{
	static struct bench b;

	b = (struct bench){ .mono_us = 5000 * CLOCK_US_PER_S };
	scratch_make(&b.s);
	memset(b.request, 0xab, sizeof(b.request));
	clock_fake(NOW_S * CLOCK_US_PER_S, b.mono_us);
	if (loop_new(&b.loop, NULL, NULL) < 0)
		return -1;
	*state = &b;
	return recordings_open(&b.all, b.s.fd, b.loop);
}

static int
tear_down(void **state)
{
	struct bench *b = *state;

	recordings_close(b->all);
	sd_event_unref(b->loop);
	clock_real();
	scratch_remove(&b->s);
	return 0;
}

static void
later(struct bench *b, uint64_t ms)
{
	b->mono_us += ms * CLOCK_US_PER_MS;
	clock_fake(NOW_S * CLOCK_US_PER_S, b->mono_us);
}

/* The monitor is killed, and another one opens the folder. */
static void
crash(struct bench *b, struct recording *r)
{
	recording_abandon(r);
	recordings_close(b->all);
	b->all = NULL;
	assert_int_equal(recordings_open(&b->all, b->s.fd, b->loop), 0);
}

static struct recording *
begin(struct bench *b, const char *id)
{
	struct recording *r = NULL;

	assert_int_equal(recordings_begin(b->all, id, b->request, "redis info", NOW_S * CLOCK_US_PER_S, &r), 0);
	return r;
}

static void
say(struct recording *r, int stream, const char *text)
{
	assert_int_equal(recording_put(r, stream, text, strlen(text)), 0);
}

/* lib/monitor/recordings/NAME. */
static const char *
file_text(struct bench *b, const char *name)
{
	static struct buf text = BUF_MAX(FILE_MAX);
	char path[128];

	buf_reset(&text);
	(void)snprintf(path, sizeof(path), "recordings/%s", name);
	assert_int_equal(fs_read(b->s.fd, path, FILE_MAX, &text), 0);
	return buf_text(&text);
}

static bool
is_there(struct bench *b, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "recordings/%s", name);
	return faccessat(b->s.fd, path, F_OK, 0) == 0;
}

#define HEADER(id, n)                                                                                                  \
	"{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1795348800,\"title\":\"redis info\",\"env\":{},"      \
	"\"mainstay\":{\"id\":\"" id "\",\"n\":" n ",\"request\":\"sha256:"                                            \
	"abababababababababababababababababababababababababababababababab\"}}\n"

static void
one_is_written_and_closed(void **state)
{
	struct bench *b = *state;
	struct recording *r = begin(b, "r-1");
	uint8_t digest[32], want[32];
	const char *text;
	uint64_t n;

	assert_int_equal(recordings_digest(b->all, "r-1", digest, &n), REASON_NOT_FOUND);
	later(b, 100);
	say(r, 1, "one ");
	later(b, 10);
	say(r, 2, "two\n"); /* so soon that it is one event */
	(void)usleep((RECORDING_JOIN_MS + 10) * 1000);
	for (int i = 0; i < 5; i++)
		(void)sd_event_run(b->loop, 0);
	later(b, 1500);
	say(r, 1, "three\x1b[2J\"\\\xff\r\n");
	later(b, 250);
	assert_int_equal(recording_end(r, "end: ok"), 0);
	assert_false(is_there(b, "r-1.cast.part"));
	text = file_text(b, "r-1.cast");
	assert_string_equal(text, HEADER("r-1", "1") "[0.100000, \"o\", \"one two\\n\"]\n"
						     "[1.610000, \"o\", \"three\\u001b[2J\\\"\\\\\xef\xbf\xbd\\r\\n\"]\n"
						     "[1.860000, \"m\", \"end: ok\"]\n");
	sha256_of(want, text, strlen(text));
	assert_int_equal(recordings_digest(b->all, "r-1", digest, &n), 0);
	assert_memory_equal(digest, want, 32);
	assert_int_equal(n, 1);
	/* And by who comes after us. */
	crash(b, NULL);
	assert_int_equal(recordings_digest(b->all, "r-1", digest, &n), 0);
	assert_memory_equal(digest, want, 32);
	r = begin(b, "r-2");
	assert_int_equal(recording_end(r, "end: ok"), 0);
	assert_string_equal(file_text(b, "r-2.cast"), HEADER("r-2", "2") "[0.000000, \"m\", \"end: ok\"]\n");
}

/* A character that is cut between two parts, and one that never ends; each stream has its own. */
static void
characters_are_joined_over_parts(void **state)
{
	struct bench *b = *state;
	struct recording *r = begin(b, "r-1");

	say(r, 1, "\xe2\x82");
	say(r, 2, "\xc3");
	say(r, 1, "\xac");
	say(r, 2, "\xa4");
	say(r, 1, "\xf0\x9f");
	assert_int_equal(recording_end(r, "end: ok"), 0);
	assert_non_null(strstr(file_text(b, "r-1.cast"), "\"o\", \"\xe2\x82\xac\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\"]"));
}

/* A crash at each byte of a file: what is whole stays, and it is closed. */
static void
a_crash_at_each_byte(void **state)
{
	static const char whole[] = HEADER("r-1", "7") "[0.100000, \"o\", \"one\\n\"]\n[0.250000, \"o\", \"two\"]\n"
						       "[0.500000, \"m\", \"end: failed\"]\n";
	static const size_t header = sizeof(HEADER("r-1", "7")) - 1;
	struct bench *b = *state;
	SCOPED(scope_close) int dir = -1;

	assert_int_equal(fs_open_dir(&dir, b->s.fd, "recordings", 0700), 0);
	for (size_t cut = 0; cut < sizeof(whole); cut++) {
		const char *text, *last;

		(void)unlinkat(dir, "r-1.cast", 0);
		assert_int_equal(fs_replace(dir, "r-1.cast.part", whole, cut, 0600), 0);
		crash(b, NULL);
		assert_false(is_there(b, "r-1.cast.part"));
		assert_int_equal(is_there(b, "r-1.cast"), cut >= header);
		if (cut < header)
			continue;
		text = file_text(b, "r-1.cast");
		if (cut == sizeof(whole) - 1) {
			assert_string_equal(text, whole);
			continue;
		}
		last = strstr(text, "interrupted\"]\n");
		assert_non_null(last);
		assert_string_equal(last, "interrupted\"]\n");
		last = (const char *)memrchr(text, '\n', (size_t)(last - text)) + 1;
		assert_memory_equal(text, whole, (size_t)(last - text)); /* nothing else was changed */
		assert_int_equal(strtod(last + 1, NULL) * 100, last - text == (ptrdiff_t)header ? 0
				: strstr(text, "two")					   ? 25
											   : 10);
	}
}

static void
what_is_no_recording_is_set_aside(void **state)
{
	struct bench *b = *state;
	SCOPED(scope_close) int dir = -1;

	assert_int_equal(fs_open_dir(&dir, b->s.fd, "recordings", 0700), 0);
	assert_int_equal(fs_replace(dir, "r-1.cast", "rubbish\n", 8, 0600), 0);
	assert_int_equal(fs_replace(dir, "r-2.cast", HEADER("r-3", "4"), strlen(HEADER("r-3", "4")), 0600), 0);
	assert_int_equal(fs_replace(dir, "r-4.cast.part", HEADER("r-4", "0"), strlen(HEADER("r-4", "0")), 0600), 0);
	assert_int_equal(fs_replace(dir, "notes", "mine", 4, 0600), 0);
	crash(b, NULL);
	assert_true(is_there(b, "r-1.cast.bad") && is_there(b, "r-2.cast.bad") && is_there(b, "r-4.cast.part.bad"));
	assert_true(is_there(b, "notes"));
	crash(b, NULL);
	assert_false(is_there(b, "r-1.cast.bad.bad"));
}

static bool
is_needed(const char *id, void *arg)
{
	return strcmp(id, arg) == 0;
}

static size_t
how_many(struct bench *b)
{
	SCOPED(scope_closedir) DIR *dir = NULL;
	size_t n = 0;
	int fd = openat(b->s.fd, "recordings", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fdopendir(fd);
	while (dir && readdir(dir))
		n++;
	return n - 2;
}

static void
the_oldest_make_room(void **state)
{
	static char needed[] = "r-1";
	struct bench *b = *state;
	SCOPED(scope_close) int dir = -1;
	char name[64], text[512];

	assert_int_equal(fs_open_dir(&dir, b->s.fd, "recordings", 0700), 0);
	for (int i = 0; i < RECORDINGS_MAX + 3; i++) {
		int fd;

		(void)snprintf(name, sizeof(name), "r-%d.cast", i);
		(void)snprintf(text, sizeof(text),
			"{\"version\":2,\"mainstay\":{\"id\":\"r-%d\",\"n\":%d,\"request\":\"sha256:%064d\"}}\n", i, i + 1, 0);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
		close(fd);
	}
	crash(b, NULL);
	assert_int_equal(recordings_removed(b->all), 0);
	recordings_trim(b->all, is_needed, needed);
	assert_int_equal(how_many(b), RECORDINGS_MAX);
	assert_int_equal(recordings_removed(b->all), 3);
	assert_false(is_there(b, "r-0.cast") || is_there(b, "r-2.cast") || is_there(b, "r-3.cast"));
	assert_true(is_there(b, "r-1.cast")); /* its leaf is still to be written */
	/* And by bytes: a file with a hole counts as it is long. */
	(void)snprintf(text, sizeof(text), "%s/recordings/r-300.cast", b->s.path);
	assert_int_equal(truncate(text, RECORDINGS_BYTES_MAX), 0);
	crash(b, NULL);
	recordings_trim(b->all, is_needed, needed);
	assert_false(is_there(b, "r-300.cast"));
	assert_true(is_there(b, "r-301.cast") && is_there(b, "r-1.cast"));
	assert_int_equal(recordings_removed(b->all), 3 + 300 - 3);
}

/* What was set aside counts, and goes before any recording does; where there is room it stays. */
static void
what_was_set_aside_makes_room_first(void **state)
{
	static char none[] = "";
	static const struct {
		size_t first, second; /* how long they are */
		bool one_stays, both_stay;
	} rows[] = { { 10, 10, true, true }, { RECORDINGS_BYTES_MAX, 10, true, false }, { 10, RECORDINGS_BYTES_MAX, true, false },
		{ RECORDINGS_BYTES_MAX, RECORDINGS_BYTES_MAX, false, false } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = *state;
		SCOPED(scope_close) int dir = -1;
		size_t left;

		assert_int_equal(fs_open_dir(&dir, b->s.fd, "recordings", 0700), 0);
		assert_int_equal(fs_replace(dir, "a.cast.bad", "", 0, 0600), 0);
		assert_int_equal(fs_replace(dir, "b.cast.bad", "", 0, 0600), 0);
		assert_int_equal(fs_replace(dir, "r-3.cast", HEADER("r-3", "4"), strlen(HEADER("r-3", "4")), 0600), 0);
		for (int k = 0; k < 2; k++) {
			SCOPED(scope_close) int fd = openat(dir, k ? "b.cast.bad" : "a.cast.bad", O_WRONLY | O_CLOEXEC);

			assert_int_equal(ftruncate(fd, (off_t)(k ? rows[i].second : rows[i].first)), 0);
		}
		crash(b, NULL);
		recordings_trim(b->all, is_needed, none);
		assert_true(is_there(b, "r-3.cast"));
		left = (size_t)is_there(b, "a.cast.bad") + is_there(b, "b.cast.bad");
		if ((left == 2) != rows[i].both_stay || (left > 0 && !rows[i].one_stays))
			fail_msg("row %zu: %zu are left", i, left);
		recordings_trim(b->all, is_needed, none); /* and nothing more */
		assert_true(is_there(b, "r-3.cast"));
	}
}

static void
read_in_whole_lines(void **state)
{
	struct bench *b = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4 << 20);
	struct recording *r = begin(b, "r-1");
	char part[16 * 1024 + 1];
	uint64_t before = refuse_count(REASON_NOT_FOUND);
	size_t len;

	assert_int_equal(recordings_read(b->all, "r-2", 0, &out), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	memset(part, 'x', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	for (int i = 0; i < 64; i++)
		say(r, 1, part);
	/* While it runs: what is an event already. */
	assert_int_equal(recordings_read(b->all, "r-1", 0, &out), 0);
	assert_true(out.len > 0 && out.len < RECORDINGS_CHUNK_MAX && out.data[out.len - 1] == '\n');
	assert_int_equal(recording_end(r, "end: ok"), 0);
	do {
		len = out.len;
		assert_int_equal(recordings_read(b->all, "r-1", len, &out), 0);
		assert_int_equal(out.data[out.len - 1], '\n');
	} while (out.len > len);
	assert_string_equal(buf_text(&out), file_text(b, "r-1.cast"));
	assert_true(out.len > 64 * 16 * 1024);
}

/* A file that may grow no further: it says so, again and again, and at the end; the next start closes it. */
static void
what_cannot_be_written(void **state)
{
	const struct rlimit little = { 1024, 1024 };
	struct bench *b = *state;
	struct recording *r = begin(b, "r-1"), *second = NULL;
	char much[40 * 1024];
	int status = -1;
	pid_t pid;

	memset(much, 'y', sizeof(much));
	assert_true(recordings_begin(b->all, "r-1", b->request, "x", 0, &second) < 0); /* its name is taken */
	assert_null(second);
	pid = fork();
	if (pid == 0) {
		bool good = signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &little) == 0;

		good = good && recording_put(r, 1, much, sizeof(much)) < 0;
		good = good && recording_put(r, 1, "more", 4) < 0;
		good = good && recording_end(r, "end: ok") < 0;
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	crash(b, r);
	assert_string_equal(file_text(b, "r-1.cast"), HEADER("r-1", "1") "[0.000000, \"m\", \"interrupted\"]\n");
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(one_is_written_and_closed),
		BENCH_TEST(characters_are_joined_over_parts),
		BENCH_TEST(a_crash_at_each_byte),
		BENCH_TEST(what_is_no_recording_is_set_aside),
		BENCH_TEST(what_was_set_aside_makes_room_first),
		BENCH_TEST(the_oldest_make_room),
		BENCH_TEST(read_in_whole_lines),
		BENCH_TEST(what_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
