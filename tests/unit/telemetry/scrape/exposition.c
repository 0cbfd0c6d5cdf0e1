/* What exporters show, in both formats: what is read of it, and which line is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/scrape/exposition.h"
#include "telemetry/scrape/exposition_print.h"
#include "tests/fakes/refused.h"

/* "c a_total s [x="1"] 1.5 from 3 at 4", one line a sample. */
static int
note(const struct otlp_sample *s, bool timed, void *arg)
{
	struct buf *out = arg;
	const struct otlp_distribution *d = s->distribution;

	buf_printf(out, "%c %s", "gchs"[s->kind], s -> name);
	if (s->unit)
		buf_printf(out, " %s", s->unit);
	for (size_t i = 0; i < s->n_labels; i++)
		buf_printf(out, " [%s=%s]", s->labels[i].name, s->labels[i].value);
	if (d) {
		buf_printf(out, " n %llu", (unsigned long long)d->count);
		if (d->has_sum)
			buf_printf(out, " sum %g", d->sum);
		for (size_t i = 0; i < d->n_bounds; i++)
			if (d->buckets)
				buf_printf(out, " %g:%llu", d->bounds[i],
					(unsigned long long)d->buckets[i]);
			else
				buf_printf(out, " %g:%g", d->bounds[i], d->values[i]);
		if (d->buckets)
			buf_printf(out, " inf:%llu", (unsigned long long)d->buckets[d->n_bounds]);
	} else {
		buf_printf(out, " %.17g", s->real);
	}
	if (s->start_us)
		buf_printf(out, " from %llu", (unsigned long long)s->start_us);
	if (timed)
		buf_printf(out, " at %llu", (unsigned long long)s->time_us);
	buf_u8(out, '\n');
	return 0;
}

/* Read text in pieces of so many bytes. */
static int
read_pieces(struct buf *out, enum exposition_format format, const void *text, size_t len,
	size_t piece)
{
	SCOPED(exposition_freep) struct exposition *e = NULL;
	SCOPED(scope_free) char *copy = malloc(len + 1);
	int r = exposition_new(&e, format, "test", note, out);

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, text, len);
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = exposition_feed(e, copy + at, len - at < piece ? len - at : piece);
	return r ?: exposition_end(e);
}

#define OM EXPOSITION_OPENMETRICS
#define TEXT EXPOSITION_TEXT
#define WIDE EXPOSITION_TEXT_UTF8
#define X10 "xxxxxxxxxx"

#define LABELS_16                                                                                                      \
	"a=\"\",b=\"\",c=\"\",d=\"\",e=\"\",f=\"\",g=\"\",h=\"\",i=\"\",j=\"\",k=\"\",l=\"\",m=\"\",n=\"\",o=\"\",p=\"\""

static const struct row {
	const char *name;
	enum exposition_format format;
	const char *text;
	const char *want; /* samples, or how the refusal ends */
	int result;
} rows[] = {
	{ "nothing", TEXT, "", "", 0 },
	{ "only its end", OM, "# EOF", "", 0 },
	{ "a gauge of both formats", OM,
		"# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds{x=\"1\"} 2.5e3\n# "
		"EOF\n",
		"g a_seconds seconds [x=1] 2500\n", 0 },
	{ "blanks wherever they may be", TEXT,
		"#TYPE?\n\n \t\n#  TYPE  a   gauge  \n  a { x = \"1\" , y=\"2\", } \t 7\t12 \n",
		"g a [x=1] [y=2] 7 at 12000\n", 0 },
	{ "a time in milliseconds", TEXT, "a 1 1500\n", "g a 1 at 1500000\n", 0 },
	{ "a time before all times", TEXT, "a 1 -1500\n", "g a 1 at 0\n", 0 },
	{ "a time in seconds", OM, "a 1 1.5\n# EOF\n", "g a 1 at 1500000\n", 0 },
	{ "a time that no clock shows", OM, "a 1 1e300\n# EOF\n", "g a 1 at 18446744073709551615\n",
		0 },
	{ "a fraction as a time of the older format", TEXT, "a 1 1.5\n",
		"has a time that is no number", REASON_MALFORMED },
	{ "a counter and its start", OM,
		"# TYPE a counter\na_total{x=\"1\"} 5\na_created{x=\"1\"} 12.5\na_total{x=\"2\"} "
		"6\n# EOF\n",
		"c a_total [x=1] 5 from 12500000\nc a_total [x=2] 6\n", 0 },
	{ "a counter at several times", OM, "# TYPE a counter\na_total 5 1\na_total 6 2\n# EOF\n",
		"c a_total 5 at 1000000\nc a_total 6 at 2000000\n", 0 },
	{ "a start without a total", OM, "# TYPE a counter\na_created 12.5\n# EOF\n", "", 0 },
	{ "a start that is none", OM, "# TYPE a counter\na_total 1\na_created NaN\n# EOF\n",
		"has a start that is no time", REASON_MALFORMED },
	{ "a counter of the older format, by any name", TEXT, "# TYPE a counter\na 5\n", "c a 5\n",
		0 },
	{ "an untyped line", TEXT, "# TYPE a untyped\na 5\n", "g a 5\n", 0 },
	{ "a histogram", TEXT,
		"# TYPE a histogram\na_bucket{le=\"1\",x=\"y\"} 2\na_bucket{x=\"y\",le=\"2\"} "
		"5\na_bucket{le=\"+Inf\",x=\"y\"} 6\n"
		"a_sum{x=\"y\"} 7.5\na_count{x=\"y\"} 6\n",
		"h a [x=y] n 6 sum 7.5 1:2 2:3 inf:1\n", 0 },
	{ "buckets in another order", TEXT,
		"# TYPE a histogram\na_bucket{le=\"+Inf\"} 6\na_bucket{le=\"10\"} "
		"5\na_bucket{le=\"9\"} 2\n",
		"h a n 6 9:2 10:3 inf:1\n", 0 },
	{ "no +Inf but a count", TEXT,
		"# TYPE a histogram\na_bucket{le=\"9\"} 2\na_sum 3\na_count 4\n",
		"h a n 4 sum 3 9:2 inf:2\n", 0 },
	{ "neither +Inf nor a count", TEXT, "# TYPE a histogram\na_bucket{le=\"9\"} 2\n",
		"ends a histogram with neither bucket +Inf nor a count", REASON_MALFORMED },
	{ "less in all than in one", TEXT, "# TYPE a histogram\na_bucket{le=\"9\"} 2\na_count 1\n",
		"ends a histogram with neither bucket +Inf nor a count", REASON_MALFORMED },
	{ "buckets that fall", TEXT,
		"# TYPE a histogram\na_bucket{le=\"9\"} 2\na_bucket{le=\"10\"} 1\na_count 3\n",
		"ends a histogram whose buckets do not add up", REASON_MALFORMED },
	{ "one bucket twice", TEXT,
		"# TYPE a histogram\na_bucket{le=\"9\"} 2\na_bucket{le=\"9.0\"} 2\na_count 3\n",
		"ends a histogram whose buckets do not add up", REASON_MALFORMED },
	{ "half a count", TEXT, "# TYPE a histogram\na_bucket{le=\"9\"} 2.5\n",
		"has a bucket that is no count", REASON_MALFORMED },
	{ "half a count of all", TEXT, "# TYPE a summary\na_count 2.5\n",
		"has a count that is none", REASON_MALFORMED },
	{ "a count twice", TEXT, "# TYPE a summary\na_count 2\na_count 2\n", "has a count twice",
		REASON_MALFORMED },
	{ "a sum twice", TEXT, "# TYPE a summary\na_sum 2\na_sum 2\n", "has a sum twice",
		REASON_MALFORMED },
	{ "no le", TEXT, "# TYPE a histogram\na_bucket 2\n", "has no number as its label le",
		REASON_MALFORMED },
	{ "le below all", TEXT, "# TYPE a histogram\na_bucket{le=\"-Inf\"} 2\n",
		"has an infinite le that is not +Inf", REASON_MALFORMED },
	{ "a histogram whose lines stand apart", TEXT,
		"# TYPE a histogram\na_bucket{le=\"+Inf\",x=\"1\"} "
		"1\na_bucket{le=\"+Inf\",x=\"2\"} 1\na_sum{x=\"1\"} 1\n",
		"belongs to a metric whose other lines stand apart from it", REASON_MALFORMED },
	{ "a histogram at two times", OM,
		"# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 1\na_bucket{le=\"+Inf\"} 2 2\n# EOF\n",
		"h a n 1 inf:1 at 1000000\nh a n 2 inf:2 at 2000000\n", 0 },
	{ "a gauge histogram, line by line", OM,
		"# TYPE a gaugehistogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\na_gcount "
		"2\na_gsum 3\n# EOF\n",
		"g a_bucket [le=1] 1\ng a_bucket [le=+Inf] 2\ng a_gcount 2\ng a_gsum 3\n", 0 },
	{ "a summary", TEXT,
		"# TYPE a summary\na{quantile=\"0.9\"} NaN\na{quantile=\"0.5\"} 2\na_sum "
		"9\na_count 4\n",
		"s a n 4 sum 9 0.5:2 0.9:nan\n", 0 },
	{ "one quantile twice", TEXT,
		"# TYPE a summary\na{quantile=\"0.9\"} 1\na{quantile=\"0.90\"} 2\n",
		"has a quantile twice", REASON_MALFORMED },
	{ "an info and a stateset", OM,
		"# TYPE a info\na_info{v=\"1\"} 1\n# TYPE b stateset\nb{b=\"x\"} 1\nb{b=\"y\"} "
		"0\n# EOF\n",
		"g a_info [v=1] 1\ng b [b=x] 1\ng b [b=y] 0\n", 0 },
	{ "an exemplar", OM, "# TYPE a counter\na_total 1 # {x=\"1\"} 2 3\n# EOF\n",
		"c a_total 1\n", 0 },
	{ "an exemplar of the older format", TEXT, "a 1 # {x=\"1\"} 2\n", "goes on behind its time",
		REASON_MALFORMED },
	{ "numbers of all forms", TEXT,
		"a +.5\nb 5.\nc -1e-3\nd 0.013300656000000001\ne inf\nf -Infinity\ng nan\nh "
		"1e400\ni 9007199254740993\n",
		"g a 0.5\ng b 5\ng c -0.001\ng d 0.013300656000000001\ng e inf\ng f -inf\ng g "
		"nan\ng h inf\ng i 9007199254740992\n",
		0 },
	{ "a number of no digits", TEXT, "a .\n", "has a value that is no number",
		REASON_MALFORMED },
	{ "an exponent of no digits", TEXT, "a 1e+\n", "has a value that is no number",
		REASON_MALFORMED },
	{ "an exponent of nothing", TEXT, "a 1e\n", "has a value that is no number",
		REASON_MALFORMED },
	{ "a name in quotes", WIDE, "# TYPE \"a.b\" counter\n{\"a.b\", \"c d\"=\"e\"} 5\n",
		"c a.b [c d=e] 5\n", 0 },
	{ "a name in quotes where none may be", TEXT, "{\"a.b\"} 5\n",
		"has no metric's name where one must be", REASON_MALFORMED },
	{ "two names", WIDE, "a{\"a.b\"} 5\n", "has a label without \"=\"", REASON_MALFORMED },
	{ "labels without a name", WIDE, "{x=\"1\"} 5\n", "has no metric's name where one must be",
		REASON_MALFORMED },
	{ "a name without an end", WIDE, "# TYPE \"a.b counter\n", "describes no metric",
		REASON_MALFORMED },
	{ "NUL in a value", OM, NULL, "g a [x=p\x1aq] 1\n", 0 },
	{ "no UTF-8", TEXT, "a{x=\"\xc3\"} 1\n", "is no UTF-8", REASON_MALFORMED },
	{ "UTF-8 longer than need be", TEXT, "a{x=\"\xe0\x80\x80\"} 1\n", "is no UTF-8",
		REASON_MALFORMED },
	{ "half of a pair", TEXT, "a{x=\"\xed\xa0\x80\"} 1\n", "is no UTF-8", REASON_MALFORMED },
	{ "four bytes", TEXT, "a{x=\"\xf0\x9f\x98\x80\"} 1\n", "g a [x=\xf0\x9f\x98\x80] 1\n", 0 },
	{ "a last line without an end", TEXT, "a 1\nb 1",
		"was not the last: the next one has no end", REASON_MALFORMED },
	{ "a typed family in two places", TEXT, "# TYPE a gauge\na 1\nb 1\na{x=\"1\"} 1\n",
		"ends a family of a name that was there before", REASON_MALFORMED },
	{ "an untyped family in two places", TEXT, "a 1\nb 1\na{x=\"1\"} 1\n",
		"g a 1\ng b 1\ng a [x=1] 1\n", 0 },
	{ "a type behind its lines", TEXT, "a 1\n# TYPE a gauge\n",
		"describes a family after lines of it", REASON_MALFORMED },
	{ "help behind its lines", TEXT, "a 1\n# HELP a me\na{x=\"1\"} 2\n", "g a 1\ng a [x=1] 2\n",
		0 },
	{ "a type of the newer format", TEXT, "# TYPE a info\n", "gives a type that is none",
		REASON_MALFORMED },
	{ "a value close to its labels", TEXT, "a{b=\"1\"}2\nc{}\t3 4\nd{} 5\n", "g a [b=1] 2\ng c 3 at 4000\ng d 5\n", 0 },
	{ "a value close to its labels, where there must be a blank", OM, "a{b=\"1\"}2\n# EOF\n", "has no value", REASON_MALFORMED },
	{ "labels and nothing", TEXT, "a{b=\"1\"} \n", "has no value", REASON_MALFORMED },
	{ "a point of more than 16 labels", TEXT, "a 1\na{" LABELS_16 ",q=\"\"} 1\nb 1\n", "g a 1\ng b 1\n", 0 },
	{ "a counter of more than 16 labels", OM,
		"# TYPE a counter\na_total{" LABELS_16 ",q=\"\"} 1\na_created{" LABELS_16 ",q=\"\"} 1\na_total 2\n# EOF\n",
		"c a_total 2\n", 0 },
	{ "a histogram of 16 labels, and one of more", TEXT,
		"# TYPE h histogram\nh_bucket{" LABELS_16 ",le=\"+Inf\"} 3\nh_bucket{" LABELS_16 ",q=\"\",le=\"+Inf\"} 4\n",
		"h h [a=] [b=] [c=] [d=] [e=] [f=] [g=] [h=] [i=] [j=] [k=] [l=] [m=] [n=] [o=] [p=] n 3 inf:3\n", 0 },
	{ "a point of too many labels that is bad besides", TEXT, "a{" LABELS_16 ",q=\"\"} x\n", "has a value that is no number",
		REASON_MALFORMED },
	{ "a histogram of too many labels that is bad besides", TEXT,
		"# TYPE h histogram\nh_bucket{" LABELS_16 ",q=\"\",le=\"1\"} 4\nh_count{" LABELS_16 ",q=\"\"} 3\n",
		"ends a histogram with neither", REASON_MALFORMED },
};

static void
texts_row_by_row(void **state)
{
	static const char nul[] = "a{x=\"p\0q\"} 1\n# EOF\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		const char *text = row->text ? row->text : nul;
		size_t len = row->text ? strlen(text) : sizeof(nul) - 1;

		for (size_t piece = 1; piece <= 3; piece++) {
			SCOPED(buf_done) struct buf out = BUF_MAX(65536);
			uint64_t before = refuse_count(REASON_MALFORMED);
			int r = read_pieces(&out, row->format, text, len,
				piece == 3 ? len + 1 : piece * 3 - 2);

			if (r != row->result ||
				refuse_count(REASON_MALFORMED) != before + (r == REASON_MALFORMED))
				fail_msg("%s: %d, %s", row->name, r, refuse_last()->text);
			if (r == 0 && strcmp(buf_text(&out), row->want) != 0)
				fail_msg("%s: %s", row->name, buf_text(&out));
			if (r != 0 && !strstr(refuse_last()->text, row->want))
				fail_msg("%s: %s", row->name, refuse_last()->text);
		}
	}
}

static void
a_parser_that_refused_takes_no_more(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1024);
	SCOPED(exposition_freep) struct exposition *e = NULL;
	char bad[] = "a b\n", good[] = "c 1\n";

	(void)state;
	assert_int_equal(exposition_new(&e, TEXT, "test", note, &out), 0);
	assert_refused(exposition_feed(e, bad, 4), REASON_MALFORMED,
		"line 1 of what it shows has a value that is no number");
	assert_string_equal(refuse_last()->operand, "test");
	assert_string_equal(refuse_last()->place, "line 1");
	assert_int_equal(exposition_feed(e, good, 4), REASON_MALFORMED);
	assert_int_equal(exposition_end(e), REASON_MALFORMED);
	assert_int_equal(out.len, 0);
}

static void
what_is_too_much_is_refused(void **state)
{
	static const struct {
		const char *head, *line, *says;
		size_t times;
		int result;
	} cases[] = {
		{ "", "a%zu 1\n", "", EXPOSITION_SAMPLES_MAX, 0 },
		{ "", "a%zu 1\n", "more than 10000 samples", EXPOSITION_SAMPLES_MAX + 1,
			REASON_TOO_LARGE },
		{ "", "# TYPE a%zu gauge\n", "more than 65536 names", 65537 + 1, REASON_TOO_LARGE },
		{ "a{x=\"", X10, "", 6553 - 1, 0 },
		{ "a{x=\"", X10, "more than 65536 bytes in a line", 6554, REASON_TOO_LARGE },
		{ "# TYPE a histogram\n", "a_bucket{le=\"%zu\"} 1\n", "a bucket too many", 514,
			REASON_MALFORMED },
		{ "# TYPE a summary\n", "a{quantile=\"0.%04zu\"} 1\n", "a quantile too many", 514,
			REASON_MALFORMED },
		{ "# TYPE a", X10, "more than 1024 bytes", 103, REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(4 * 1024 * 1024);
		SCOPED(buf_done) struct buf text = BUF_MAX(4 * 1024 * 1024);
		char line[256];

		buf_puts(&text, cases[i].head);
		for (size_t n = 0; n < cases[i].times; n++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			(void)snprintf(line, sizeof(line), cases[i].line, n);
#pragma GCC diagnostic pop
			buf_puts(&text, line);
		}
		if (strncmp(cases[i].head, "a{", 2) == 0)
			buf_puts(&text, "\"} 1\n");
		if (strcmp(cases[i].head, "# TYPE a") == 0)
			buf_puts(&text, " gauge\n");
		if (cases[i].result == 0)
			assert_int_equal(read_pieces(&out, TEXT, text.data, text.len, text.len + 1),
				0);
		else
			assert_refused(read_pieces(&out, TEXT, text.data, text.len, 4096),
				(enum reason)cases[i].result, cases[i].says);
	}
}

static int
stop(const struct otlp_sample *s, bool timed, void *arg)
{
	(void)s;
	(void)timed;
	(*(int *)arg)++;
	return REASON_DENIED;
}

static void
whoever_takes_samples_may_stop_it(void **state)
{
	SCOPED(exposition_freep) struct exposition *e = NULL;
	char text[] = "a 1\nb 1\n";
	int calls = 0;

	(void)state;
	assert_int_equal(exposition_new(&e, TEXT, "test", stop, &calls), 0);
	assert_int_equal(exposition_feed(e, text, 8), REASON_DENIED);
	assert_int_equal(exposition_end(e), REASON_DENIED);
	assert_int_equal(calls, 1);
}

static void
content_types_name_formats(void **state)
{
	static const struct {
		const char *type;
		int format; /* -1: none */
	} types[] = {
		{ "text/plain; version=0.0.4; charset=utf-8", TEXT },
		{ "text/plain", TEXT },
		{ "Text/Plain;charset=utf-8", TEXT },
		{ "text/plain; version=1.0.0; escaping=underscores", WIDE },
		{ "text/plain; version=0.0.2", -1 },
		{ "application/openmetrics-text; version=1.0.0; charset=utf-8", OM },
		{ "application/openmetrics-text;version=\"0.0.1\"", OM },
		{ "application/openmetrics-text", OM },
		{ "application/openmetrics-text; version=2.0.0", -1 },
		{ "text/html", -1 },
		{ "text/plainer", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		enum exposition_format format = EXPOSITION_MAX;
		int r = exposition_format_of(&format, types[i].type);

		if (r != (types[i].format < 0 ? REASON_MALFORMED : 0) ||
			(r == 0 && (int)format != types[i].format))
			fail_msg("%s: %d, %d", types[i].type, r, format);
	}
}

/* --- printed ------------------------------------------------------------------------------------------------ */
static void
what_is_printed_reads_as_it_was(void **state)
{
	static const double bounds[] = { 0.1, 2.5 }, quantiles[] = { 0.5, 0.99 },
			    values[] = { 1, 1.0 / 3 };
	static const uint64_t buckets[] = { 2, 0, 3 };
	static const struct otlp_distribution h = { .count = 5,
		.has_sum = true,
		.sum = 7.25,
		.bounds = bounds,
		.n_bounds = 2,
		.buckets = buckets };
	static const struct otlp_distribution q = { .count = 4,
		.has_sum = true,
		.sum = 1,
		.bounds = quantiles,
		.n_bounds = 2,
		.values = values };
	static const struct otlp_sample samples[] = {
		{ .name = "b",
			.service = "redis",
			.real = 1e-7,
			.labels = { { "x", "a\"\\\n" } },
			.n_labels = 1 },
		{ .name = "b", .is_int = true, .whole = -5 },
		{ .name = "b",
			.kind = OTLP_SAMPLE_COUNTER,
			.real = 3 }, /* of another kind: left out */
		{ .name = "a_total",
			.kind = OTLP_SAMPLE_COUNTER,
			.real = 3,
			.start_us = 1500000,
			.time_us = 2000000 },
		{ .name = "c", .kind = OTLP_SAMPLE_COUNTER, .real = INFINITY },
		{ .name = "gone", .no_value = true },
		{ .name = "h", .kind = OTLP_SAMPLE_HISTOGRAM, .distribution = &h },
		{ .name = "s", .kind = OTLP_SAMPLE_SUMMARY, .distribution = &q },
	};
	SCOPED(buf_done) struct buf text = BUF_MAX(4096), om = BUF_MAX(4096), read = BUF_MAX(4096);

	(void)state;
	assert_int_equal(exposition_print(&text, TEXT, samples, ARRAY_LEN(samples), true, NULL), 2);
	assert_string_equal(buf_text(&text),
		"# TYPE a_total counter\na_total 3 2000\n"
		"# TYPE b gauge\nb{service=\"redis\",x=\"a\\\"\\\\\\n\"} 1e-07\nb -5\n"
		"# TYPE c counter\nc +Inf\n"
		"# TYPE h histogram\nh_bucket{le=\"0.1\"} 2\nh_bucket{le=\"2.5\"} "
		"2\nh_bucket{le=\"+Inf\"} 5\nh_sum 7.25\nh_count 5\n"
		"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.99\"} "
		"0.33333333333333331\ns_sum 1\ns_count 4\n");
	assert_int_equal(exposition_print(&om, OM, samples, ARRAY_LEN(samples), true, NULL), 2);
	assert_int_equal(buf_error(&om), 0);
	assert_int_equal(read_pieces(&read, OM, om.data, om.len, om.len), 0);
	assert_string_equal(buf_text(&read),
		"c a_total 3 from 1500000 at 2000000\ng b [service=redis] [x=a\"\\\n] "
		"9.9999999999999995e-08\ng b -5\nc c_total inf\n"
		"h h n 5 sum 7.25 0.1:2 2.5:0 inf:3\ns s n 4 sum 1 0.5:1 0.99:0.333333\n");
}

static int
ignore(const struct otlp_sample *sample, bool timed, void *arg)
{
	(void)sample;
	(void)timed;
	++*(size_t *)arg;
	return 0;
}

static void
what_is_left_out_is_counted_and_more_labels_than_a_line_may_have_are_refused(void **state)
{
	SCOPED(exposition_freep) struct exposition *e = NULL, *other = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);
	size_t n = 0;

	(void)state;
	for (int count = 16; count <= EXPOSITION_LABELS_MAX; count += 24) {
		buf_printf(&text, "a%d{", count);
		for (int i = 0; i < count; i++)
			buf_printf(&text, "l%d=\"\",", i);
		buf_puts(&text, "} 1\n");
	}
	assert_int_equal(exposition_new(&e, TEXT, "it", ignore, &n), 0);
	assert_int_equal(exposition_feed(e, (char *)text.data, text.len), 0);
	assert_int_equal(exposition_end(e), 0);
	assert_int_equal(n, 1); /* of 16; 40 and 64 are left out */
	assert_int_equal(exposition_dropped(e), 2);
	assert_int_equal(exposition_samples(e), 3);
	buf_reset(&text);
	buf_puts(&text, "a{");
	for (int i = 0; i <= EXPOSITION_LABELS_MAX; i++)
		buf_printf(&text, "l%d=\"\",", i);
	buf_puts(&text, "} 1\n");
	assert_int_equal(exposition_new(&other, TEXT, "it", ignore, &n), 0);
	assert_refused(exposition_feed(other, (char *)text.data, text.len), REASON_MALFORMED, "has more than 64 labels");
}

/* However it comes: one that lies in what was read, and one that is put together. */
static void
a_line_that_is_too_long_is_refused_also_where_it_comes_in_one_piece(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(2 * EXPOSITION_LINE_MAX), out = BUF_MAX(64);

	(void)state;
	buf_puts(&text, "# ");
	while (text.len < EXPOSITION_LINE_MAX && buf_error(&text) == 0)
		buf_u8(&text, 'x');
	buf_u8(&text, '\n');
	assert_int_equal(buf_error(&text), 0);
	assert_int_equal(read_pieces(&out, TEXT, text.data, text.len, text.len), 0);
	assert_int_equal(read_pieces(&out, TEXT, text.data, text.len, 1000), 0);
	text.data[text.len - 1] = 'x';
	buf_puts(&text, "\n");
	assert_refused(read_pieces(&out, TEXT, text.data, text.len, text.len), REASON_TOO_LARGE, "bytes in a line");
	assert_refused(read_pieces(&out, TEXT, text.data, text.len, 1000), REASON_TOO_LARGE, "bytes in a line");
}

static const char *
help_of(const char *name)
{
	return *name == 'b' || *name == 'c' || *name == 'a' ? "of ours" : NULL;
}

static void
what_is_ours_is_described_and_its_counters_have_one_name(void **state)
{
	static const struct otlp_sample samples[] = {
		{ .name = "a_total", .kind = OTLP_SAMPLE_COUNTER, .real = 3 },
		{ .name = "b", .real = 1 },
		{ .name = "c", .kind = OTLP_SAMPLE_COUNTER, .real = 4, .start_us = 1500000 },
		{ .name = "theirs", .kind = OTLP_SAMPLE_COUNTER, .real = 5 },
	};
	SCOPED(buf_done) struct buf text = BUF_MAX(4096), om = BUF_MAX(4096);

	(void)state;
	assert_int_equal(exposition_print(&text, TEXT, samples, ARRAY_LEN(samples), false, help_of), 0);
	assert_string_equal(buf_text(&text),
		"# HELP a_total of ours\n# TYPE a_total counter\na_total 3\n"
		"# HELP b of ours\n# TYPE b gauge\nb 1\n"
		"# HELP c_total of ours\n# TYPE c_total counter\nc_total 4\n"
		"# TYPE theirs counter\ntheirs 5\n");
	assert_int_equal(exposition_print(&om, OM, samples, ARRAY_LEN(samples), false, help_of), 0);
	assert_string_equal(buf_text(&om),
		"# HELP a of ours\n# TYPE a counter\na_total 3\n"
		"# HELP b of ours\n# TYPE b gauge\nb 1\n"
		"# HELP c of ours\n# TYPE c counter\nc_total 4\nc_created 1.500000\n"
		"# TYPE theirs counter\ntheirs_total 5\n# EOF\n");
}

/* --- other people's cases ------------------------------------------------------------------------------------- */
static bool
should_parse(int dir)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(65536);
	SCOPED_JSON *doc = NULL;

	assert_int_equal(fs_read(dir, "test.json", in.max, &in), 0);
	assert_int_equal(json_read(&doc, in.data, in.len, in.max, "test.json"), 0);
	return json_is_true(json_object_get(doc, "shouldParse"));
}

static void
the_cases_of_openmetrics(void **state)
{
	const char *root = getenv("VECTORS");
	size_t good = 0, bad = 0;
	struct dirent *entry;
	char path[512];
	DIR *all;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/openmetrics/tests/testdata/parsers",
		root ? root : "../shared/vectors");
	all = opendir(path);
	if (!all) {
		print_message("skipped: no %s\n", path);
		skip();
	}
	while ((entry = readdir(all))) {
		SCOPED(scope_close)
		int dir = openat(dirfd(all), entry->d_name, O_DIRECTORY | O_PATH | O_CLOEXEC);
		SCOPED(buf_done) struct buf text = BUF_MAX(65536);
		SCOPED(buf_done) struct buf out = BUF_MAX(65536);
		bool want;
		int r;

		if (*entry->d_name == '.')
			continue;
		want = should_parse(dir);
		assert_int_equal(fs_read(dir, "metrics", text.max, &text), 0);
		r = read_pieces(&out, OM, text.data, text.len, 7);
		if (r != (want ? 0 : REASON_MALFORMED))
			fail_msg("%s: %d, %s", entry->d_name, r,
				r ? refuse_last()->text : "it must not parse");
		*(want ? &good : &bad) += 1;
	}
	closedir(all);
	assert_int_equal(good, 44);
	assert_int_equal(bad, 167);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_row_by_row),
		cmocka_unit_test(a_parser_that_refused_takes_no_more),
		cmocka_unit_test(what_is_too_much_is_refused),
		cmocka_unit_test(whoever_takes_samples_may_stop_it),
		cmocka_unit_test(content_types_name_formats),
		cmocka_unit_test(what_is_printed_reads_as_it_was),
		cmocka_unit_test(what_is_ours_is_described_and_its_counters_have_one_name),
		cmocka_unit_test(what_is_left_out_is_counted_and_more_labels_than_a_line_may_have_are_refused),
		cmocka_unit_test(a_line_that_is_too_long_is_refused_also_where_it_comes_in_one_piece),
		cmocka_unit_test(the_cases_of_openmetrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
