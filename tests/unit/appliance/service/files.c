/* The small files of service: roster, state, spec, lock, ids. */
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
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/identity.h"
#include "appliance/service/lock.h"
#include "appliance/service/process.h"
#include "appliance/service/roster.h"
#include "appliance/service/spec.h"
#include "appliance/service/state.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

struct site {
	struct scratch s;
	struct paths paths;
	int run, lib;
};

static int
setup(void **state)
{
	struct site *t = calloc(1, sizeof(*t));

	scratch_make(&t->s);
	if (fs_paths(&t->paths, t->s.path) || fs_open_dir(&t->run, AT_FDCWD, t->paths.run, 0755) ||
		fs_open_dir(&t->lib, AT_FDCWD, t->paths.lib, 0755))
		return -1;
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct site *t = *state;

	close(t->run);
	close(t->lib);
	scratch_remove(&t->s);
	free(t);
	return 0;
}

/* Put a file below one of the folders. */
static void
put(int dir, const char *folder, const char *name, const char *text)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, dir, folder, 0755), 0);
	assert_int_equal(fs_replace(fd, name, text, strlen(text), 0644), 0);
}

/* --- roster ----------------------------------------------------------------------------------- */
static void
test_roster(void **state)
{
	struct site *t = *state;
	struct roster *r = calloc(1, sizeof(*r));
	uint64_t start;

	assert_int_equal(roster_load(r, &t->paths), 0); /* none yet */
	assert_int_equal(r->n, 0);
	assert_int_equal(child_starttime(&start, getpid()), 0);
	r->n = 2;
	r->entries[0] = (struct roster_entry){ ROSTER_MONITOR, "", getpid(), start, true, 3 };
	r->entries[1] = (struct roster_entry){ ROSTER_SHIM, "redis", getpid(), start + 1, true, 0 };
	assert_int_equal(roster_save(r, t->run), 0);
	memset(r, 0, sizeof(*r));
	assert_int_equal(roster_load(r, &t->paths), 0);
	assert_int_equal(r->n, 2);
	assert_int_equal(roster_find(r, ROSTER_MONITOR, NULL)->restarts, 3);
	assert_int_equal(roster_find(r, ROSTER_SHIM, "redis")->start_time, start + 1);
	assert_null(roster_find(r, ROSTER_SHIM, "web"));
	assert_true(roster_holds(&t->paths, ROSTER_MONITOR, getpid()));
	assert_false(roster_holds(&t->paths, ROSTER_COURIER, getpid()));
	assert_false(roster_holds(&t->paths, ROSTER_SHIM,
		getpid())); /* the pid, but not the process */
	assert_false(roster_holds(&t->paths, ROSTER_MONITOR, getppid()));
	free(r);
}

#define HEAD "mainstay-roster 1 BOOT\n"

static const struct {
	const char *says, *text;
} bad_rosters[] = {
	{ "no head", "monitor - 1 2 1 0\n" },
	{ "a role that is none", HEAD "king - 1 2 1 0\n" },
	{ "too few fields", HEAD "monitor - 1 2 1\n" },
	{ "too many fields", HEAD "monitor - 1 2 1 0 0\n" },
	{ "a pid that is none", HEAD "monitor - x 2 1 0\n" },
	{ "a pid that is too large", HEAD "monitor - 99999999999 2 1 0\n" },
	{ "ready is 0 or 1", HEAD "monitor - 1 2 2 0\n" },
	{ "no newline at the end", HEAD "monitor - 1 2 1 0" },
	{ "an empty line", HEAD "\n" },
	{ "an id that is too long",
		HEAD "shim aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1 2 "
		     "1 0\n" },
};

static void
test_bad_rosters(void **state)
{
	struct roster *r = calloc(1, sizeof(*r));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_rosters); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		if (roster_parse(r, bad_rosters[i].text, strlen(bad_rosters[i].text), "BOOT") !=
				REASON_MALFORMED ||
			r->n != 0 || refuse_last()->reason != REASON_MALFORMED)
			fail_msg("%s", bad_rosters[i].says);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
	assert_int_equal(roster_parse(r, HEAD "monitor - 1 2 1 0\n", sizeof(HEAD) + 17, "OTHER"),
		0);
	assert_int_equal(r->n, 0); /* of another boot */
	free(r);
}

static void
test_huge_roster(void **state)
{
	struct site *t = *state;
	struct roster *r = calloc(1, sizeof(*r));
	char *text = malloc(ROSTER_BYTES_MAX + 2);

	memset(text, 'x', ROSTER_BYTES_MAX + 1);
	text[ROSTER_BYTES_MAX + 1] = '\0';
	put(t->run, "supervise", "roster", text);
	assert_int_equal(roster_load(r, &t->paths), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(r->n, 0);
	free(text);
	free(r);
}

/* --- state ------------------------------------------------------------------------------------ */
static void
put_state(struct site *t, const struct state *s)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);

	assert_int_equal(state_encode(&text, s), 0);
	put(t->run, "shim", "redis.json", buf_text(&text));
}

static void
test_state(void **state)
{
	struct site *t = *state;
	struct state s = { .is = STATE_RUNNING,
		.health = STATE_HEALTH_PASSING,
		.pid = getpid(),
		.exit = -1,
		.restarts = 2,
		.started_us = 5 };
	struct state back;

	assert_int_equal(state_read(&back, &t->paths, "redis"), 0);
	assert_int_equal(back.is, STATE_STOPPED); /* nothing known */
	assert_int_equal(process_boot_id(s.boot), 0);
	assert_int_equal(child_starttime(&s.start_time, getpid()), 0);
	put_state(t, &s);
	assert_int_equal(state_read(&back, &t->paths, "redis"), 0);
	assert_int_equal(back.is, STATE_RUNNING);
	assert_int_equal(back.health, STATE_HEALTH_PASSING);
	assert_int_equal(back.restarts, 2);
	assert_false(back.lost_secrets);
	s.lost_secrets = true;
	put_state(t, &s);
	assert_int_equal(state_read(&back, &t->paths, "redis"), 0);
	assert_true(back.lost_secrets);
	s.start_time++; /* the pid is somebody else's by now */
	put_state(t, &s);
	assert_int_equal(state_read(&back, &t->paths, "redis"), 0);
	assert_int_equal(back.is, STATE_FAILED);
	assert_int_equal(back.health, STATE_HEALTH_UNKNOWN);
	(void)snprintf(s.boot, sizeof(s.boot), "another");
	put_state(t, &s);
	assert_int_equal(state_read(&back, &t->paths, "redis"), 0);
	assert_int_equal(back.is, STATE_STOPPED);
}

/* The collector may not read lines of the log: it has the file beside. */
static void
test_state_for_who_may_not_read_it(void **state)
{
	struct site *t = *state;
	struct state s = { .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .pid = getpid(), .exit = -1 }, back;
	SCOPED(buf_done) struct buf open_text = BUF_MAX(4096);
	SCOPED(scope_close) int dir = -1;
	char path[300];
	int r;

	if (geteuid() != 0)
		skip();
	assert_int_equal(process_boot_id(s.boot), 0);
	assert_int_equal(child_starttime(&s.start_time, getpid()), 0);
	put_state(t, &s);
	(void)snprintf(path, sizeof(path), "%s/shim", t->paths.run);
	dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_true(dir >= 0);
	s.restarts = 7;
	assert_int_equal(state_encode(&open_text, &s), 0);
	assert_int_equal(fs_replace(dir, "redis" STATE_OPEN_SUFFIX, open_text.data, open_text.len, 0644), 0);
	assert_int_equal(state_read(&back, &t->paths, "redis"), 0);
	assert_int_equal(back.restarts, 0); /* root reads the whole one */
	assert_int_equal(fchmodat(dir, "redis.json", 0600, 0), 0);
	assert_int_equal(chmod(t->s.path, 0755), 0);
	assert_int_equal(chmod(t->paths.run, 0755), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	r = faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -EACCES : state_read(&back, &t->paths, "redis");
	assert_int_equal(seteuid(0), 0);
	if (r == -EACCES) /* a folder above is closed to others */
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(back.restarts, 7);
	assert_int_equal(back.is, STATE_RUNNING);
}

#define STATE_JSON(is, health, exit, more)                                                         \
	"{\"boot\":\"b\",\"exit\":" exit ",\"health\":\"" health                                   \
	"\",\"pid\":1,\"release\":\"\",\"restarts\":0,"                                            \
	"\"started\":0,\"starttime\":1,\"state\":\"" is "\"" more "}"

static const struct {
	const char *says, *text;
	enum reason reason;
} bad_states[] = {
	{ "no JSON", "running", REASON_MALFORMED },
	{ "a state that is none", STATE_JSON("flying", "passing", "0", ""), REASON_MALFORMED },
	{ "a health that is none", STATE_JSON("running", "fine", "0", ""), REASON_MALFORMED },
	{ "an exit that is none", STATE_JSON("running", "passing", "256", ""), REASON_MALFORMED },
	{ "a member more", STATE_JSON("running", "passing", "0", ",\"x\":1"),
		REASON_UNKNOWN_FIELD },
	{ "a release of two lines",
		"{\"boot\":\"b\",\"exit\":0,\"health\":\"passing\",\"pid\":1,\"release\":\"a\\nb\","
		"\"restarts\":0,\"started\":0,\"starttime\":1,\"state\":\"running\"}",
		REASON_MALFORMED },
	{ "a member less", "{\"state\":\"running\"}", REASON_MALFORMED },
};

static void
test_bad_states(void **state)
{
	struct site *t = *state;
	struct state s;

	for (size_t i = 0; i < ARRAY_LEN(bad_states); i++) {
		put(t->run, "shim", "redis.json", bad_states[i].text);
		if (state_read(&s, &t->paths, "redis") != (int)bad_states[i].reason ||
			refuse_last()->reason != bad_states[i].reason || s.is != STATE_STOPPED)
			fail_msg("%s", bad_states[i].says);
	}
	assert_int_equal(symlinkat("redis.json", t->run, "shim/web.json"), 0);
	/* A link is no file. */
	assert_refused(state_read(&s, &t->paths, "web"), REASON_MALFORMED, "cannot be read");
	assert_int_equal(s.is, STATE_STOPPED);
}

static void
test_state_names(void **state)
{
	char name[65];

	(void)state;
	assert_int_equal(state_service_of(name, sizeof(name), "redis.json"), 0);
	assert_string_equal(name, "redis");
	assert_int_equal(state_service_of(name, sizeof(name), ".tmp.123.json"), REASON_MALFORMED);
	assert_int_equal(state_service_of(name, sizeof(name), "redis"), REASON_MALFORMED);
	assert_int_equal(state_service_of(name, sizeof(name), ".json"), REASON_MALFORMED);
	assert_string_equal(state_name(STATE_FROZEN), "frozen");
	assert_string_equal(state_health_name(STATE_HEALTH_FAILING), "failing");
}

/* --- spec ------------------------------------------------------------------------------------- */
static void
good_spec(struct spec *s)
{
	spec_init(s);
	(void)snprintf(s->name, sizeof(s->name), "redis");
	(void)snprintf(s->tree, sizeof(s->tree), "/t");
	(void)snprintf(s->data, sizeof(s->data), "/d");
	(void)snprintf(s->conf, sizeof(s->conf), "/c");
	(void)snprintf(s->run, sizeof(s->run), "/r");
	(void)snprintf(s->log, sizeof(s->log), "/l");
	assert_int_equal(spec_arg(s, "/bin/redis"), 0);
}

static void
test_spec(void **state)
{
	SCOPED(spec_done) struct spec s, back;
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX);

	(void)state;
	good_spec(&s);
	s.health = SPEC_HEALTH_RESP;
	(void)snprintf(s.socket, sizeof(s.socket), "redis.sock");
	s.heal = SPEC_HEAL_NEVER;
	assert_int_equal(spec_env(&s, "A=b"), 0);
	assert_int_equal(spec_encode(&text, &s), 0);
	assert_int_equal(spec_decode(&back, text.data, text.len), 0);
	assert_string_equal(back.argv[0], "/bin/redis");
	assert_null(back.argv[1]);
	assert_string_equal(back.env[0], "A=b");
	assert_int_equal(back.heal, SPEC_HEAL_NEVER);
	assert_string_equal(back.socket, "redis.sock");
	assert_int_equal(back.grace_ms, 10000);
	spec_done(&back);
}

/* All that version 2 brought comes back as it was; a secret without what it is. */
static void
test_spec_whole(void **state)
{
	SCOPED(spec_done) struct spec s, back;
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX), again = BUF_MAX(SPEC_BYTES_MAX);

	(void)state;
	good_spec(&s);
	s.health = SPEC_HEALTH_HTTP;
	s.port = 8222;
	(void)snprintf(s.path, sizeof(s.path), "/healthz");
	(void)snprintf(s.expect, sizeof(s.expect), "200");
	(void)snprintf(s.user, sizeof(s.user), "u");
	(void)snprintf(s.database, sizeof(s.database), "d");
	s.network = SPEC_NETWORK_LOOPBACK;
	s.stop_signal = SIGINT;
	s.reload_signal = SIGHUP;
	assert_int_equal(spec_reload(&s, "/bin/reload"), 0);
	assert_int_equal(spec_prepare(&s, "/bin/initdb"), 0);
	(void)snprintf(s.creates, sizeof(s.creates), "pgdata");
	s.prepare_timeout_ms = 1000;
	s.probe_secrets = true;
	assert_int_equal(spec_secret(&s, "password", "hunter2", 7), 0);
	s.memory = 1 << 30;
	s.processes = 10;
	s.cpu_milli = 1500;
	s.nice = 5;
	assert_int_equal(spec_encode(&text, &s), 0);
	assert_null(strstr(buf_text(&text), "hunter2"));
	assert_int_equal(spec_decode(&back, text.data, text.len), 0);
	assert_int_equal(back.network, SPEC_NETWORK_LOOPBACK);
	assert_int_equal(back.stop_signal, SIGINT);
	assert_int_equal(back.reload_signal, SIGHUP);
	assert_string_equal(back.prepare[0], "/bin/initdb");
	assert_int_equal(back.n_secrets, 1);
	assert_int_equal(back.secrets[0].fd, -1);
	assert_int_equal(spec_encode(&again, &back), 0);
	assert_string_equal(buf_text(&again), buf_text(&text));
}

static void
test_spec_secrets(void **state)
{
	SCOPED(spec_done) struct spec s;
	char large[SPEC_SECRET_BYTES_MAX + 1] = "x", got[16] = "";
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	(void)state;
	good_spec(&s);
	assert_int_equal(spec_secret(&s, "a", large, sizeof(large)), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(s.n_secrets, 0);
	for (size_t i = 0; i < SPEC_SECRETS_MAX; i++)
		assert_int_equal(spec_secret(&s, "a", "value", 5), 0);
	assert_int_equal(spec_secret(&s, "a", "value", 5), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 2);
	assert_int_equal(s.n_secrets, SPEC_SECRETS_MAX);
	assert_int_equal(pread(s.secrets[0].fd, got, sizeof(got), 0), 5);
	assert_string_equal(got, "value");
	assert_int_equal(pwrite(s.secrets[0].fd, "x", 1, 0), -1); /* sealed */
}

static void
refused_spec(const char *says, const struct spec *s, enum reason reason)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX);
	SCOPED(spec_done) struct spec back;

	assert_int_equal(spec_encode(&text, s), 0);
	if (spec_decode(&back, text.data, text.len) != (int)reason ||
		refuse_last()->reason != reason)
		fail_msg("%s", says);
}

#define SPEC_JSON(word, release)                                                                   \
	"{\"argv\":[" word                                                                         \
	"],\"conf\":\"/c\",\"data\":\"/d\",\"env\":[],\"expect\":\"\",\"grace_ms\":1,"             \
	"\"heal\":\"exit\",\"health\":\"none\",\"health_failures\":1,\"health_interval_ms\":100,"  \
	"\"health_timeout_ms\":10,\"log\":\"/l\",\"log_bytes\":0,\"name\":\"a\",\"network\":true," \
	"\"nofile\":0,\"probe\":[],\"release\":\"" release "\",\"run\":\"/r\",\"socket\":\"\","    \
	"\"start_timeout_ms\":100,\"tree\":\"/t\",\"v\":1}"

static void
test_bad_specs(void **state)
{
	static const char *const texts[] = { SPEC_JSON("1", ""), SPEC_JSON("\"a\\nb\"", ""),
		SPEC_JSON("\"a\"", "b\\nc") };
	SCOPED(spec_done) struct spec s, back;
	char *keep, long_arg[SPEC_ARG_MAX + 2];

	(void)state;
	good_spec(&s);
	s.name[0] = 'R';
	refused_spec("a name in capitals", &s, REASON_MALFORMED);
	s.name[0] = 'r';
	s.data[0] = 'd';
	refused_spec("a folder that is not absolute", &s, REASON_MALFORMED);
	s.data[0] = '/';
	keep = s.argv[0];
	s.argv[0] = NULL;
	refused_spec("nothing to run", &s, REASON_MALFORMED);
	s.argv[0] = keep;
	s.health = SPEC_HEALTH_RESP;
	refused_spec("a probe without a socket", &s, REASON_MALFORMED);
	s.port = 1;
	s.network = SPEC_NETWORK_NONE;
	refused_spec("a probe of a port that none can reach", &s, REASON_MALFORMED);
	s.health = SPEC_HEALTH_TCP;
	refused_spec("the same of TCP", &s, REASON_MALFORMED);
	s.network = SPEC_NETWORK_HOST;
	s.health = SPEC_HEALTH_UNIX;
	refused_spec("a socket's probe without one", &s, REASON_MALFORMED);
	s.health = SPEC_HEALTH_HTTP;
	refused_spec("HTTP without a path", &s, REASON_MALFORMED);
	(void)snprintf(s.path, sizeof(s.path), "/a b");
	refused_spec("a path that is two words", &s, REASON_MALFORMED);
	(void)snprintf(s.path, sizeof(s.path), "/a\r\nX: y");
	refused_spec("a path with a header line", &s, REASON_MALFORMED);
	s.path[0] = '\0';
	s.health = SPEC_HEALTH_RESP;
	s.port = 0;
	(void)snprintf(s.socket, sizeof(s.socket), "../x");
	refused_spec("a socket elsewhere", &s, REASON_MALFORMED);
	s.health = SPEC_HEALTH_EXEC;
	s.socket[0] = '\0';
	refused_spec("a probe without a program", &s, REASON_MALFORMED);
	s.health = SPEC_HEALTH_NONE;
	s.health_interval_ms = 1;
	refused_spec("probes too often", &s, REASON_MALFORMED);
	s.health_interval_ms = 2000;
	s.stop_signal = SIGHUP;
	refused_spec("a signal that does not stop", &s, REASON_MALFORMED);
	s.stop_signal = SIGTERM;
	s.reload_signal = SIGTERM;
	refused_spec("a signal that does not reload", &s, REASON_MALFORMED);
	s.reload_signal = 0;
	(void)snprintf(s.creates, sizeof(s.creates), "x");
	refused_spec("something prepared by nothing", &s, REASON_MALFORMED);
	assert_int_equal(spec_prepare(&s, "/bin/true"), 0);
	s.creates[0] = '\0';
	refused_spec("a preparation of nothing", &s, REASON_MALFORMED);
	(void)snprintf(s.creates, sizeof(s.creates), "..");
	refused_spec("a preparation elsewhere", &s, REASON_MALFORMED);
	(void)snprintf(s.creates, sizeof(s.creates), "x");
	(void)snprintf(s.secrets[0].name, sizeof(s.secrets[0].name), "a/b");
	s.secrets[0].fd = -1;
	s.n_secrets = 1;
	refused_spec("a secret elsewhere", &s, REASON_MALFORMED);
	s.secrets[0].name[0] = '\0';
	refused_spec("a secret without a name", &s, REASON_MALFORMED);
	s.n_secrets = 0;
	memset(long_arg, 'x', sizeof(long_arg) - 1);
	long_arg[sizeof(long_arg) - 1] = '\0';
	assert_int_equal(spec_arg(&s, long_arg), REASON_TOO_LARGE);
	assert_null(s.argv[1]);
	/* A word that is a number, and line ends in a word and in the release. */
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(spec_decode(&back, texts[i], strlen(texts[i])), REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		spec_done(&back);
	}
	assert_int_equal(spec_decode(&back, "{}", 2), REASON_MALFORMED);
	spec_done(&back);
	assert_int_equal(spec_decode(&back, "{\"x\":1}", 7), REASON_UNKNOWN_FIELD);
}

/* --- lock ------------------------------------------------------------------------------------- */
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_lock(void **state)
{
	struct site *t = *state;
	struct lock *l = calloc(1, sizeof(*l));
	struct lock_entry e = { "redis", HEX64, "7.0.15", "stable", 3 };

	assert_int_equal(lock_read(l, &t->paths), 0);
	assert_int_equal(l->n, 0);
	assert_int_equal(lock_remove(l, "redis"), REASON_NOT_FOUND);
	assert_int_equal(lock_put(l, &e), 0);
	(void)snprintf(e.service, sizeof(e.service), "a");
	assert_int_equal(lock_put(l, &e), 0);
	(void)snprintf(e.service, sizeof(e.service), "redis");
	e.counter = 4;
	assert_int_equal(lock_put(l, &e), 0); /* replaces */
	assert_int_equal(lock_write(l, &t->paths), 0);
	memset(l, 0, sizeof(*l));
	assert_int_equal(lock_read(l, &t->paths), 0);
	assert_int_equal(l->n, 2);
	assert_string_equal(l->entries[0].service, "a");
	assert_int_equal(lock_find(l, "redis")->counter, 4);
	assert_int_equal(lock_remove(l, "a"), 0);
	assert_null(lock_find(l, "a"));
	for (int i = 0; i < LOCK_SERVICES_MAX - 1; i++) {
		(void)snprintf(e.service, sizeof(e.service), "s%d", i);
		assert_int_equal(lock_put(l, &e), 0);
	}
	(void)snprintf(e.service, sizeof(e.service), "more");
	assert_int_equal(lock_put(l, &e), REASON_TOO_LARGE);
	assert_int_equal(l->n, LOCK_SERVICES_MAX);
	free(l);
}

static const struct {
	const char *says, *text;
	enum reason reason;
} bad_locks[] = {
	{ "no JSON", "x", REASON_MALFORMED },
	{ "another version", "{\"services\":{},\"v\":0}", REASON_MALFORMED },
	{ "a member more", "{\"services\":{},\"v\":1,\"x\":1}", REASON_UNKNOWN_FIELD },
	{ "an entry without its members", "{\"services\":{\"a\":{}},\"v\":1}", REASON_MALFORMED },
	{ "a release that is no digest",
		"{\"services\":{\"a\":{\"channel\":\"s\",\"counter\":1,\"release\":\"../../"
		"x\",\"version\":\"1\"}},\"v\":1}",
		REASON_MALFORMED },
};

static void
test_bad_locks(void **state)
{
	struct site *t = *state;
	struct lock *l = calloc(1, sizeof(*l));

	for (size_t i = 0; i < ARRAY_LEN(bad_locks); i++) {
		put(t->lib, ".", "cluster.lock", bad_locks[i].text);
		if (lock_read(l, &t->paths) != (int)bad_locks[i].reason || l->n ||
			refuse_last()->reason != bad_locks[i].reason)
			fail_msg("%s", bad_locks[i].says);
	}
	assert_int_equal(unlinkat(t->lib, "cluster.lock", 0), 0);
	assert_int_equal(symlinkat("elsewhere", t->lib, "cluster.lock"), 0);
	/* A link is no file. */
	assert_refused(lock_read(l, &t->paths), REASON_MALFORMED, "cannot be read");
	assert_int_equal(l->n, 0);
	free(l);
}

/* --- ids -------------------------------------------------------------------------------------- */
static void
test_ids(void **state)
{
	struct site *t = *state;
	struct identity id = { .separate = true,
		.uid = { 1, 2, 3, 4, 5 },
		.readers = 6,
		.shims = 7 },
			back = { 0 };

	assert_int_equal(identity_load(&back, &t->paths), REASON_NOT_FOUND);
	assert_int_equal(identity_save(&id, t->run), 0);
	assert_int_equal(identity_load(&back, &t->paths), 0);
	assert_true(back.separate);
	assert_int_equal(back.uid[IDENTITY_SERVICE], 4);
	assert_int_equal(back.readers, 6);
	assert_int_equal(back.shims, 7);
	put(t->run, "supervise", "ids", "separate 1\nking 0\n");
	back.readers = 77;
	assert_int_equal(identity_load(&back, &t->paths), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_int_equal(back.readers, 77);
}

static void
test_service_ids(void **state)
{
	struct site *t = *state;
	struct identity id = { .separate = true, .uid = { 131072 } };
	uid_t redis, nats, again, many = 0;
	char name[16];

	assert_int_equal(identity_service(&id, &t->paths, "redis", &redis), 0);
	assert_int_equal(redis, 131072 + IDENTITY_SERVICES_FIRST);
	assert_int_equal(identity_service(&id, &t->paths, "nats", &nats), 0);
	assert_int_equal(nats, redis + 1);
	assert_int_equal(identity_service(&id, &t->paths, "redis", &again), 0);
	assert_int_equal(again, redis);
	/* The last number, then those of services without data, then no more. */
	assert_int_equal(mkdirat(t->lib, "services/redis", 0700), 0);
	for (int i = 0; i < IDENTITY_PER_STATE - IDENTITY_SERVICES_FIRST - 2; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		assert_int_equal(identity_service(&id, &t->paths, name, &many), 0);
		(void)snprintf(name, sizeof(name), "services/s%d", i);
		assert_int_equal(mkdirat(t->lib, name, 0700), 0);
	}
	assert_int_equal(many, 131072 + IDENTITY_PER_STATE - 1);
	assert_int_equal(identity_service(&id, &t->paths, "late", &again), 0);
	assert_int_equal(again, nats);
	assert_int_equal(mkdirat(t->lib, "services/late", 0700), 0);
	assert_int_equal(identity_service(&id, &t->paths, "later", &again), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(identity_service(&id, &t->paths, "redis", &again), 0);
	assert_int_equal(again, redis);
	id.separate = false;
	assert_int_equal(identity_service(&id, &t->paths, "later", &again), 0);
	assert_int_equal(again, geteuid());
}

static void
test_bad_service_ids(void **state)
{
	static const char *const texts[] = { "x", "[]", "{\"a\":0}", "{\"a\":131072}",
		"{\"a\":600000}", "{\"a\":\"131099\"}" };
	struct site *t = *state;
	struct identity id = { .separate = true, .uid = { 131072 } };
	uid_t uid = 77;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		put(t->lib, "services", ".ids", texts[i]);
		if (identity_service(&id, &t->paths, "a", &uid) != REASON_MALFORMED ||
			refuse_count(REASON_MALFORMED) != before + 1 || uid != 77)
			fail_msg("%s", texts[i]);
	}
	assert_int_equal(unlinkat(t->lib, "services/.ids", 0), 0);
	assert_int_equal(symlinkat("elsewhere", t->lib, "services/.ids"), 0);
	assert_refused(identity_service(&id, &t->paths, "a", &uid), REASON_MALFORMED,
		"no file that can be read");
	assert_int_equal(uid, 77);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_roster, setup, teardown),
		cmocka_unit_test(test_bad_rosters),
		cmocka_unit_test_setup_teardown(test_huge_roster, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state_for_who_may_not_read_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_states, setup, teardown),
		cmocka_unit_test(test_state_names),
		cmocka_unit_test(test_spec),
		cmocka_unit_test(test_spec_whole),
		cmocka_unit_test(test_spec_secrets),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_locks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_service_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_service_ids, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
