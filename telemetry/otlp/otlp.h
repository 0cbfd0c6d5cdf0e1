/* OTLP's shapes, as opentelemetry-proto 1.11 numbers them (data only).
 *
 * Two families: what we write (struct otlp_sample, struct otlp_event: C strings of our own) and what
 * we read (struct otlp_point, struct otlp_record: slices of a peer's bytes).  They differ on purpose:
 * nothing that came from outside is NUL-terminated until its reader has copied it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OTLP_BODY_MAX = 64 * 1024 * 1024, /* of a request, unpacked */
	OTLP_DEPTH_MAX = 32,		  /* of AnyValue in AnyValue, and of groups in groups */
	OTLP_ATTRIBUTES_MAX = 128,	  /* of one resource, scope, point or record */
	OTLP_BUCKETS_MAX = 512,		  /* of one histogram; quantiles of one summary */
	OTLP_LABELS_MAX = 16,		  /* of a sample that we write */
	OTLP_EVENT_LABELS_MAX = 32,	  /* of an event or log line that we write */
};

enum otlp_kind {
	OTLP_KIND_GAUGE = 5, /* the field numbers of Metric.data */
	OTLP_KIND_SUM = 7,
	OTLP_KIND_HISTOGRAM = 9,
	OTLP_KIND_EXPONENTIAL = 10,
	OTLP_KIND_SUMMARY = 11,
};

enum otlp_temporality {
	OTLP_TEMPORALITY_NONE = 0,
	OTLP_TEMPORALITY_DELTA = 1,
	OTLP_TEMPORALITY_CUMULATIVE = 2,
};

enum otlp_severity {
	OTLP_SEVERITY_INFO = 9,
	OTLP_SEVERITY_WARN = 13,
	OTLP_SEVERITY_ERROR = 17,
	OTLP_SEVERITY_FATAL = 21,
};

enum { OTLP_FLAG_NO_VALUE = 1 }; /* of a point: the series went stale */

/* --- read ------------------------------------------------------------------------------------------ */
struct otlp_text {
	const char *
		p; /* len bytes of the input, UTF-8, may hold NUL; not terminated; NULL while len is 0 */
	size_t len;
};

enum otlp_value_kind {
	OTLP_VALUE_NONE,
	OTLP_VALUE_TEXT,
	OTLP_VALUE_BOOL,
	OTLP_VALUE_INT,
	OTLP_VALUE_DOUBLE,
	OTLP_VALUE_BYTES,
	OTLP_VALUE_ARRAY, /* text: the checked encoding; otlp_decode_json() renders it */
	OTLP_VALUE_MAP,
};

struct otlp_value {
	enum otlp_value_kind kind;
	struct otlp_text text; /* TEXT, BYTES, ARRAY, MAP */
	union {
		bool truth;
		int64_t whole;
		double real;
	};
};

struct otlp_attribute {
	struct otlp_text key;
	struct otlp_value value;
};

/* Where a point or record came from. */
struct otlp_origin {
	const struct otlp_attribute *resource;
	size_t n_resource;
	struct otlp_text scope;
	struct otlp_text scope_version;
};

/* One data point of one metric. */
struct otlp_point {
	struct otlp_origin origin;
	struct otlp_text name;
	struct otlp_text unit;
	struct otlp_text description;
	enum otlp_kind kind;
	bool monotonic; /* SUM */
	enum otlp_temporality temporality;
	uint64_t metric; /* which of the request: points of one metric have the same */
	const struct otlp_attribute *attributes;
	size_t n_attributes;
	/* The attributes as they came: len bytes of the input, where they lie side by side there (is_run).  The same
	 * bytes are the same attributes. */
	bool is_run;
	struct otlp_text run;
	uint64_t start_ns; /* 0: not given */
	uint64_t time_ns;
	uint32_t flags;
	bool has_value; /* GAUGE and SUM: as_double or as_int was given */
	bool is_int;
	int64_t whole; /* is_int */
	double real;   /* always the value as a double */
	/* HISTOGRAM, EXPONENTIAL and SUMMARY.  Exponential buckets are not handed on. */
	uint64_t count;
	bool has_sum, has_min, has_max;
	double sum, min, max;
	const uint64_t *bucket_counts; /* HISTOGRAM: n_bounds + 1 or none */
	size_t n_bucket_counts;
	const double *bounds; /* HISTOGRAM: upper bounds; SUMMARY: quantiles */
	size_t n_bounds;
	const double *values; /* SUMMARY: n_bounds values */
};

/* One log record. */
struct otlp_record {
	struct otlp_origin origin;
	uint64_t time_ns;
	uint64_t observed_ns;
	unsigned severity; /* 0 unknown .. 24 */
	struct otlp_text severity_text;
	struct otlp_text event_name;
	struct otlp_value body;
	const struct otlp_attribute *attributes;
	size_t n_attributes;
	uint32_t flags;
	struct otlp_text trace_id; /* 16 raw bytes or none */
	struct otlp_text span_id;  /* 8 raw bytes or none */
};

/* --- written ---------------------------------------------------------------------------------------- */
struct otlp_label {
	const char *name;
	const char *value;
};

/* Who speaks: resource attributes mainstay.site and, of a service, service.name. */
struct otlp_speaker {
	const char *site;
	const char *version; /* of the program: the scope's version */
};

enum otlp_sample_kind {
	OTLP_SAMPLE_GAUGE,
	OTLP_SAMPLE_COUNTER,   /* monotonic and cumulative, with a start */
	OTLP_SAMPLE_HISTOGRAM, /* cumulative, with a start */
	OTLP_SAMPLE_SUMMARY,   /* with a start */
};

/* What a histogram or summary holds; its arrays are borrowed, as long as the sample lives. */
struct otlp_distribution {
	uint64_t count;
	bool has_sum;
	double sum;
	/* HISTOGRAM: upper bounds, ascending, without infinity; SUMMARY: quantiles in 0..1 */
	const double *bounds;
	size_t n_bounds; /* up to OTLP_BUCKETS_MAX */
	const uint64_t *
		buckets; /* HISTOGRAM: n_bounds + 1 counts, each of its own bucket alone, or NULL */
	const double *values; /* SUMMARY: n_bounds values */
};

/* One number, or one distribution of numbers. */
struct otlp_sample {
	const char *service; /* NULL: the host itself */
	const char *name;
	const char *unit; /* UCUM ("By", "s", "1"); may be NULL */
	enum otlp_sample_kind kind;
	bool no_value; /* the series went stale: neither number nor distribution is written */
	bool is_int;
	int64_t whole;
	double real;
	const struct otlp_distribution *distribution; /* HISTOGRAM, SUMMARY; borrowed */
	uint64_t start_us; /* all but gauges: since when; 0: unknown, none */
	uint64_t time_us;
	struct otlp_label labels[OTLP_LABELS_MAX];
	size_t n_labels;
};

/* One event, as a log record. */
struct otlp_event {
	const char *service; /* NULL: the host itself */
	const char *name;    /* event_name, "mainstay.alert" */
	enum otlp_severity severity;
	const char *severity_text;
	const char *body;
	uint64_t time_us;
	struct otlp_label labels[OTLP_EVENT_LABELS_MAX];
	size_t n_labels;
};

/* Where lines come from: resource attributes service.name and log.file.name (once, not with each line), scope name. */
struct otlp_log_source {
	const char *service; /* NULL: the host itself */
	const char *field;   /* "log.redis.server": the scope's name */
	const char *file;    /* NULL: not of a file */
};

/* One line of a log, as a log record. */
struct otlp_log_line {
	uint64_t time_us; /* 0: unknown */
	uint64_t observed_us;
	unsigned severity; /* 0 unknown .. 24 */
	const char *body;  /* len bytes of UTF-8 */
	size_t len;
	const struct otlp_label *labels; /* borrowed; up to OTLP_EVENT_LABELS_MAX */
	size_t n_labels;
};
