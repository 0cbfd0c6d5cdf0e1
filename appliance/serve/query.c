#include "appliance/serve/query.h"

#include <stdbool.h>
#include <string.h>

#include "appliance/base/number.h"
#include "appliance/base/refuse.h"

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode text[0..len) into out[size]; false where it is not strict or does not fit. */
static bool
decode(char *out, size_t size, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			int high = i + 2 < len ? digit(text[i + 1]) : -1;
			int low = high >= 0 ? digit(text[i + 2]) : -1;

			if (low < 0)
				return false;
			c = high * 16 + low;
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (c < 0x20 || c == 0x7f || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

static int
add(struct query *q, const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;
	size_t value_len = equals ? len - name_len - 1 : 0;

	if (q->n == QUERY_PARAMS_MAX)
		return REFUSE(REASON_MALFORMED, "query", "has more than %d parameters", QUERY_PARAMS_MAX);
	if (name_len == 0 || !decode(q->params[q->n].name, QUERY_NAME_MAX, text, name_len) ||
		!decode(q->params[q->n].value, QUERY_VALUE_MAX, equals ? equals + 1 : "", value_len))
		return REFUSE(REASON_MALFORMED, "query", "parameter %zu is not NAME=VALUE", q->n + 1);
	if (query_get(q, q->params[q->n].name))
		return REFUSE(REASON_MALFORMED, "query", "\"%s\" is given twice", q->params[q->n].name);
	q->n++;
	return 0;
}

int
query_parse(struct query *ret, const char *text)
{
	struct query q = { 0 };

	while (*text) {
		size_t len = strcspn(text, "&");
		int r = add(&q, text, len);

		if (r != 0)
			return r;
		text += len;
		if (*text == '&' && *++text == '\0')
			return REFUSE(REASON_MALFORMED, "query", "ends with '&'");
	}
	*ret = q;
	return 0;
}

const char *
query_get(const struct query *q, const char *name)
{
	for (size_t i = 0; i < q->n; i++)
		if (strcmp(q->params[i].name, name) == 0)
			return q->params[i].value;
	return NULL;
}

int
query_u64(const struct query *q, const char *name, uint64_t otherwise, uint64_t max, uint64_t *ret)
{
	const char *value = query_get(q, name);

	if (!value) {
		*ret = otherwise;
		return 0;
	}
	if (number_u64(ret, value, max) != 0)
		return REFUSE(REASON_MALFORMED, name, "is no whole number of at most %ju", (uintmax_t)max);
	return 0;
}

int
query_only(const struct query *q, const char *const *known)
{
	for (size_t i = 0; i < q->n; i++) {
		const char *const *k = known;

		while (*k && strcmp(*k, q->params[i].name) != 0)
			k++;
		if (!*k)
			return REFUSE(REASON_MALFORMED, "query", "\"%s\" is no parameter here", q->params[i].name);
	}
	return 0;
}
