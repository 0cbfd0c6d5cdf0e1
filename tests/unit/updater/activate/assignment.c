/* The assignment: what the director may say, and what is refused of it. */
#include "updater/activate/assignment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"

#define DIGEST "sha256:0101010101010101010101010101010101010101010101010101010101010101"
#define GOOD                                                                                       \
	"{\"counter\":5,\"not_after\":\"2026-11-22T00:00:00.000Z\",\"not_before\":\"2026-11-21T00:00:00.000Z\"," \
	"\"releases\":[{\"service\":\"redis\",\"sha256\":\"" DIGEST                              \
	"\",\"target\":\"services/redis/7/index.json\"}],\"site\":\"site1\",\"v\":1}"

#define LASTS(from, to)                                                                            \
	"{\"counter\":5,\"not_after\":\"" to "\",\"not_before\":\"" from "\",\"releases\":[],\"site\":\"site1\",\"v\":1}"

static struct ed25519 *director, *other;
static uint64_t noon;

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(clock_parse(&noon, "2026-11-21T12:00:00Z"), 0);
	return ed25519_generate(&director) ?: ed25519_generate(&other);
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(director);
	ed25519_free(other);
	return 0;
}

/* The signatures' array for a payload, by key, over namespace NUL payload. */
static json_t *
sign(const struct ed25519 *key, const char *ns, const char *payload)
{
	SCOPED(buf_done) struct buf base = BUF_MAX(65536);
	uint8_t sig[ED25519_SIG_LEN];
	char hex[2 * ED25519_SIG_LEN + 1];

	buf_puts(&base, ns);
	buf_u8(&base, 0);
	buf_puts(&base, payload);
	assert_int_equal(ed25519_sign(key, base.data, base.len, sig), 0);
	return json_pack("[{s:s, s:s}]", "keyid", ed25519_keyid(key), "sig", hex_encode(hex, sig, sizeof(sig)));
}

static int
check(struct assignment *ret, const char *payload, json_t *take_sigs, const struct assignment_facts *facts)
{
	SCOPED_JSON *sigs = take_sigs;

	return assignment_check(ret, payload, strlen(payload), sigs, facts);
}

static struct assignment_facts
facts(void)
{
	return (struct assignment_facts){ .site = "site1", .director = ed25519_public(director), .counter = 5,
		.now_us = noon };
}

static void
a_good_one_is_taken_and_kept(void **state)
{
	char dir[] = "/tmp/assignment.XXXXXX";
	struct assignment_facts f = facts();
	struct assignment a, back;
	int fd;

	(void)state;
	assert_int_equal(check(&a, GOOD, sign(director, "assignment@mainstay", GOOD), &f), 0);
	assert_int_equal(a.counter, 5);
	assert_non_null(assignment_find(&a, "redis"));
	assert_null(assignment_find(&a, "nginx"));
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(assignment_load(&back, fd), REASON_NOT_FOUND);
	assert_int_equal(assignment_save(&a, fd), 0);
	assert_int_equal(assignment_load(&back, fd), 0);
	assert_int_equal(back.counter, 5);
	assert_int_equal(back.n, 1);
	assert_memory_equal(back.releases[0].sha256, a.releases[0].sha256, 32);
	assert_int_equal(unlinkat(fd, "assignment.json", 0), 0);
	close(fd);
	rmdir(dir);
}

enum signer { DIRECTOR, OTHER, OTHER_NAMESPACE, FORGED };

static const struct {
	const char *name;
	enum signer signer;
	const char *site;
	uint64_t counter;
	int64_t hours; /* from noon */
	const char *payload;
	enum reason reason;
} rows[] = {
	{ "by another key", OTHER, "site1", 5, 0, GOOD, REASON_UNKNOWN_KEY },
	{ "signed for another purpose", OTHER_NAMESPACE, "site1", 5, 0, GOOD, REASON_BAD_SIGNATURE },
	{ "with the director's id on another's signature", FORGED, "site1", 5, 0, GOOD, REASON_BAD_SIGNATURE },
	{ "for another site", DIRECTOR, "site2", 5, 0, GOOD, REASON_WRONG_ADDRESSEE },
	{ "of yesterday", DIRECTOR, "site1", 5, 13, GOOD, REASON_EXPIRED },
	{ "of tomorrow", DIRECTOR, "site1", 5, -13, GOOD, REASON_NOT_YET_VALID },
	{ "with a counter below the last", DIRECTOR, "site1", 6, 0, GOOD, REASON_ROLLBACK },
	{ "without an end", DIRECTOR, "site1", 5, 0, LASTS("2026-11-21T00:00:00.000Z", "9999-12-31T00:00:00.000Z"), REASON_MALFORMED },
	{ "for a second more than may be", DIRECTOR, "site1", 5, 0, LASTS("2026-11-21T00:00:00.000Z", "2027-02-21T00:00:01.000Z"),
		REASON_MALFORMED },
	{ "that ends before it begins", DIRECTOR, "site1", 5, 0, LASTS("2026-11-22T00:00:00.000Z", "2026-11-21T00:00:00.000Z"),
		REASON_MALFORMED },
	{ "that is no object", DIRECTOR, "site1", 5, 0, "[]", REASON_MALFORMED },
	{ "that lacks members", DIRECTOR, "site1", 5, 0, "{\"v\":1}", REASON_MALFORMED },
};

static void
others_are_refused_and_nothing_is_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct assignment_facts f = facts();
		struct assignment a = { .counter = 77 };
		uint64_t before = refuse_count(rows[i].reason);
		json_t *sigs;
		int r;

		f.site = rows[i].site;
		f.counter = rows[i].counter;
		f.now_us = (uint64_t)((int64_t)noon + rows[i].hours * 3600 * (int64_t)CLOCK_US_PER_S);
		sigs = sign(rows[i].signer == OTHER || rows[i].signer == FORGED ? other : director,
			rows[i].signer == OTHER_NAMESPACE ? "plan@mainstay" : "assignment@mainstay", rows[i].payload);
		if (rows[i].signer == FORGED)
			json_object_set_new(json_array_get(sigs, 0), "keyid", json_string(ed25519_keyid(director)));
		r = check(&a, rows[i].payload, sigs, &f);
		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		assert_int_equal(a.counter, 77);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
	}
}

static void
a_service_twice_is_malformed(void **state)
{
	static const char one[] = "{\"service\":\"redis\",\"sha256\":\"" DIGEST "\",\"target\":\"t\"}";
	char payload[1024];
	struct assignment_facts f = facts();
	struct assignment a;

	(void)state;
	snprintf(payload, sizeof(payload),
		"{\"counter\":5,\"not_after\":\"2026-11-22T00:00:00.000Z\",\"not_before\":\"2026-11-21T00:00:00.000Z\","
		"\"releases\":[%s,%s],\"site\":\"site1\",\"v\":1}",
		one, one);
	assert_int_equal(check(&a, payload, sign(director, "assignment@mainstay", payload), &f), REASON_MALFORMED);
	assert_non_null(strstr(refuse_last()->text, "twice"));
}

static void
an_oversized_one_is_refused_before_it_is_read(void **state)
{
	size_t len = 128 * 1024;
	SCOPED(scope_free) char *big = malloc(len);
	SCOPED_JSON *sigs = json_array();
	struct assignment_facts f = facts();
	struct assignment a;

	(void)state;
	memset(big, 'x', len);
	assert_int_equal(assignment_check(&a, big, len, sigs, &f), REASON_TOO_LARGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_one_is_taken_and_kept),
		cmocka_unit_test(others_are_refused_and_nothing_is_taken),
		cmocka_unit_test(a_service_twice_is_malformed),
		cmocka_unit_test(an_oversized_one_is_refused_before_it_is_read),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
