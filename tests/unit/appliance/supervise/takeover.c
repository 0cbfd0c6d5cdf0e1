/* What a core leaves for the one after it, as the bytes that were written once and for all: a core that reads or says them
 * otherwise does not find the services that run, or the supervisor that it is to be started by.
 *
 * A row that has to change is a promise that is broken: then the release has another SLOTS_STATE_FORMAT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/service/roster.h"
#include "appliance/service/spec.h"
#include "appliance/service/state.h"
#include "appliance/supervise/slots.h"
#include "appliance/supervise/supervise_wire.h"
#include "appliance/trust/sha256.h"

/* run/supervise/spec/NAME of the first version, before networks, secrets and preparations. */
static const char spec_1[] =
	"{\"argv\":[\"/usr/bin/redis-server\",\"/conf/redis.conf\"],\"conf\":\"/l/services/redis/conf\","
	"\"data\":\"/l/services/redis/data\",\"env\":[\"TZ=UTC\"],\"expect\":\"\",\"grace_ms\":10000,\"heal\":\"exit\","
	"\"health\":\"resp\",\"health_failures\":3,\"health_interval_ms\":2000,\"health_timeout_ms\":1500,"
	"\"log\":\"/l/services/redis/log\",\"log_bytes\":67108864,\"name\":\"redis\",\"network\":true,\"nofile\":1024,"
	"\"probe\":[],\"release\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\","
	"\"run\":\"/r/services/redis\",\"socket\":\"redis.sock\",\"start_timeout_ms\":60000,\"tree\":\"/l/store/0011\",\"v\":1}";

/* The second one. */
static const char spec_2[] =
	"{\"argv\":[\"/bin/postgres\"],\"conf\":\"/c\",\"cpu_milli\":1500,\"creates\":\"base\",\"data\":\"/d\","
	"\"database\":\"postgres\",\"env\":[],\"expect\":\"\",\"grace_ms\":60000,\"heal\":\"health\",\"health\":\"postgres\","
	"\"health_failures\":3,\"health_interval_ms\":2000,\"health_timeout_ms\":2000,\"log\":\"/g\",\"log_bytes\":0,"
	"\"memory\":1073741824,\"name\":\"postgresql\",\"net\":\"loopback\",\"nice\":5,\"nofile\":4096,\"path\":\"\","
	"\"port\":5432,\"prepare\":[\"/bin/initdb\"],\"prepare_timeout_ms\":600000,\"probe\":[],\"probe_secrets\":true,"
	"\"processes\":200,\"release\":\"\",\"reload\":[],\"reload_signal\":\"HUP\",\"run\":\"/u\",\"secrets\":[\"admin\"],"
	"\"socket\":\"\",\"start_timeout_ms\":60000,\"stop\":\"INT\",\"tree\":\"/t\",\"user\":\"health\",\"v\":2}";

static void
a_spec_of_the_first_version(void **state)
{
	struct spec s;

	(void)state;
	assert_int_equal(spec_decode(&s, spec_1, strlen(spec_1)), 0);
	assert_string_equal(s.name, "redis");
	assert_string_equal(s.argv[1], "/conf/redis.conf");
	assert_string_equal(s.env[0], "TZ=UTC");
	assert_string_equal(s.tree, "/l/store/0011");
	assert_string_equal(s.socket, "redis.sock");
	assert_int_equal(s.heal, SPEC_HEAL_EXIT);
	assert_int_equal(s.health, SPEC_HEALTH_RESP);
	assert_int_equal(s.health_timeout_ms, 1500);
	assert_int_equal(s.log_bytes, 67108864);
	assert_int_equal(s.network, SPEC_NETWORK_HOST);
	/* What it did not say is as it was then. */
	assert_int_equal(s.stop_signal, SIGTERM);
	assert_int_equal(s.n_secrets, 0);
	assert_int_equal(s.memory, 0);
	assert_null(s.prepare[0]);
	spec_done(&s);
}

/* Also written so: the shim that is started again may be of the core before. */
static void
a_spec_of_the_second_version(void **state)
{
	SCOPED(buf_done) struct buf again = BUF_MAX(SPEC_BYTES_MAX);
	struct spec s;

	(void)state;
	assert_int_equal(spec_decode(&s, spec_2, strlen(spec_2)), 0);
	assert_int_equal(s.health, SPEC_HEALTH_POSTGRES);
	assert_int_equal(s.network, SPEC_NETWORK_LOOPBACK);
	assert_int_equal(s.stop_signal, SIGINT);
	assert_int_equal(s.reload_signal, SIGHUP);
	assert_string_equal(s.secrets[0].name, "admin");
	assert_int_equal(s.secrets[0].fd, -1);
	assert_string_equal(s.creates, "base");
	assert_int_equal(s.cpu_milli, 1500);
	assert_int_equal(spec_encode(&again, &s), 0);
	assert_string_equal(buf_text(&again), spec_2);
	spec_done(&s);
}

static void
a_shims_state_of_the_first_version(void **state)
{
	static const char text[] =
		"{\"boot\":\"b6b0a3a2-0000-4000-8000-000000000001\",\"exit\":-1,\"health\":\"passing\",\"pid\":4242,"
		"\"release\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\",\"restarts\":2,"
		"\"started\":1760000000000000,\"starttime\":123456,\"state\":\"running\"}";
	struct state s;

	(void)state;
	assert_int_equal(state_decode(&s, text, strlen(text)), 0);
	assert_int_equal(s.is, STATE_RUNNING);
	assert_int_equal(s.health, STATE_HEALTH_PASSING);
	assert_int_equal(s.pid, 4242);
	assert_int_equal(s.start_time, 123456);
	assert_int_equal(s.started_us, 1760000000000000);
	assert_int_equal(s.restarts, 2);
	assert_int_equal(s.exit, -1);
	assert_string_equal(s.boot, "b6b0a3a2-0000-4000-8000-000000000001");
	assert_false(s.lost_secrets);
	assert_string_equal(s.why, "");
}

/* Read, and written: `run --down` and the monitor of either core look into it. */
static void
a_roster(void **state)
{
	static const char text[] = "mainstay-roster 1 b6b0a3a2-0000-4000-8000-000000000001\n"
				   "run - 10 100 1 0\n"
				   "supervise - 11 101 1 0\n"
				   "monitor - 12 102 1 3\n"
				   "collectd - 13 103 0 0\n"
				   "courier - 0 0 0 1\n"
				   "judge 7 14 104 1 0\n"
				   "operate 8 15 105 1 0\n"
				   "activate 9 16 106 1 0\n"
				   "notify 10 17 107 1 0\n"
				   "shim redis 18 108 1 0\n";
	SCOPED(scope_free) struct roster *r = calloc(1, sizeof(*r));
	SCOPED(buf_done) struct buf again = BUF_MAX(ROSTER_BYTES_MAX);
	const char *boot = "b6b0a3a2-0000-4000-8000-000000000001";

	(void)state;
	assert_int_equal(roster_parse(r, text, strlen(text), boot), 0);
	assert_int_equal(r->n, 10);
	assert_int_equal(roster_find(r, ROSTER_SHIM, "redis")->pid, 18);
	assert_int_equal(roster_find(r, ROSTER_MONITOR, NULL)->restarts, 3);
	assert_int_equal(roster_text(&again, r, boot), 0);
	assert_string_equal(buf_text(&again), text);
}

/* lib/core/slots.N: run is of the package, which no release replaces. */
static void
slots_as_they_lie_on_the_disk(void **state)
{
	static const char hex[] = "6d73636f7265310a"	 /* mscore1 */
				  "0000000000000007"	 /* generation */
				  "020103000301"	 /* a runs, before it the package; b is on trial; why, tries */
				  "0000ea60" "00002710"	 /* 60 s, 10 s */
				  "01" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				  "0000000000000003" "03312e32"
				  "01" "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
				  "0000000000000004" "03312e33"
				  "05302e312e30"	 /* the package */
				  "00000000000003e8" "0162" /* when, in which boot */
				  "0a6d61696e737461792d31" "0a6d61696e737461792d31"; /* forms */
	SCOPED(buf_done) struct buf again = BUF_MAX(SLOTS_BYTES_MAX);
	uint8_t bytes[SLOTS_BYTES_MAX];
	size_t len = strlen(hex) / 2;
	struct slots s;

	(void)state;
	assert_true(hex_decode(bytes, len, hex));
	sha256_of(bytes + len, bytes, len);
	len += SHA256_LEN;
	assert_int_equal(slots_parse(&s, bytes, len), 0);
	assert_int_equal(s.active, SLOTS_A);
	assert_int_equal(s.previous, SLOTS_PACKAGED);
	assert_int_equal(s.trial, SLOTS_B);
	assert_int_equal(s.why, SLOTS_WHY_SILENT);
	assert_int_equal(s.tries, 1);
	assert_int_equal(s.trial_ms, 60000);
	assert_int_equal(s.soak_ms, 10000);
	assert_int_equal(s.tree[1].counter, 4);
	assert_string_equal(s.tree[1].version, "1.3");
	assert_int_equal(s.begun_ms, 1000);
	assert_string_equal(s.boot, "b");
	assert_string_equal(s.format, "mainstay-1");
	assert_int_equal(slots_write(&again, &s), 0);
	assert_int_equal(again.len, len);
	assert_memory_equal(again.data, bytes, len);
}

/* The monitor of one core and the supervisor of another meet only until both are of the same; yet `run --down` and a core
 * on trial that was killed half way must be understood. */
static void
frames_of_the_supervisors_socket(void **state)
{
	static const struct {
		const char *hex;
		enum supervise_type type;
		const char *name, *reason;
		uint64_t kind, pid;
	} rows[] = {
		{ "4d53010000010001" "00000009" "0001" "00000008" "0000000000000005", SUPERVISE_SPAWN, NULL, NULL, 5, 0 },
		{ "4d53010000020001" "00000009" "0002" "00000005" "7265646973", SUPERVISE_SHIM, "redis", NULL, 0, 0 },
		{ "4d53010000030001" "00000009" "0002" "00000005" "7265646973", SUPERVISE_STOP, "redis", NULL, 0, 0 },
		{ "4d53010000050000" "00000009", SUPERVISE_LIST, NULL, NULL, 0, 0 },
		{ "4d53010000060001" "00000009" "0003" "00000008" "0000000000000102", SUPERVISE_OK, NULL, NULL, 0, 258 },
		{ "4d53010000070001" "00000009" "0006" "00000004" "62757379", SUPERVISE_REFUSED, NULL, "busy", 0, 0 },
		{ "4d53010000080003" "00000009" "0001" "00000008" "0000000000000009" "0002" "00000005" "7265646973"
		  "0003" "00000008" "0000000000000102", SUPERVISE_EXITED, "redis", NULL, 9, 258 },
		{ "4d53010000090001" "00000009" "0002" "00000005" "7265646973", SUPERVISE_RELOAD, "redis", NULL, 0, 0 },
		{ "4d530100000c0001" "00000009" "0002" "00000005" "7265646973", SUPERVISE_LOOK, "redis", NULL, 0, 0 },
		{ "4d530100000a0000" "00000009", SUPERVISE_SWITCH, NULL, NULL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct frame f = { 0 };
		uint8_t bytes[256];
		size_t len = strlen(rows[i].hex) / 2;
		uint64_t n = 0;

		assert_true(hex_decode(bytes, len, rows[i].hex));
		assert_int_equal(frame_parse(&f, bytes, len), 0);
		assert_int_equal(f.type, rows[i].type);
		assert_int_equal(f.id, 9);
		if (rows[i].name)
			assert_string_equal(frame_text(&f, SUPERVISE_TAG_NAME, ROSTER_ID_MAX), rows[i].name);
		if (rows[i].reason)
			assert_string_equal(frame_text(&f, SUPERVISE_TAG_REASON, 32), rows[i].reason);
		assert_int_equal(frame_u64(&f, SUPERVISE_TAG_KIND, &n), rows[i].kind != 0);
		assert_int_equal(n, rows[i].kind);
		n = 0;
		assert_int_equal(frame_u64(&f, SUPERVISE_TAG_PID, &n), rows[i].pid != 0);
		assert_int_equal(n, rows[i].pid);
		frame_done(&f);
	}
	/* The roles that KIND tells by number. */
	assert_int_equal(ROSTER_JUDGE, 5);
	assert_int_equal(ROSTER_OPERATE, 6);
	assert_int_equal(ROSTER_ACTIVATE, 7);
	assert_int_equal(ROSTER_NOTIFY, 8);
	assert_int_equal(ROSTER_SHIM, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spec_of_the_first_version),
		cmocka_unit_test(a_spec_of_the_second_version),
		cmocka_unit_test(a_shims_state_of_the_first_version),
		cmocka_unit_test(a_roster),
		cmocka_unit_test(slots_as_they_lie_on_the_disk),
		cmocka_unit_test(frames_of_the_supervisors_socket),
	};

	return cmocka_run_group_tests_name("takeover", tests, NULL, NULL);
}
