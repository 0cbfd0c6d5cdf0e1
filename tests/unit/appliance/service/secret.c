#include "appliance/service/secret.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/service/spec.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

static const char yaml[] = "name: demo\n"
			   "version: \"1\"\n"
			   "exec: [/bin/x, \"{secret.word}\"]\n"
			   "secrets:\n"
			   "  word: {bytes: 16, help: of the clients}\n"
			   "  line: {template: \"requirepass {value} # ours\"}\n";

struct fixture {
	struct scratch s;
	struct paths paths;
	struct definition *d;
};

static int
begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->s);
	(void)snprintf(f->paths.lib, sizeof(f->paths.lib), "%s/lib", f->s.path);
	assert_int_equal(
		definition_compile(&f->d, yaml, sizeof(yaml) - 1, "service.yaml", f->s.fd), 0);
	*state = f;
	return 0;
}

static int
end(void **state)
{
	struct fixture *f = *state;

	definition_free(f->d);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

static const char *
read_all(int fd, char out[4096])
{
	ssize_t n = pread(fd, out, 4095, 0);

	out[n < 0 ? 0 : n] = '\0';
	return out;
}

static void
prepare(const struct fixture *f, struct spec *spec, int r)
{
	spec_init(spec);
	(void)snprintf(spec->name, sizeof(spec->name), "demo");
	assert_int_equal(secret_prepare(spec, &f->paths, f->d), r);
}

static void
made_once_and_given_by_descriptor(void **state)
{
	const struct fixture *f = *state;
	char word[4096], again[4096], line[4096], want[4096];
	SCOPED(spec_done) struct spec first, second;
	SCOPED(buf_done) struct buf encoded = BUF_MAX(65536), file = BUF_MAX(4096);
	struct stat st;

	prepare(f, &first, 0);
	prepare(f, &second, 0);
	assert_int_equal(first.n_secrets, 2);
	read_all(first.secrets[0].fd, word);
	assert_int_equal(strlen(word), 32);
	assert_int_equal(strspn(word, "0123456789abcdef"), 32);
	assert_string_equal(read_all(second.secrets[0].fd, again), word);
	/* The other's text stands around its value. */
	assert_int_equal(fs_read(f->s.fd, "lib/services/demo/secrets/line", 4096, &file), 0);
	assert_int_equal(file.len, 64);
	(void)snprintf(want, sizeof(want), "requirepass %s # ours\n", buf_text(&file));
	assert_string_equal(read_all(first.secrets[1].fd, line), want);
	assert_int_equal(fstatat(f->s.fd, "lib/services/demo/secrets/word", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fstatat(f->s.fd, "lib/services/demo/secrets", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* What is written about the service names it and does not hold it. */
	assert_int_equal(spec_encode(&encoded, &first), 0);
	assert_non_null(strstr(buf_text(&encoded), "word"));
	assert_null(strstr(buf_text(&encoded), word));
	assert_null(strstr(buf_text(&encoded), buf_text(&file)));
}

static void
grant(const struct fixture *f, struct secret_grant *ret, const char *names, int r)
{
	SCOPED_JSON *list = json_loads(names, 0, NULL);

	assert_int_equal(secret_grant(ret, &f->paths, f->d, list), r);
}

/* What a hook is given before its service ever ran is what that will then find. */
static void
what_is_given_says_where_its_value_stands(void **state)
{
	const struct fixture *f = *state;
	SCOPED(secret_grant_done) struct secret_grant none, g;
	SCOPED(spec_done) struct spec spec;
	SCOPED(buf_done) struct buf file = BUF_MAX(4096);
	char text[4096], other[4096];

	assert_int_equal(secret_grant(&none, &f->paths, f->d, NULL), 0);
	assert_int_equal(none.n, 0);
	assert_int_equal(faccessat(f->s.fd, "lib/services/demo", F_OK, 0), -1);
	grant(f, &g, "[\"line\", \"word\"]", 0);
	assert_int_equal(g.n, 2);
	assert_string_equal(g.items[0].name, "line");
	assert_int_equal(fs_read(f->s.fd, "lib/services/demo/secrets/line", 4096, &file), 0);
	read_all(g.items[0].fd, text);
	assert_int_equal(g.items[0].len, file.len);
	assert_memory_equal(text + g.items[0].from, buf_text(&file), file.len);
	assert_int_equal(g.items[1].from, 0);
	assert_int_equal(g.items[1].len, 32);
	assert_int_equal(write(g.items[1].fd, "x", 1), -1);
	prepare(f, &spec, 0);
	assert_string_equal(read_all(spec.secrets[1].fd, other), text);
}

static void
rotating_makes_another_and_setting_puts_the_customers(void **state)
{
	const struct fixture *f = *state;
	const struct definition_secret *word = definition_secret(f->d, "word");
	SCOPED(spec_done) struct spec spec;
	SCOPED(secret_grant_done) struct secret_grant a, b, c;
	SCOPED_JSON *list = NULL;
	char one[4096], two[4096];

	prepare(f, &spec, 0);
	grant(f, &a, "[\"word\"]", 0);
	assert_int_equal(secret_rotate(&f->paths, "demo", word), 0);
	grant(f, &b, "[\"word\"]", 0);
	assert_string_not_equal(read_all(a.items[0].fd, one), read_all(b.items[0].fd, two));
	assert_int_equal(secret_set(&f->paths, "demo", word, "my own; #1", 10), 0);
	grant(f, &c, "[\"word\"]", 0);
	assert_string_equal(read_all(c.items[0].fd, one), "my own; #1");
	assert_int_equal(secret_list(&list, &f->paths, f->d), 0);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_text(json_array_get(list, 0), "name"), "word");
	assert_string_equal(json_text(json_array_get(list, 0), "help"), "of the clients");
	assert_true(strlen(json_text(json_array_get(list, 0), "made")) > 0);
	assert_int_equal(json_object_size(json_array_get(list, 0)), 3);
}

static void
values_that_cannot_be(void **state)
{
	static const struct {
		const char *name, *secret, *value;
		size_t len;
	} rows[] = {
		{ "nothing", "word", "", 0 },
		{ "two lines", "word", "a\nb", 3 },
		{ "a NUL", "word", "a\0b", 3 },
		{ "DEL", "word", "a\x7f", 2 },
		{ "a blank in a configuration file", "line", "a b", 3 },
		{ "a quote there", "line", "a\"b", 3 },
		{ "the other quote", "line", "a'b", 3 },
		{ "a comment", "line", "a#b", 3 },
		{ "an end of a directive", "line", "a;b", 3 },
		{ "a brace", "line", "a}b", 3 },
		{ "a variable", "line", "a$b", 3 },
		{ "a backslash", "line", "a\\", 2 },
		{ "beyond ASCII", "line", "\xc2\x85", 2 },
	};
	const struct fixture *f = *state;
	char long_one[1026], was[4096], is[4096];
	SCOPED(spec_done) struct spec spec;

	prepare(f, &spec, 0);
	read_all(spec.secrets[1].fd, was);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);
		int r = secret_set(&f->paths, "demo", definition_secret(f->d, rows[i].secret),
			rows[i].value, rows[i].len);

		if (r != REASON_MALFORMED || refuse_count(REASON_MALFORMED) != before + 1)
			fail_msg("%s", rows[i].name);
		assert_string_equal(refuse_last()->operand, rows[i].secret);
		if (strlen(rows[i].value) > 1 && strstr(refuse_last()->text, rows[i].value))
			fail_msg("%s: the value was told", rows[i].name);
	}
	memset(long_one, 'a', sizeof(long_one));
	assert_int_equal(secret_set(&f->paths, "demo", definition_secret(f->d, "word"), long_one, 1025),
		REASON_MALFORMED);
	assert_int_equal(secret_set(&f->paths, "demo", definition_secret(f->d, "word"), long_one, 1024), 0);
	spec_done(&spec);
	prepare(f, &spec, 0);
	assert_string_equal(read_all(spec.secrets[1].fd, is), was);
}

static void
files_that_are_no_secret(void **state)
{
	const struct fixture *f = *state;
	SCOPED(spec_done) struct spec spec, again;
	SCOPED(scope_close) int dir = -1;
	SCOPED(secret_grant_done) struct secret_grant g;
	SCOPED(buf_done) struct buf value = BUF_MAX(4096);
	uint64_t before;

	assert_refused(secret_value(&value, &f->paths, "demo", definition_secret(f->d, "word")), REASON_NOT_FOUND,
		"has no such secret yet");
	assert_int_equal(value.len, 0);
	buf_done(&value);
	prepare(f, &spec, 0);
	assert_int_equal(secret_value(&value, &f->paths, "demo", definition_secret(f->d, "word")), 0);
	assert_int_equal(value.len, 32);
	dir = openat(f->s.fd, "lib/services/demo/secrets", O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_replace(dir, "line", "a b\n", 4, 0600), 0);
	before = refuse_count(REASON_MALFORMED);
	prepare(f, &again, REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_string_equal(refuse_last()->operand, "line");
	grant(f, &g, "[\"word\", \"line\"]", REASON_MALFORMED);
	assert_int_equal(g.n, 1);
}

#define SECRET_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		SECRET_TEST(made_once_and_given_by_descriptor),
		SECRET_TEST(what_is_given_says_where_its_value_stands),
		SECRET_TEST(rotating_makes_another_and_setting_puts_the_customers),
		SECRET_TEST(values_that_cannot_be),
		SECRET_TEST(files_that_are_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
