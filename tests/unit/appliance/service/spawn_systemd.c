/* The spawner over sd-bus, against a PID 1 that a test plays. */
#include "appliance/service/spawn_systemd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/service/parcel.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn.h"
#include "tests/fakes/scratch.h"

enum { NOT_DONE = -12345, CALLS_MAX = 80, HURRY = 4 };

/* In place of the library's: timers of this program run four times as fast. */
int
sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
	uint64_t accuracy, sd_event_time_handler_t fn, void *arg)
{
	uint64_t now;
	int r = sd_event_now(e, clock, &now);

	return r < 0 ? r : sd_event_add_time(e, ret, clock, now + usec / HURRY, accuracy, fn, arg);
}

struct bench {
	struct scratch s;
	struct paths paths;
	sd_event *loop;
	struct spawner *spawner;
	char address[160];
	int listen_fd;
	struct loop_watch *listening;
	sd_bus *bus; /* PID 1's end */
	const char *shims[65]; /* that it lists */
	bool silent;	       /* it answers no call but what runs */
	const char *error;     /* it answers so */
	size_t n_calls;
	char calls[CALLS_MAX][160];
	char unit[128];
	bool has_stdin;
	int result;
	pid_t pid;
	char exited[64];
	int status;
};

/* --- PID 1 ------------------------------------------------------------------------------------ */
static int
answer_list(struct bench *b, sd_bus_message *m)
{
	sd_bus_message *out = NULL;
	char unit[128], *path = NULL;

	assert_true(sd_bus_message_new_method_return(m, &out) >= 0);
	assert_true(sd_bus_message_open_container(out, 'a', "(ssssssouso)") >= 0);
	for (size_t i = 0; b->shims[i]; i++) {
		(void)snprintf(unit, sizeof(unit), "mainstay-service-%s.service", b->shims[i]);
		assert_true(sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) >= 0);
		assert_true(sd_bus_message_append(out, "(ssssssouso)", unit, "", "loaded", "active", "running", "", path, 0, "",
				    "/") >= 0);
		free(path);
	}
	assert_true(sd_bus_message_close_container(out) >= 0);
	assert_true(sd_bus_send(b->bus, out, NULL) >= 0);
	sd_bus_message_unref(out);
	return 1;
}

/* Where stdin is among the properties of a unit, and what kind of thing it is. */
static void
look_for_stdin(struct bench *b, sd_bus_message *m)
{
	const char *name, *type;
	int fd;

	assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		assert_true(sd_bus_message_read_basic(m, 's', &name) > 0);
		if (strcmp(name, "StandardInputFileDescriptor") == 0) {
			assert_true(sd_bus_message_peek_type(m, NULL, &type) > 0);
			assert_true(sd_bus_message_read(m, "v", "h", &fd) > 0);
			b->has_stdin = fcntl(fd, F_GETFD) >= 0;
		} else {
			assert_true(sd_bus_message_skip(m, "v") > 0);
		}
		assert_true(sd_bus_message_exit_container(m) > 0);
	}
}

static int
on_call(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	const char *member = sd_bus_message_get_member(m), *unit = "", *what = "";
	struct bench *b = arg;
	int sig = 0;

	(void)unused;
	if (!sd_bus_message_is_method_call(m, NULL, NULL))
		return 0;
	if (strcmp(member, "ListUnitsByPatterns") == 0)
		return answer_list(b, m);
	if (strcmp(member, "GetAll") == 0)
		return sd_bus_reply_method_return(m, "a{sv}", 2, "MainPID", "u", (uint32_t)getpid(), "NRestarts", "u", 2u);
	assert_true(sd_bus_message_read(m, "ss", &unit, &what) > 0);
	if (strcmp(member, "KillUnit") == 0)
		assert_true(sd_bus_message_read(m, "i", &sig) > 0);
	(void)snprintf(b->calls[b->n_calls++], sizeof(b->calls[0]), "%s %s %s %d", member, unit, what, sig);
	(void)snprintf(b->unit, sizeof(b->unit), "%s", unit);
	if (strcmp(member, "StartTransientUnit") == 0)
		look_for_stdin(b, m);
	if (b->silent)
		return 1;
	if (b->error)
		return sd_bus_reply_method_errorf(m, b->error, "no");
	if (strcmp(member, "KillUnit") == 0)
		return sd_bus_reply_method_return(m, "");
	return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/7");
}

static void
on_connection(uint32_t revents, void *arg)
{
	struct bench *b = arg;
	int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	assert_true(fd >= 0);
	b->bus = sd_bus_close_unref(b->bus);
	assert_true(sd_bus_new(&b->bus) >= 0);
	assert_true(sd_bus_set_fd(b->bus, fd, fd) >= 0);
	assert_true(sd_bus_set_server(b->bus, 1, SD_ID128_MAKE(1, 2, 3, 4, 5, 6, 7, 8, 9, a, b, c, d, e, f, 0)) >= 0);
	assert_true(sd_bus_negotiate_fds(b->bus, 1) >= 0);
	assert_true(sd_bus_start(b->bus) >= 0);
	assert_true(sd_bus_attach_event(b->bus, b->loop, 0) >= 0);
	assert_true(sd_bus_add_filter(b->bus, NULL, on_call, b) >= 0);
}

static void
tell(struct bench *b, const char *unit, const char *interface, const char *name, const char *type, ...)
{
	sd_bus_message *m = NULL;
	char *path = NULL;
	va_list ap;

	assert_true(sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) >= 0);
	assert_true(sd_bus_message_new_signal(b->bus, &m, path, "org.freedesktop.DBus.Properties", "PropertiesChanged") >= 0);
	assert_true(sd_bus_message_append(m, "s", interface) >= 0);
	assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
	assert_true(sd_bus_message_append(m, "{sv}", "Other", "as", 1, "skipped") >= 0);
	assert_true(sd_bus_message_open_container(m, 'e', "sv") >= 0);
	assert_true(sd_bus_message_append(m, "s", name) >= 0);
	assert_true(sd_bus_message_open_container(m, 'v', type) >= 0);
	va_start(ap, type);
	assert_true(sd_bus_message_appendv(m, type, ap) >= 0);
	va_end(ap);
	for (int i = 0; i < 3; i++)
		assert_true(sd_bus_message_close_container(m) >= 0);
	assert_true(sd_bus_message_append(m, "as", 0) >= 0);
	assert_true(sd_bus_send(b->bus, m, NULL) >= 0);
	sd_bus_message_unref(m);
	free(path);
}

#define SERVICE "org.freedesktop.systemd1.Service"
#define UNIT "org.freedesktop.systemd1.Unit"

static void
job_removed(struct bench *b, const char *result)
{
	assert_true(sd_bus_emit_signal(b->bus, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobRemoved",
			    "uoss", 7u, "/org/freedesktop/systemd1/job/7", b->unit, result) >= 0);
}

/* --- the bench -------------------------------------------------------------------------------- */
static void
on_done(int r, pid_t pid, void *arg)
{
	struct bench *b = arg;

	b->result = r;
	b->pid = pid;
}

static void
on_exited(enum spawn_kind kind, const char *name, pid_t pid, int status, void *arg)
{
	struct bench *b = arg;

	(void)snprintf(b->exited, sizeof(b->exited), "%d %s %ld", (int)kind, name, (long)pid);
	b->status = status;
}

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int run;

	scratch_make(&b->s);
	assert_int_equal(fs_paths(&b->paths, b->s.path), 0);
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, b->paths.run, 0755), 0);
	close(run);
	assert_int_equal(loop_new(&b->loop, NULL, NULL), 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/pid1", b->s.path);
	(void)snprintf(b->address, sizeof(b->address), "unix:path=%s/pid1", b->s.path);
	b->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(b->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(b->listen_fd, 4), 0);
	assert_int_equal(loop_watch(&b->listening, b->loop, b->listen_fd, EPOLLIN, on_connection, b), 0);
	assert_int_equal(spawn_systemd_new(&b->spawner, b->loop, &b->paths, b->address), 0);
	spawn_on_exited(b->spawner, on_exited, b);
	b->result = NOT_DONE;
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	spawn_free(b->spawner);
	loop_unwatch(b->listening);
	close(b->listen_fd);
	b->bus = sd_bus_close_unref(b->bus);
	sd_event_unref(b->loop);
	scratch_remove(&b->s);
	free(b);
	return 0;
}

static void
turn_until(struct bench *b, bool (*is)(const struct bench *))
{
	for (int i = 0; i < 400 && !is(b); i++)
		(void)sd_event_run(b->loop, 10000);
	assert_true(is(b));
}

static bool
is_asked(const struct bench *b)
{
	return b->n_calls > 0;
}

static bool
is_done(const struct bench *b)
{
	return b->result != NOT_DONE;
}

static bool
has_exited(const struct bench *b)
{
	return b->exited[0] != '\0';
}

static void
turn(struct bench *b, int ms)
{
	for (int i = 0; i < ms / 5; i++)
		(void)sd_event_run(b->loop, 5000);
}

static void
start_worker(struct bench *b, enum spawn_kind kind)
{
	int pair[2];

	assert_int_equal(frame_pair(pair), 0);
	assert_int_equal(spawn_worker(b->spawner, kind, NULL, pair[0], on_done, b), 0);
	close(pair[1]);
}

static void
start_shim(struct bench *b, const char *service)
{
	int spec, secret;

	assert_int_equal(fs_memfd(&spec, "spec", "spec", 4), 0);
	assert_int_equal(fs_memfd(&secret, "secret", "secret", 6), 0);
	assert_int_equal(spawn_shim(b->spawner,
				 &(struct spawn_shim){ .service = service, .spec = spec, .secrets = &secret, .n_secrets = 1,
					 .memory = 1 << 20, .processes = 5, .cpu_milli = 100 },
				 on_done, b),
		0);
	close(spec);
	close(secret);
}

static bool
on_roster(struct bench *b, enum roster_role role, const char *id, pid_t pid)
{
	SCOPED(scope_free) struct roster *r = malloc(sizeof(*r));
	const struct roster_entry *e;

	assert_int_equal(roster_load(r, &b->paths), 0);
	e = roster_find(r, role, id);
	return e && e->pid == pid;
}

static void
refused(struct bench *b, enum reason reason, const char *operand)
{
	uint64_t before = refuse_count(reason);

	turn_until(b, is_done);
	assert_int_equal(b->result, reason);
	assert_int_equal(refuse_last()->reason, reason);
	assert_string_equal(refuse_last()->operand, operand);
	assert_int_equal(refuse_count(reason), before + 1);
	b->result = NOT_DONE;
}

/* --- tests ------------------------------------------------------------------------------------ */
static void
a_worker_from_start_to_end(void **state)
{
	struct bench *b = *state;
	char expected[64];

	start_worker(b, SPAWN_JUDGE);
	turn_until(b, is_asked);
	assert_int_equal(strncmp(b->calls[0], "StartTransientUnit mainstay-work-judge-", 39), 0);
	assert_true(b->has_stdin);
	turn(b, 50);
	assert_int_equal(b->result, NOT_DONE); /* it was asked for, no more */
	tell(b, b->unit, SERVICE, "MainPID", "u", (uint32_t)getpid());
	tell(b, b->unit, UNIT, "ActiveState", "s", "inactive"); /* as PID 1 says in the middle of a start */
	turn(b, 50);
	assert_string_equal(b->exited, "");
	tell(b, b->unit, UNIT, "ActiveState", "s", "active");
	job_removed(b, "done");
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	assert_int_equal(b->pid, getpid());
	assert_true(on_roster(b, ROSTER_JUDGE, NULL, getpid()));
	b->result = NOT_DONE;
	assert_int_equal(spawn_kill(b->spawner, getpid(), SIGKILL, on_done, b), 0);
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	assert_non_null(strstr(b->calls[1], " all 9"));
	tell(b, b->unit, SERVICE, "ExecMainCode", "i", CLD_EXITED);
	tell(b, b->unit, SERVICE, "ExecMainStatus", "i", 3); /* without the code it says nothing */
	tell(b, b->unit, SERVICE, "MainPID", "u", 0u);
	tell(b, b->unit, UNIT, "ActiveState", "s", "failed");
	turn_until(b, has_exited);
	(void)snprintf(expected, sizeof(expected), "%d  %ld", SPAWN_JUDGE, (long)getpid());
	assert_string_equal(b->exited, expected);
	assert_true(WIFEXITED(b->status));
	assert_false(on_roster(b, ROSTER_JUDGE, NULL, getpid()));
}

static void
a_worker_that_could_not_be_started(void **state)
{
	struct bench *b = *state;

	start_worker(b, SPAWN_OPERATE);
	turn_until(b, is_asked);
	turn(b, 50);
	job_removed(b, "failed");
	turn_until(b, is_done);
	assert_true(b->result < 0);
}

static void
a_shim_that_is_started_again(void **state)
{
	struct bench *b = *state;

	start_shim(b, "redis");
	turn_until(b, is_asked);
	assert_string_equal(b->calls[0], "StartTransientUnit mainstay-service-redis.service fail 0");
	assert_true(b->has_stdin);
	tell(b, b->unit, SERVICE, "MainPID", "u", (uint32_t)getpid());
	turn(b, 50);
	job_removed(b, "done");
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	/* Killed: PID 1 says failed for a moment. */
	tell(b, b->unit, SERVICE, "MainPID", "u", 0u);
	tell(b, b->unit, UNIT, "ActiveState", "s", "failed");
	tell(b, b->unit, UNIT, "ActiveState", "s", "activating");
	tell(b, b->unit, SERVICE, "MainPID", "u", (uint32_t)getppid());
	turn(b, 100);
	assert_string_equal(b->exited, "");
	assert_true(on_roster(b, ROSTER_SHIM, "redis", getppid()));
	/* For good. */
	tell(b, b->unit, SERVICE, "MainPID", "u", 0u);
	tell(b, b->unit, UNIT, "ActiveState", "s", "inactive");
	turn_until(b, has_exited);
	assert_false(on_roster(b, ROSTER_SHIM, "redis", 0));
}

static void
what_runs_already_is_found(void **state)
{
	struct bench *b = *state;

	b->shims[0] = "redis";
	assert_int_equal(spawn_reload_shim(b->spawner, "redis", on_done, b), 0);
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	assert_string_equal(b->calls[0], "KillUnit mainstay-service-redis.service main 1");
	assert_true(on_roster(b, ROSTER_SHIM, "redis", getpid()));
	b->result = NOT_DONE;
	assert_int_equal(spawn_stop_shim(b->spawner, "redis", on_done, b), 0);
	turn_until(b, is_done);
	assert_string_equal(b->calls[1], "StopUnit mainstay-service-redis.service replace 0");
	b->result = NOT_DONE;
	assert_int_equal(spawn_switch_core(b->spawner, on_done, b), 0);
	turn_until(b, is_done);
	assert_string_equal(b->calls[2], "RestartUnit mainstay-core.service replace 0");
	/* PID 1 is executed anew, and the shim ended meanwhile. */
	b->shims[0] = NULL;
	b->bus = sd_bus_close_unref(b->bus);
	turn_until(b, has_exited);
	assert_int_equal(b->status, -1);
}

/* PID 1 says of each unit that it is gone, and means that it reads its files anew; what ended meanwhile its list says. */
static void
a_reload_of_pid_1_ends_nothing(void **state)
{
	struct bench *b = *state;
	const char *manager = "org.freedesktop.systemd1.Manager", *path = "/org/freedesktop/systemd1";

	b->shims[0] = "redis";
	b->shims[1] = "nginx";
	assert_int_equal(spawn_reload_shim(b->spawner, "redis", on_done, b), 0);
	turn_until(b, is_done);
	assert_true(sd_bus_emit_signal(b->bus, path, manager, "Reloading", "b", 1) >= 0);
	assert_true(sd_bus_emit_signal(b->bus, path, manager, "UnitRemoved", "so", "mainstay-service-redis.service", path) >= 0);
	assert_true(sd_bus_emit_signal(b->bus, path, manager, "UnitRemoved", "so", "mainstay-service-nginx.service", path) >= 0);
	tell(b, "mainstay-service-redis.service", UNIT, "ActiveState", "s", "inactive");
	turn(b, 50);
	assert_string_equal(b->exited, "");
	b->shims[1] = NULL;
	for (int again = 0; again < 3; again++) /* the next before it is known what runs after the one */
		assert_true(sd_bus_emit_signal(b->bus, path, manager, "Reloading", "b", 0) >= 0);
	turn_until(b, has_exited);
	assert_non_null(strstr(b->exited, " nginx "));
	b->result = NOT_DONE;
	assert_int_equal(spawn_stop_shim(b->spawner, "redis", on_done, b), 0);
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	assert_true(on_roster(b, ROSTER_SHIM, "redis", getpid()));
}

/* That a start of it may wait in PID 1 is none of ours: its unit says whether it comes to run. */
static void
the_courier_is_started_and_ended(void **state)
{
	struct bench *b = *state;

	assert_true(spawn_has_courier(b->spawner));
	assert_int_equal(spawn_courier(b->spawner, false, on_done, b), 0);
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	assert_int_equal(b->n_calls, 0); /* it does not run */
	b->result = NOT_DONE;
	assert_int_equal(spawn_courier(b->spawner, true, on_done, b), 0);
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	assert_string_equal(b->calls[0], "StartUnit mainstay-courier.service replace 0");
	tell(b, "mainstay-courier.service", SERVICE, "MainPID", "u", (uint32_t)getpid());
	turn(b, 50);
	b->result = NOT_DONE;
	assert_int_equal(spawn_courier(b->spawner, false, on_done, b), 0);
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	assert_string_equal(b->calls[1], "StopUnit mainstay-courier.service replace 0");
}

static void
what_is_refused(void **state)
{
	struct bench *b = *state;

	b->shims[0] = "redis";
	start_shim(b, "redis");
	refused(b, REASON_CONFLICT, "redis");
	start_shim(b, "no name");
	refused(b, REASON_MALFORMED, "shim");
	start_shim(b, "9lives");
	refused(b, REASON_MALFORMED, "shim");
	assert_int_equal(spawn_stop_shim(b->spawner, "nginx", on_done, b), 0);
	refused(b, REASON_NOT_FOUND, "nginx");
	assert_int_equal(spawn_reload_shim(b->spawner, "nginx", on_done, b), 0);
	refused(b, REASON_NOT_FOUND, "nginx");
	assert_int_equal(spawn_kill(b->spawner, 1, SIGTERM, on_done, b), 0);
	refused(b, REASON_NOT_FOUND, "kill");
	assert_int_equal(b->n_calls, 0); /* PID 1 was not even asked */
	b->error = "org.freedesktop.systemd1.NoSuchUnit";
	assert_int_equal(spawn_stop_shim(b->spawner, "redis", on_done, b), 0);
	refused(b, REASON_NOT_FOUND, "redis");
	b->error = "org.freedesktop.systemd1.UnitExists";
	start_shim(b, "nginx");
	refused(b, REASON_CONFLICT, "nginx");
	b->error = NULL; /* what was not started is not known as running: PID 1 is asked once more */
	b->n_calls = 0;
	start_shim(b, "nginx");
	turn_until(b, is_asked);
	tell(b, b->unit, UNIT, "ActiveState", "s", "active");
	turn(b, 20);
	job_removed(b, "done");
	turn_until(b, is_done);
	assert_int_equal(b->result, 0);
	b->result = NOT_DONE;
	b->error = "org.freedesktop.DBus.Error.AccessDenied";
	start_worker(b, SPAWN_NOTIFY);
	turn_until(b, is_done);
	assert_true(b->result < 0);
}

static void
what_is_too_many(void **state)
{
	static char names[65][8];
	struct bench *b = *state;

	for (int i = 0; i < 64; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "s%d", i);
		b->shims[i] = names[i];
	}
	start_shim(b, "redis");
	refused(b, REASON_BUSY, "redis");
	b->silent = true;
	start_worker(b, SPAWN_ACTIVATE);
	start_worker(b, SPAWN_ACTIVATE);
	turn_until(b, is_asked);
	turn(b, 20);
	start_worker(b, SPAWN_ACTIVATE);
	refused(b, REASON_BUSY, "activate");
}

static void
a_pid_1_that_goes_away_or_says_nothing(void **state)
{
	struct bench *b = *state;

	b->silent = true;
	start_shim(b, "redis");
	turn_until(b, is_asked);
	b->bus = sd_bus_close_unref(b->bus);
	refused(b, REASON_UNREACHABLE, "systemd");
	assert_string_equal(refuse_last()->text, "went away before it answered");
	/* It comes back, says yes, and goes before it was done. */
	b->silent = false;
	b->n_calls = 0;
	start_shim(b, "redis");
	turn_until(b, is_asked);
	turn(b, 20);
	b->bus = sd_bus_close_unref(b->bus);
	refused(b, REASON_UNREACHABLE, "systemd");
	assert_string_equal(refuse_last()->text, "went away before it answered");
	b->silent = true;
	/* It comes back, and does not answer in (hurried) ten seconds. */
	b->n_calls = 0;
	start_shim(b, "nginx");
	turn_until(b, is_asked);
	refused(b, REASON_UNREACHABLE, "systemd");
	assert_string_equal(refuse_last()->text, "did not answer in 10 s");
}

/* --- what a shim is handed --------------------------------------------------------------------- */
static void
a_parcel_there_and_back(void **state)
{
	int files[PARCEL_FILES_MAX + 1], back[PARCEL_FILES_MAX], fd;
	char text[16] = "";
	size_t n = 0;

	(void)state;
	assert_int_equal(fs_memfd(&files[0], "spec", "the spec", 8), 0);
	assert_int_equal(fs_memfd(&files[1], "secret", "", 0), 0);
	assert_int_equal(parcel_make(&fd, files, 2), 0);
	assert_int_equal(parcel_take(fd, back, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(pread(back[0], text, sizeof(text), 0), 8);
	assert_string_equal(text, "the spec");
	assert_int_equal(pread(back[1], text, sizeof(text), 0), 0);
	assert_true(fcntl(back[0], F_GET_SEALS) & F_SEAL_WRITE);
	for (int i = 0; i < 2; i++) {
		close(back[i]);
		close(files[i]);
	}
	close(fd);
}

static void
a_parcel_that_is_too_much(void **state)
{
	static uint8_t large[PARCEL_FILE_MAX + 1];
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	int files[PARCEL_FILES_MAX + 1], fd = -1;

	(void)state;
	assert_int_equal(fs_memfd(&files[0], "large", large, sizeof(large)), 0);
	assert_int_equal(parcel_make(&fd, files, 1), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	for (int i = 1; i <= PARCEL_FILES_MAX; i++)
		files[i] = files[0];
	assert_int_equal(parcel_make(&fd, files, PARCEL_FILES_MAX + 1), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 2);
	assert_int_equal(fd, -1);
	close(files[0]);
}

static void
a_parcel_that_is_none(void **state)
{
	static const struct {
		const char *why, *bytes;
		size_t len;
	} rows[] = {
		{ "nothing", "", 0 },
		{ "another magic", "mainstay-shim-2\n\0\0\0\1\0\0\0\0", 24 },
		{ "no file", "mainstay-shim-1\n\0\0\0\0", 20 },
		{ "too many files", "mainstay-shim-1\n\0\0\0\12", 20 },
		{ "a file that is cut", "mainstay-shim-1\n\0\0\0\1\0\0\0\2x", 25 },
		{ "a file that is not there", "mainstay-shim-1\n\0\0\0\2\0\0\0\1x", 25 },
		{ "bytes left over", "mainstay-shim-1\n\0\0\0\1\0\0\0\1xy", 26 },
	};
	int back[PARCEL_FILES_MAX], fd;
	size_t n = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(fs_memfd(&fd, "parcel", rows[i].bytes, rows[i].len), 0);
		if (parcel_take(fd, back, &n) != REASON_MALFORMED)
			fail_msg("%s was taken", rows[i].why);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_int_equal(n, 77);
		close(fd);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_worker_from_start_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_worker_that_could_not_be_started, setup, teardown),
		cmocka_unit_test_setup_teardown(a_shim_that_is_started_again, setup, teardown),
		cmocka_unit_test_setup_teardown(what_runs_already_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reload_of_pid_1_ends_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_courier_is_started_and_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pid_1_that_goes_away_or_says_nothing, setup, teardown),
		cmocka_unit_test(a_parcel_there_and_back),
		cmocka_unit_test(a_parcel_that_is_too_much),
		cmocka_unit_test(a_parcel_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
