/* What no free text may carry out: each kind is found, what looks like it stays, and the text around is readable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/redact.h"
#include "tests/fakes/scratch.h"
#include "tests/unit/appliance/egress/canaries.h"

struct door {
	struct scratch s;
	struct pseudonym *p;
	struct redact *r;
};

static int
setup(void **state)
{
	struct door *d = calloc(1, sizeof(*d));

	if (!d)
		return -1;
	scratch_make(&d->s);
	*state = d;
	return pseudonym_open(&d->p, d->s.fd, true) ?: redact_new(&d->r, d->p, (1U << PSEUDONYM_KINDS) - 1);
}

static int
teardown(void **state)
{
	struct door *d = *state;

	redact_free(d->r);
	pseudonym_free(d->p);
	scratch_remove(&d->s);
	free(d);
	return 0;
}

static void
redacted(struct door *d, const char *in, struct buf *out)
{
	buf_reset(out);
	assert_int_equal(redact_text(d->r, in, strlen(in), out, NULL), 0);
	buf_u8(out, 0);
	assert_int_equal(buf_error(out), 0);
}

/* Each canary in each context: its secret is gone, what stands before and behind it is there. */
static void
no_canary_leaves(void **state)
{
	static const char *const around[][2] = {
		{ "before ", " behind" },
		{ "before \"", "\" behind" },
		{ "{\"before\":\"x\\n", "\\nbehind\"}" },
		{ "before,", ", behind" },
		{ "before?x=1&", "&behind=1" },
		{ "before(", ") behind" },
		{ "before\n", "\nbehind" },
		{ "before%0A", "%0Abehind" },
	};
	SCOPED(buf_done) struct buf in = BUF_MAX(64 * 1024), out = BUF_MAX(64 * 1024), again = BUF_MAX(64 * 1024);
	size_t i, k, failed = 0;

	for (i = 0; i < ARRAY_LEN(canaries); i++)
		for (k = 0; k < ARRAY_LEN(around); k++) {
			if (!canary_fits(&canaries[i], around[k][0]))
				continue;
			buf_reset(&in);
			buf_printf(&in, "%s%s%s", around[k][0], canaries[i].text, around[k][1]);
			redacted(*state, buf_text(&in), &out);
			if (strstr(buf_text(&out), canaries[i].secret) || !strstr(buf_text(&out), "before") ||
				(!canaries[i].takes_line && !strstr(buf_text(&out), "behind"))) {
				print_error("%s: %s -> %s\n", canaries[i].kind, buf_text(&in), buf_text(&out));
				failed++;
			}
			redacted(*state, buf_text(&out), &again);
			if (strcmp(buf_text(&out), buf_text(&again)) != 0) {
				print_error("%s: twice: %s -> %s\n", canaries[i].kind, buf_text(&out), buf_text(&again));
				failed++;
			}
		}
	assert_int_equal(failed, 0);
	assert_true(ARRAY_LEN(canaries) >= 50);
}

/* How people find things, and ordinary words. */
static const char *const stays[] = {
	"commit 0a73448f1c9ab5ff25ed9c1c53a4b63de3e3d0aa on main",
	"layer sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 done",
	"request 123e4567-e89b-12d3-a456-426614174000 took 17 ms",
	"etag d41d8cd98f00b204e9800998ecf8427e",
	"2026-11-22T08:05:43.123456Z INFO 12:30:45 [17] ready",
	"1795000000123456 microseconds, 1795000000123456789 ns",
	"/usr/share/nginx/html/assets/index-of-things.html 0.004 1.25",
	"listening on 127.0.0.1:5432 and [::1]:5432, 0.0.0.0",
	"version 1.25.3 (Debian 1.25.3-2+b1)",
	"ERROR: unexpected token: identifier at line 3",
	"password authentication failed",
	"auth=ok token=none password=*** secret: null",
	"std::vector<int>::iterator a::b",
	"max_tokens=4096 tokens: 17 author: somebody",
	"GET /api/users?sort=name&page=2 HTTP/1.1",
	"nginx-deployment-7d8f9c6b5-x2x4z is Running",
	"x86_64-linux-gnu-gcc-12 getUserByIdFromDatabase HttpServletRequestWrapper",
	"Accepted publickey for root from nowhere: ED25519 SHA256:uNiVztksCsDhcc0u9e8BgrJXVGQx5cXxUn2gb3mBb8A",
	"[1] 22 Nov 2026 08:05:43.123 * DB loaded from disk: 0.000 seconds",
	"a@b x@ @y me@localhost",
	"4111 1111 1111 1112 and 4111111111111112 sum up to nothing",
	"DE88 3704 0044 0532 0130 00",
	"-----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----",
	"SK: 17, key: value, sk-learn, npm_config, xox, AIza",
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
	"sudo: ann : TTY=pts/0 ; PWD=/home/ann ; USER_ID=0 ; COMMAND=/usr/bin/mkdir -p /srv/x -u 1000:1000",
	"Processed session termination for sessionid: 0x14ede63a5a70002",
	"Skipping AppWindowToken{df0798e token=Token{78af589 ActivityRecord{3b04890 u0}}}",
	"Bad activity token: android.os.BinderProxy@2bd79ce",
	"akka.tcp://sparkExecutorActorSystem@mesos-slave-07:55904",
	"SCSI-WWID:01000010:6005-08b4-0001-00c6-0006-3000-003d-0000",
	"user_id usr_01HF8K2M3N4P5Q6R7S8T9V0W1X paid",
	"secret: not found; password is wrong; Password: missing; password=${DB_PASSWORD} pass=%s token=$TOKEN secret=$(cat x)",
	"mysql -p shop; mkdir -p /srv/a1 && cp -a x y; docker run -u 1000:1000 -p 8080:80",
	"<p>word</p> </password> <password/> <a name=\"b\" value=\"c\"/> {\"name\":\"LOG_LEVEL\",\"value\":\"debug\"} a -> b => c",
	"Basic authentication is required; Bearer tokens are not",
};

static void
what_is_no_secret_stays(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(64 * 1024);
	size_t i, failed = 0;

	for (i = 0; i < ARRAY_LEN(stays); i++) {
		redacted(*state, stays[i], &out);
		if (strcmp(buf_text(&out), stays[i]) != 0) {
			print_error("%s -> %s\n", stays[i], buf_text(&out));
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

static const struct {
	const char *in, *out; /* # stands for 12 hex digits */
} named[] = {
	{ "from 203.0.113.7 port 22", "from <ip:#> port 22" },
	{ "203.0.113.7:443", "<ip:#>:443" },
	/* Four numbers where the word before them says what they are. */
	{ "upgraded to version 4.18.12.7 now", "upgraded to version 4.18.12.7 now" },
	{ "Version: 4.18.12.7", "Version: 4.18.12.7" },
	{ "{\"serverVersion\": \"4.18.12.7\"}", "{\"serverVersion\": \"4.18.12.7\"}" },
	{ "app_version=4.18.12.7 release 9.9.9.9", "app_version=4.18.12.7 release 9.9.9.9" },
	{ "libfoo 4.18.12.7+dfsg-1 and 4.18.12.8~rc1", "libfoo 4.18.12.7+dfsg-1 and 4.18.12.8~rc1" },
	{ "v4.18.12.7", "v4.18.12.7" },
	{ "conversion 203.0.113.7", "conversion <ip:#>" },
	{ "protocol version from 203.0.113.7", "protocol version from <ip:#>" },
	{ "version 203.0.113.7 and 203.0.113.8", "version 203.0.113.7 and <ip:#>" },
	{ "web1/203.0.113.7", "web1/<ip:#>" },
	{ "203.0.113.7+203.0.113.8 203.0.113.7~9", "<ip:#>+<ip:#> <ip:#>~9" },
	{ "peer [2001:db8::7]:443", "peer [<ip:#>]:443" },
	{ "2001:db8:0:1:2:3:4:5: gone", "<ip:#>: gone" },
	{ "x-forwarded-for: 10.1.2.3, 10.1.2.4.", "x-forwarded-for: <ip:#>, <ip:#>." },
	{ "to ann.o+x@mail.example.org!", "to <email:#>!" },
	{ "to=ann%40example.org&x=1", "to=<email:#>&x=1" },
	{ "for user \"ann\" database", "for user \"<user:#>\" database" },
	{ "session 17 of user ann.", "session 17 of user <user:#>." },
	{ "<user>", "<user>" },
	{ "user=ann host=db7 x=1", "user=<user:#> host=<hostname:#> x=1" },
	{ "\"username\":\"ann\",\"hostname\":\"db7\"", "\"username\":\"<user:#>\",\"hostname\":\"<hostname:#>\"" },
};

/* Digits of tokens become one #. */
static void
without_digits(char *text)
{
	char *at = text, *close;

	while ((at = strchr(at, '<')) && (close = strchr(at, '>')) && (at = strchr(at, ':'))) {
		if (close - at != 13)
			continue;
		at[1] = '#';
		memmove(at + 2, close, strlen(close) + 1);
	}
}

static void
names_become_pseudonyms(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(64 * 1024);
	struct door *d = *state;
	size_t i, failed = 0;

	for (i = 0; i < ARRAY_LEN(named); i++) {
		redacted(d, named[i].in, &out);
		without_digits((char *)out.data);
		if (strcmp(buf_text(&out), named[i].out) != 0) {
			print_error("%s -> %s\n", named[i].in, buf_text(&out));
			failed++;
		}
	}
	assert_int_equal(failed, 0);
	redact_set_pseudonyms(d->r, 0);
	redacted(d, "ann@example.org from 203.0.113.7, user=ann", &out);
	assert_string_equal(buf_text(&out), "ann@example.org from 203.0.113.7, user=ann");
}

static void
a_key_over_many_lines_is_gone_whole(void **state)
{
	static const char *const lines[] = {
		"app: -----BEGIN OPENSSH PRIVATE KEY-----",
		"app: b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt",
		"app: c2hvcnQ=",
		"app: -----END OPENSSH PRIVATE KEY----- written",
		"app: goes on",
	};
	static const char *const gone[] = { "app: [redacted:private-key]", "[redacted:private-key]", "[redacted:private-key]",
		"[redacted:private-key] written", "app: goes on" };
	SCOPED(buf_done) struct buf out = BUF_MAX(64 * 1024);
	struct redact_state lines_state = { 0 };
	struct redact_tally tally = { 0 };
	struct door *d = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(lines); i++) {
		buf_reset(&out);
		assert_int_equal(
			redact_line(d->r, &lines_state, lines[i], strlen(lines[i]), &out, &tally), 0);
		assert_string_equal(buf_text(&out), gone[i]);
	}
	assert_int_equal(tally.secrets, 4);
	assert_int_equal(lines_state.inside, 0);
}

/* Wherever a block of the scan ends, and in the middle of much text. */
static void
a_canary_is_found_at_every_place(void **state)
{
	static const char secret[] = "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6";
	SCOPED(buf_done) struct buf in = BUF_MAX(1024), out = BUF_MAX(64 * 1024);
	size_t n;

	for (n = 0; n < 200; n++) {
		buf_reset(&in);
		for (size_t i = 0; i < n; i++)
			buf_u8(&in, i % 7 ? 'o' : ' ');
		buf_printf(&in, " %s 4111 1111 1111 1111 -----BEGIN PRIVATE KEY----- x pwd=\"a b\"", secret);
		redacted(*state, buf_text(&in), &out);
		assert_null(strstr(buf_text(&out), "ghp_"));
		assert_null(strstr(buf_text(&out), "1111"));
		assert_null(strstr(buf_text(&out), "pwd"));
	}
}

static void
a_full_buffer_is_said(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(4);
	struct door *d = *state;

	assert_true(redact_text(d->r, "no secret", 9, &out, NULL) < 0);
	assert_int_equal(redact_text(d->r, NULL, 0, &out, NULL) < 0, 1); /* the error sticks */
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(no_canary_leaves),
		ROW(what_is_no_secret_stays),
		ROW(names_become_pseudonyms),
		ROW(a_key_over_many_lines_is_gone_whole),
		ROW(a_canary_is_found_at_every_place),
		ROW(a_full_buffer_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
