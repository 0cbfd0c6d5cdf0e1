#include "appliance/trust/sfield.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/vectors.h"

enum { TEXT_MAX = 1 << 20, NODES = 8192 };

/* What the vectors expect, built as our structs; all of one case lives in these. */
static struct sfield_item items[NODES];
static struct sfield_param params[NODES];
static char decoded[TEXT_MAX];
static size_t n_items, n_params, n_decoded;

static const char *
base32(const char *text, size_t *ret_len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	char *from = decoded + n_decoded, *to = from;
	unsigned bits = 0;
	uint32_t v = 0;

	for (; *text && *text != '='; text++) {
		v = v << 5 | (uint32_t)(strchr(letters, *text) - letters);
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			*to++ = (char)(v >> bits);
		}
	}
	n_decoded = (size_t)(to - decoded);
	*ret_len = (size_t)(to - from);
	return from;
}

static struct sfield_value
value_of(const json_t *v)
{
	struct sfield_value out = { 0 };
	const char *type = json_string_value(json_object_get(v, "__type"));

	if (json_is_integer(v)) {
		out.number = json_integer_value(v);
	} else if (json_is_real(v)) {
		out.kind = SFIELD_DECIMAL;
		out.number = llrint(json_real_value(v) * 1000);
	} else if (json_is_boolean(v)) {
		out.kind = SFIELD_BOOLEAN;
		out.number = json_is_true(v);
	} else if (json_is_string(v)) {
		out.kind = SFIELD_STRING;
		out.text = json_string_value(v);
		out.len = json_string_length(v);
	} else if (!strcmp(type, "date")) {
		out.kind = SFIELD_DATE;
		out.number = json_integer_value(json_object_get(v, "value"));
	} else {
		const json_t *text = json_object_get(v, "value");

		out.kind = !strcmp(type, "token") ? SFIELD_TOKEN
			: !strcmp(type, "binary") ? SFIELD_BYTES
						  : SFIELD_DISPLAY;
		out.text = json_string_value(text);
		out.len = json_string_length(text);
		if (out.kind == SFIELD_BYTES)
			out.text = base32(out.text, &out.len);
	}
	return out;
}

/* Our keys are C strings, so one that holds NUL cannot even be asked for: another bad letter stands
 * for it. */
static const char *
key_of(const json_t *v)
{
	return strlen(json_string_value(v)) == json_string_length(v) ? json_string_value(v)
								     : "\x01";
}

static struct sfield_param *
params_of(const json_t *list)
{
	struct sfield_param *first = NULL, **tail = &first;
	json_t *p;
	size_t i;

	json_array_foreach(list, i, p) {
		assert_true(n_params < NODES);
		*tail = &params[n_params++];
		**tail = (struct sfield_param){ .key = key_of(json_array_get(p, 0)),
			.value = value_of(json_array_get(p, 1)) };
		tail = &(*tail)->next;
	}
	return first;
}

/* [value or list of items, params] */
static struct sfield_item *
item_of(const json_t *pair)
{
	struct sfield_item *item = &items[n_items++], **tail = &item->items;
	json_t *first = json_array_get(pair, 0), *v;
	size_t i;

	assert_true(n_items < NODES);
	*item = (struct sfield_item){ 0 };
	if (json_is_array(first)) {
		item->value.kind = SFIELD_INNER;
		json_array_foreach(first, i, v) {
			*tail = item_of(v);
			tail = &(*tail)->next;
		}
	} else {
		item->value = value_of(first);
	}
	item->params = params_of(json_array_get(pair, 1));
	return item;
}

static struct sfield_item *
expected_of(enum sfield_form form, const json_t *expected)
{
	struct sfield_item *first = NULL, **tail = &first;
	json_t *v;
	size_t i;

	n_items = n_params = n_decoded = 0;
	if (form == SFIELD_ITEM)
		return item_of(expected);
	json_array_foreach(expected, i, v) {
		*tail = item_of(form == SFIELD_LIST ? v : json_array_get(v, 1));
		if (form == SFIELD_DICTIONARY)
			(*tail)->key = key_of(json_array_get(v, 0));
		tail = &(*tail)->next;
	}
	return first;
}

static enum sfield_form
form_of(const json_t *c)
{
	const char *type = json_string_value(json_object_get(c, "header_type"));

	return !strcmp(type, "item")	? SFIELD_ITEM
		: !strcmp(type, "list") ? SFIELD_LIST
					: SFIELD_DICTIONARY;
}

static void
join(struct buf *out, const json_t *lines)
{
	json_t *line;
	size_t i;

	json_array_foreach(lines, i, line) {
		if (i)
			buf_puts(out, ", ");
		buf_put(out, json_string_value(line), json_string_length(line));
	}
}

static void
parse_case(const json_t *c)
{
	SCOPED(buf_done) struct buf raw = BUF_MAX(TEXT_MAX), canonical = BUF_MAX(TEXT_MAX);
	SCOPED(buf_done) struct buf out = BUF_MAX(TEXT_MAX), other = BUF_MAX(TEXT_MAX);
	SCOPED(sfield_freep) struct sfield *f = NULL;
	const char *name = json_string_value(json_object_get(c, "name"));
	const json_t *want = json_object_get(c, "canonical");
	enum sfield_form form = form_of(c);
	int r;

	join(&raw, json_object_get(c, "raw"));
	r = sfield_parse(&f, form, buf_text(&raw), raw.len, 0, "case");
	if (json_is_true(json_object_get(c, "must_fail"))) {
		if (r != REASON_MALFORMED || f)
			fail_msg("%s: parsed", name);
		return;
	}
	if (r && json_is_true(json_object_get(c, "can_fail")))
		return;
	if (r)
		fail_msg("%s: %s", name, refuse_last()->text);
	join(&canonical, want ? want : json_object_get(c, "raw"));
	assert_int_equal(sfield_write(&out, form, f->items), 0);
	if (strcmp(buf_text(&out), buf_text(&canonical)))
		fail_msg("%s: wrote %s", name, buf_text(&out));
	/* the same from what the vectors say was meant */
	assert_int_equal(sfield_write(&other, form,
				 expected_of(form, json_object_get(c, "expected"))),
		0);
	assert_string_equal(buf_text(&other), buf_text(&canonical));
}

static void
all_parse_vectors(void **state)
{
	static const char *const files[] = { "binary", "boolean", "date", "dictionary",
		"display-string", "examples", "item", "key-generated", "large-generated", "list",
		"listlist", "number-generated", "number", "param-dict", "param-list",
		"param-listlist", "string-generated", "string", "token-generated", "token" };
	size_t i, j, n = 0;

	(void)state;
	for (i = 0; i < ARRAY_LEN(files); i++) {
		char name[80];
		json_t *v, *c;

		snprintf(name, sizeof(name), "structured-fields/%s.json", files[i]);
		v = vectors_load(name);
		json_array_foreach(v, j, c) {
			parse_case(c);
			n++;
		}
		json_decref(v);
	}
	vectors_ran("structured-fields parsed", n, 0);
	assert_int_equal(n, 1591);
}

static void
all_serialisation_vectors(void **state)
{
	static const char *const files[] = { "key-generated", "number", "string-generated",
		"token-generated" };
	size_t i, j, n = 0;

	(void)state;
	for (i = 0; i < ARRAY_LEN(files); i++) {
		char name[96];
		json_t *v, *c;

		snprintf(name, sizeof(name), "structured-fields/serialisation-tests/%s.json",
			files[i]);
		v = vectors_load(name);
		json_array_foreach(v, j, c) {
			SCOPED(buf_done)
			struct buf canonical = BUF_MAX(TEXT_MAX),
				   out = BUF_MAX(TEXT_MAX);
			enum sfield_form form = form_of(c);
			int r = sfield_write(&out, form,
				expected_of(form, json_object_get(c, "expected")));

			n++;
			if (json_is_true(json_object_get(c, "must_fail"))) {
				if (r != REASON_MALFORMED)
					fail_msg("%s: wrote %s",
						json_string_value(json_object_get(c, "name")),
						buf_text(&out));
				continue;
			}
			assert_int_equal(r, 0);
			join(&canonical, json_object_get(c, "canonical"));
			assert_string_equal(buf_text(&out), buf_text(&canonical));
		}
		json_decref(v);
	}
	vectors_ran("structured-fields written", n, 0);
	assert_int_equal(n, 544);
}

/* A look at what somebody else will judge leaves no trace. */
static void
a_quiet_look_logs_nothing(void **state)
{
	SCOPED(sfield_freep) struct sfield *f = NULL;
	uint64_t before = refuse_count(REASON_MALFORMED);

	(void)state;
	assert_int_equal(sfield_parse(&f, SFIELD_DICTIONARY, "((", 2, SFIELD_QUIET, "x"), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before);
	assert_null(f);
}

static void
flags_make_it_stricter(void **state)
{
	static const struct {
		const char *text;
		unsigned flags;
		bool good;
	} rows[] = {
		{ "a=1, a=2", 0, true },
		{ "a=1, a=2", SFIELD_UNIQUE, false },
		{ "a;x;x", 0, true },
		{ "a;x;x", SFIELD_UNIQUE, false },
		{ "a=@1", 0, true },
		{ "a=@1", SFIELD_RFC8941, false },
		{ "a=%\"x\"", 0, true },
		{ "a=%\"x\"", SFIELD_RFC8941, false },
		{ "a,", 0, false },
		{ "a \t,\tb", 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(sfield_freep) struct sfield *f = NULL;
		uint64_t before = refuse_count(REASON_MALFORMED);
		int r = sfield_parse(&f, SFIELD_DICTIONARY, rows[i].text, strlen(rows[i].text),
			rows[i].flags, "x");

		assert_int_equal(r, rows[i].good ? 0 : (int)REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED) - before, !rows[i].good);
		assert_int_equal(f != NULL, rows[i].good);
	}
}

static void
members_are_found(void **state)
{
	static const char text[] = "sig=(\"@method\" \"x\");created=5;tag=\"t\", b=1.50";
	SCOPED(sfield_freep) struct sfield *f = NULL;
	const struct sfield_item *i;

	(void)state;
	assert_int_equal(sfield_parse(&f, SFIELD_DICTIONARY, text, strlen(text), 0, "x"), 0);
	i = sfield_get(f, "sig");
	assert_non_null(i);
	assert_int_equal(i->value.kind, SFIELD_INNER);
	assert_string_equal(i->items->next->value.text, "x");
	assert_int_equal(sfield_param(i, "created")->value.number, 5);
	assert_null(sfield_param(i, "nonce"));
	assert_int_equal(sfield_get(f, "b")->value.number, 1500);
	assert_null(sfield_get(f, "c"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_parse_vectors),
		cmocka_unit_test(all_serialisation_vectors),
		cmocka_unit_test(a_quiet_look_logs_nothing),
		cmocka_unit_test(flags_make_it_stricter),
		cmocka_unit_test(members_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
