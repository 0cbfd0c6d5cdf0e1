/* A site key gives its place to another: the site's end, and power that fails on the way. */
#include "appliance/monitor/rotation.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/enrol/rotate.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

static void
hello(struct site_test *t)
{
	struct ed25519 *courier = NULL;

	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(courier)), NULL, 0, NULL),
		0);
	ed25519_free(courier);
}

static json_t *
begin(struct site_test *t)
{
	json_t *begun = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "rotate.begin", NULL, NULL, 0, &begun), 0);
	return begun;
}

/* The hub's answer about a key (hex), signed by `by`; nonce NULL: it came as a file. */
static int
finish(struct site_test *t, const json_t *begun, bool by_file, int status, const struct ed25519 *by, const char *key)
{
	const char *nonce = json_text(begun, "nonce");
	struct httpsig_header headers[4];
	struct httpsig_message msg = { .status = status, .headers = headers };
	struct httpsig_fields fields = { 0 };
	json_t *params = by_file ? json_object() : json_pack("{s:s}", "nonce", nonce);
	uint8_t digest[32];
	char body[256], text[8];
	int r;

	(void)snprintf(body, sizeof(body), "{\"v\":1,\"site\":\"site1\",\"key\":\"%s\"}", key);
	(void)snprintf(text, sizeof(text), "%d", status);
	sha256_of(digest, body, strlen(body));
	assert_int_equal(httpsig_sign_reply(&fields, &msg, digest, nonce, by, clock_now_us()), 0);
	json_object_set_new(params, "status", json_string(text));
	json_object_set_new(params, "signature_input", json_string(fields.input));
	json_object_set_new(params, "signature", json_string(fields.signature));
	json_object_set_new(params, "content_digest", json_string(fields.digest));
	r = site_call(t, CALL_ROLE_CONTROL, "rotate.finish", params, body, strlen(body), NULL);
	httpsig_fields_done(&fields);
	return r;
}

static bool
has_file(struct site_test *t, const char *name)
{
	return faccessat(t->m->dir_fd, name, F_OK, 0) == 0;
}

static void
a_rotation_ends_with_the_hubs_word_and_a_leaf(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *begun = NULL;
	char old[65], next[65];

	assert_int_equal(clone_notice(t->m, "hub", "two speak", REASON_CONFLICT), 0);
	hello(t);
	begun = begin(t);
	assert_string_equal(json_text(begun, "url"), "https://hub.example:8443/v1/rotate");
	(void)snprintf(old, sizeof(old), "%s", ed25519_public_hex(t->m->site.key));
	(void)snprintf(next, sizeof(next), "%s", ed25519_public_hex(t->m->site.next_key));
	site_refused(t, finish(t, begun, false, 200, t->director, next), REASON_BAD_SIGNATURE);
	site_refused(t, finish(t, begun, false, 409, t->reply, next), REASON_UNREACHABLE);
	site_refused(t, finish(t, begun, false, 200, t->reply, old), REASON_WRONG_ADDRESSEE);
	assert_string_equal(ed25519_public_hex(t->m->site.key), old);
	assert_int_equal(finish(t, begun, false, 200, t->reply, next), 0);
	assert_string_equal(ed25519_public_hex(t->m->site.key), next);
	assert_memory_equal(site_last_leaf(t), "rotate site key sha256:", 23);
	assert_false(monitor_cloned(t->m)); /* whoever has the old key is nobody now */
	assert_false(has_file(t, "next.key"));
	site_refused(t, finish(t, begun, false, 200, t->reply, next), REASON_NOT_FOUND);
	site_restart(t);
	assert_string_equal(ed25519_public_hex(t->m->site.key), next);
	assert_true(monitor_recorded(t->m));
}

static void
power_may_fail_anywhere_and_one_key_works(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *begun = NULL, *again = NULL, *config = NULL;
	char old[65], next[65];

	hello(t);
	begun = begin(t);
	(void)snprintf(old, sizeof(old), "%s", ed25519_public_hex(t->m->site.key));
	(void)snprintf(next, sizeof(next), "%s", ed25519_public_hex(t->m->site.next_key));
	site_restart(t); /* after the beginning: the old key, and the same next one when it is begun again */
	assert_string_equal(ed25519_public_hex(t->m->site.key), old);
	hello(t);
	again = begin(t);
	assert_string_equal(ed25519_public_hex(t->m->site.next_key), next);
	/* the courier is told to finish what nobody finishes */
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(t->m->site.key)), NULL, 0, &config),
		0);
	assert_non_null(strstr(json_text(config, "rotation"), "\"rotation\""));
	site_restart(t);
	assert_int_equal(finish(t, again, true, 200, t->reply, next), 0);
	assert_string_equal(ed25519_public_hex(t->m->site.key), next);
	/* after the rename, before next.key was removed */
	assert_int_equal(ed25519_save(t->m->site.key, t->m->dir_fd, "next.key"), 0);
	site_restart(t);
	assert_string_equal(ed25519_public_hex(t->m->site.key), next);
	assert_null(t->m->site.next_key);
	assert_false(has_file(t, "next.key"));
}

static void
nothing_rotates_before_there_is_something_to_rotate(void **state)
{
	struct site_test *t = *state;

	site_refused(t, site_control(t, "rotate.begin", NULL), REASON_NOT_APPROVED);
	site_refused(t, site_control(t, "rotate.finish", NULL), REASON_NOT_FOUND);
	assert_false(has_file(t, "next.key"));
}

static void
the_couriers_key_is_needed(void **state)
{
	struct site_test *t = *state;

	site_refused(t, site_control(t, "rotate.begin", NULL), REASON_BUSY);
	assert_false(has_file(t, "next.key"));
	assert_int_equal(site_control(t, "leave", NULL), 0);
}

int
main(void)
{
#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(a_rotation_ends_with_the_hubs_word_and_a_leaf, site_set_up_recorded),
		TEST(power_may_fail_anywhere_and_one_key_works, site_set_up_recorded),
		TEST(nothing_rotates_before_there_is_something_to_rotate, site_set_up),
		TEST(the_couriers_key_is_needed, site_set_up_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
