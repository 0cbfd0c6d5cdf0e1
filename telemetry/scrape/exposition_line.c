#include "telemetry/scrape/exposition_line.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	SUBSTITUTE = 0x1a, /* stands for NUL in a label's value: nothing behind us can hold one */
	EXEMPLAR_CHARS_MAX =
		128,	   /* OpenMetrics 1.0: of an exemplar's label names and values together */
	DIGITS_EXACT = 15, /* so many decimal digits are whole in a double */
	POWER_EXACT = 22,  /* and so many tens */
};

/* --- bytes -------------------------------------------------------------------------------------------------- */
enum { NAME_FIRST = 1, NAME_REST = 2, NAME_COLON = 4, DIGIT = 8 };

static const uint8_t kinds[256] = {
	['a' ... 'z'] = NAME_FIRST | NAME_REST,
	['A' ... 'Z'] = NAME_FIRST | NAME_REST,
	['_'] = NAME_FIRST | NAME_REST,
	['0' ... '9'] = NAME_REST | DIGIT,
	[':'] = NAME_COLON,
};

static bool
is(char c, unsigned kind)
{
	return kinds[(uint8_t)c] & kind;
}

static size_t
name_length(const char *p, const char *end, unsigned also)
{
	const char *q = p;

	if (q == end || !is(*q, NAME_FIRST | also))
		return 0;
	while (q < end && is(*q, NAME_REST | also))
		q++;
	return (size_t)(q - p);
}

size_t
exposition_line_name(const char *p, const char *end)
{
	return name_length(p, end, NAME_COLON);
}

/* The length of the character at p that is none of ASCII; 0: it is none of UTF-8. */
static size_t
wide(const uint8_t *p, size_t left)
{
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] < 0xc2 || p[0] > 0xf4 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, surrogates, beyond the last. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

bool
exposition_line_utf8(const char *p, const char *end)
{
	while (p < end) {
		uint64_t eight;
		size_t len = 1;

		if (end - p >= 8) {
			memcpy(&eight, p, 8);
			if (!(eight & 0x8080808080808080ULL)) {
				p += 8;
				continue;
			}
		}
		if ((uint8_t)*p >= 0x80)
			len = wide((const uint8_t *)p, (size_t)(end - p));
		if (len == 0)
			return false;
		p += len;
	}
	return true;
}

uint64_t
exposition_line_hash(uint64_t seed, const char *p, size_t len)
{
	uint64_t h = seed ^ (len * 0x9e3779b97f4a7c15ULL), v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	for (v = 0; len > 0; len--)
		v = v << 8 | (uint8_t)p[len - 1];
	h = (h ^ v) * 0xff51afd7ed558ccdULL;
	h ^= h >> 29;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 32;
}

/* --- numbers -------------------------------------------------------------------------------------------------- */
static bool
named(double *ret, bool minus, const char *p, size_t len)
{
	if ((len == 3 && strncasecmp(p, "inf", 3) == 0) ||
		(len == 8 && strncasecmp(p, "infinity", 8) == 0))
		*ret = minus ? -__builtin_inf() : __builtin_inf();
	else if (len == 3 && strncasecmp(p, "nan", 3) == 0)
		*ret = __builtin_nan("");
	else
		return false;
	return true;
}

bool
exposition_line_number(double *ret, const char *p, const char *end, bool finite)
{
	static const double tens[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	const char *start = p;
	char *stop;
	uint64_t m = 0;
	size_t digits = 0, counted = 0; /* all, and those behind the leading zeros */
	int power = 0, e = 0;
	bool minus = p < end && *p == '-', point = false, small = false;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && (is(*p, DIGIT) || (*p == '.' && !point)); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		digits++;
		counted += counted > 0 || *p != '0';
		if (counted <= DIGITS_EXACT) {
			m = m * 10 + (uint64_t)(*p - '0');
			power -= point;
		}
	}
	if (digits == 0)
		return !finite && !point && named(ret, minus, p, (size_t)(end - p));
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		small = p < end && *p == '-';
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		if (p == end)
			return false;
		for (; p < end && is(*p, DIGIT); p++)
			if (e < 10000)
				e = e * 10 + (*p - '0');
	}
	if (p != end)
		return false;
	power += small ? -e : e;
	if (counted <= DIGITS_EXACT && power >= -POWER_EXACT && power <= POWER_EXACT) {
		*ret = power < 0 ? (double)m / tens[-power] : (double)m * tens[power];
		*ret = minus ? -*ret : *ret;
		return true;
	}
	/* The form is known to be good; behind it stands what no number has. */
	*ret = strtod(start, &stop);
	return stop == end;
}

/* --- labels --------------------------------------------------------------------------------------------------- */
struct reader {
	enum exposition_format format;
	char *p, *end;
	struct exposition_line *line;
	const char *label; /* the name that was read last */
	size_t label_len;
};

/* Only the older format has room between its words. */
static void
blanks(struct reader *r)
{
	if (r->format != EXPOSITION_OPENMETRICS)
		while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
			r->p++;
}

static size_t
characters(const char *p)
{
	size_t n = 0;

	for (; *p; p++)
		n += ((uint8_t)*p & 0xc0) != 0x80;
	return n;
}

/* A text between quotes, its escapes undone where it stands.  Returns it, ended by NUL, or NULL. */
static char *
quoted(struct reader *r, size_t *ret_len)
{
	char *start, *out;

	if (r->p == r->end || *r->p != '"')
		return NULL;
	start = out = ++r->p;
	while (r->p < r->end && *r->p != '"') {
		char c = *r->p++;

		if (c == '\\' && r->p < r->end && (*r->p == '\\' || *r->p == '"' || *r->p == 'n'))
			c = *r->p++ == 'n' ? '\n' : r->p[-1];
		else if (c == '\0')
			c = SUBSTITUTE;
		*out++ = c; /* any other backslash stands for itself */
	}
	if (r->p == r->end)
		return NULL;
	r->p++;
	*out = '\0';
	*ret_len = (size_t)(out - start);
	return start;
}

static const char *
put_label(struct reader *r, const char *value)
{
	struct exposition_line *line = r->line;

	if (line->n_labels == EXPOSITION_LABELS_MAX)
		return "has more than 64 labels";
	for (size_t i = 0; i < line->n_labels; i++)
		if (strcmp(line->labels[i].name, r->label) == 0)
			return "has a label twice";
	line->labels[line->n_labels++] = (struct otlp_label){ r->label, value };
	return NULL;
}

/* One member: NAME="VALUE", or the metric's own name in quotes. */
static const char *
member(struct reader *r)
{
	bool in_quotes = r->format == EXPOSITION_TEXT_UTF8 && r->p < r->end && *r->p == '"';
	const char *value;
	char *after;
	size_t len = 0;

	if (in_quotes) {
		r->label = quoted(r, &r->label_len);
	} else {
		r->label = r->p;
		r->label_len = name_length(r->p, r->end, 0);
		r->p += r->label_len;
	}
	if (!r->label || r->label_len == 0)
		return "has no label's name where one must be";
	after = r->p;
	blanks(r);
	if (r->p == r->end || *r->p != '=') {
		if (!in_quotes || r->line->name_len)
			return "has a label without \"=\"";
		r->line->name = r->label;
		r->line->name_len = r->label_len;
		return NULL;
	}
	r->p++;
	blanks(r);
	value = quoted(r, &len);
	if (!value)
		return "has a label's value without its quotes";
	*after = '\0';
	return put_label(r, value);
}

/* From "{" to "}". */
static const char *
labels(struct reader *r)
{
	bool first = true;

	for (r->p++;; first = false) {
		const char *bad;

		blanks(r);
		if (!first && r->p < r->end && *r->p == ',') {
			r->p++;
			blanks(r);
			/* A comma too many is no mistake of the older format. */
			if (r->p < r->end && *r->p == '}' && r->format != EXPOSITION_OPENMETRICS)
				break;
		} else if (r->p < r->end && *r->p == '}') {
			break;
		} else if (!first) {
			return "has labels with no \",\" or \"}\" behind them";
		}
		bad = member(r);
		if (bad)
			return bad;
	}
	r->p++;
	return NULL;
}

/* --- the line --------------------------------------------------------------------------------------------------- */
/* The next word, up to a blank or the end. */
static bool
word(struct reader *r, const char **ret, const char **ret_end)
{
	const char *start = r->p;

	while (r->p < r->end && *r->p != ' ' && *r->p != '\t')
		r->p++;
	*ret = start;
	*ret_end = r->p;
	return r->p > start;
}

/* What must stand between two words. */
static bool
gap(struct reader *r)
{
	if (r->p == r->end ||
		(*r->p != ' ' && (r->format == EXPOSITION_OPENMETRICS || *r->p != '\t')))
		return false;
	r->p++;
	blanks(r);
	return true;
}

/* Milliseconds, whole, of the older format; seconds of OpenMetrics. */
static bool
read_time(struct reader *r, double *ret)
{
	const char *at, *end;

	if (!word(r, &at, &end) || !exposition_line_number(ret, at, end, true))
		return false;
	if (r->format == EXPOSITION_OPENMETRICS)
		return true;
	*ret /= 1000;
	for (at += *at == '-' || *at == '+'; at < end; at++)
		if (!is(*at, DIGIT))
			return false;
	return true;
}

/* " # {labels} value [time]" */
static const char *
exemplar(struct reader *r)
{
	struct exposition_line other = { 0 };
	const char *at, *end, *bad;
	size_t chars = 0;
	double ignored;

	r->line->exemplar = true;
	r->line = &other;
	r->p++;
	if (!gap(r) || r->p == r->end || *r->p != '{')
		return "has an exemplar without labels";
	bad = labels(r);
	if (bad)
		return bad;
	for (size_t i = 0; i < other.n_labels; i++)
		chars += characters(other.labels[i].name) + characters(other.labels[i].value);
	if (chars > EXEMPLAR_CHARS_MAX)
		return "has an exemplar with labels of more than 128 characters";
	if (!gap(r) || !word(r, &at, &end) || !exposition_line_number(&ignored, at, end, false))
		return "has an exemplar without a value";
	if (r->p == r->end)
		return NULL;
	return gap(r) && read_time(r, &ignored) && r->p == r->end
		? NULL
		: "has an exemplar with no good time";
}

/* Behind "}" the older format wants no blank. */
static bool
gap_of_labels(struct reader *r)
{
	if (r->format == EXPOSITION_OPENMETRICS)
		return gap(r);
	blanks(r);
	return r->p < r->end;
}

/* The name and the labels; "{" may come first, where the name is within. */
static const char *
head(struct reader *r)
{
	struct exposition_line *line = r->line;
	char *after;
	const char *bad;

	line->name = r->p;
	line->name_len = exposition_line_name(r->p, r->end);
	r->p += line->name_len;
	after = r->p;
	if (line->name_len == 0 && r->format != EXPOSITION_TEXT_UTF8)
		return "has no metric's name where one must be";
	if (line->name_len > 0 && r->p < r->end && *r->p != '{')
		blanks(r);
	if (r->p < r->end && *r->p == '{') {
		bad = labels(r);
		if (bad)
			return bad;
		if (!line->name_len)
			return "has no metric's name where one must be";
		if (!gap_of_labels(r))
			return "has no value";
		if (after > line->name)
			*after = '\0';
		return NULL;
	}
	if (line->name_len == 0 || after == r->end)
		return "has no value";
	if (r->p == after && !gap(r))
		return "has a name with a byte that no name has";
	*after = '\0';
	return NULL;
}

const char *
exposition_line_read(struct exposition_line *ret, enum exposition_format format, char *p, char *end)
{
	struct reader r = { .format = format, .p = p, .end = end, .line = ret };
	const char *at, *stop, *bad;

	ret->n_labels = 0;
	ret->timed = ret->exemplar = false;
	bad = head(&r);
	if (bad)
		return bad;
	*end = '\0';
	if (!word(&r, &at, &stop))
		return "has no value";
	if (!exposition_line_number(&ret->value, at, stop, false))
		return "has a value that is no number";
	if (r.p == end)
		return NULL;
	if (!gap(&r))
		return "goes on behind its value";
	if (r.p == end) /* blanks at the end of the older format's line */
		return format == EXPOSITION_OPENMETRICS ? "ends with a blank" : NULL;
	if (*r.p != '#') {
		if (!read_time(&r, &ret->time_s))
			return "has a time that is no number";
		ret->timed = true;
		if (r.p == end)
			return NULL;
		if (!gap(&r))
			return "goes on behind its time";
		if (r.p == end && format != EXPOSITION_OPENMETRICS)
			return NULL;
	}
	if (r.p == end || *r.p != '#' || format != EXPOSITION_OPENMETRICS)
		return "goes on behind its time";
	return exemplar(&r);
}
