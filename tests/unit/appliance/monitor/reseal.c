/* What a former site key signed and the hub never took is signed once more by the present one. */
#include "appliance/monitor/reseal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"

static struct ed25519 *former, *present;

static int
setup(void **state)
{
	(void)state;
	return ed25519_generate(&former) || ed25519_generate(&present);
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(former);
	ed25519_free(present);
	return 0;
}

/* A body as it lies in the outbox. */
static char *
body_of(const char *kind, enum message type, const struct ed25519 *by)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s}", "v", 1, "what", kind);
	SCOPED_JSON *doc = NULL;
	json_t *envelope = NULL;

	assert_int_equal(envelope_seal(&envelope, type, payload, by), 0);
	doc = json_pack("{s:i, s:s, s:o}", "v", 1, "kind", kind, "envelope", envelope);
	return json_dumps(doc, JSON_COMPACT);
}

/* Is it changed, and by the present key then? */
static bool
resealed(const char *kind, enum message type, const struct ed25519 *by)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 20);
	SCOPED(scope_free) char *body = body_of(kind, type, by);
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED_JSON *doc = NULL;

	assert_int_equal(reseal_answer(&out, body, strlen(body), present), 0);
	if (out.len == 0)
		return false;
	assert_int_equal(json_read_canonical(&doc, out.data, out.len, out.max, "body"), 0);
	assert_string_equal(json_text(doc, "kind"), kind);
	assert_int_equal(envelope_open_json(&e, type, json_object_get(doc, "envelope")), 0);
	assert_int_equal(e->n_sigs, 2);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(present)), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(former)), 0);
	return true;
}

static void
test_every_message_of_the_results_stream(void **state)
{
	static const struct {
		const char *kind;
		enum message type;
	} rows[] = {
		{ "plan", MESSAGE_PLAN },
		{ "result", MESSAGE_RESULT },
		{ "progress", MESSAGE_PROGRESS },
		{ "permits", MESSAGE_PERMITS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!resealed(rows[i].kind, rows[i].type, former))
			fail_msg("%s", rows[i].kind);
		assert_false(resealed(rows[i].kind, rows[i].type, present)); /* it has it already */
	}
}

static void
test_what_is_left_as_it_is(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 20);

	(void)state;
	assert_false(resealed("statement", MESSAGE_STATEMENT, former));
	assert_int_equal(reseal_answer(&out, "no json", 7, present), 0);
	assert_int_equal(reseal_answer(&out, "{\"kind\":\"plan\"}", 15, NULL), 0);
	assert_int_equal(out.len, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_message_of_the_results_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_left_as_it_is, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
