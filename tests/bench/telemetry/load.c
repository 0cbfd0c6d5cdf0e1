/* The logs' way on the site, measured: lines made, followed, and what was stored counted.
 *
 *	load corpus DIR BYTES    syslog.log, json.log and nginx.log in DIR, together of that size; prints "lines N"
 *	load follow DIR STATE    follow the three until nothing is left to read, into STATE's stream "logs", and end;
 *	                         a first run, before they exist, begins at their beginnings
 *	load check STATE         decode every record: prints "lines N lost N doubled N stored BYTES records N" */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/number.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ledger.h"
#include "appliance/egress/redact.h"
#include "appliance/loop/loop.h"
#include "appliance/record/record.h"
#include "telemetry/logs/logs.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/spool/spool.h"

enum { KINDS = 3 };

static const struct kind {
	const char *name, *file;
	enum log_format format;
} kinds[KINDS] = {
	{ "log.bench.syslog", "syslog.log", LOG_FORMAT_SYSLOG },
	{ "log.bench.json", "json.log", LOG_FORMAT_JSON },
	{ "log.bench.nginx", "nginx.log", LOG_FORMAT_NGINX },
};

/* --- making ------------------------------------------------------------------------------------------ */
static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Each line says its number as seq=N: what is missing or twice is seen by it. */
static void
put_line(struct buf *out, unsigned kind, uint64_t n, uint32_t *seed)
{
	static const char *const paths[] = { "/", "/api/v1/orders", "/static/app.js", "/login",
		"/api/v1/items/search", "/health", "/images/logo.svg" };
	static const char *const words[] = { "accepted", "queued", "stored", "expired", "retried",
		"closed by peer", "waiting for a free slot" };
	const unsigned s = (unsigned)(n / 2000) % 60, ms = (unsigned)(n / 2) % 1000;
	const char *path = paths[next(seed) % ARRAY_LEN(paths)];
	const char *word = words[next(seed) % ARRAY_LEN(words)];

	if (kind == 0)
		buf_printf(out,
			"Nov 22 08:00:%02u host-%u worker[%u]: request %08x %s after %u ms from shard %u seq=%" PRIu64 "\n",
			s, next(seed) % 4, 900 + next(seed) % 64, next(seed), word, next(seed) % 900,
			next(seed) % 16, n);
	else if (kind == 1)
		buf_printf(out,
			"{\"time\":\"2026-11-22T08:00:%02u.%03uZ\",\"level\":\"%s\",\"msg\":\"%s\",\"path\":\"%s\",\"took_ms\":%u,\"bytes\":%u,\"seq\":\"seq=%" PRIu64 "\"}\n",
			s, ms, next(seed) % 20 ? "info" : "warn", word, path, next(seed) % 900,
			next(seed) % 100000, n);
	else
		buf_printf(out,
			"10.%u.%u.%u - - [22/Nov/2026:08:00:%02u +0000] \"GET %s?page=%u HTTP/1.1\" %u %u \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\" seq=%" PRIu64 "\n",
			next(seed) % 4, next(seed) % 256, next(seed) % 256, s, path, next(seed) % 100,
			next(seed) % 50 ? 200 : 503, next(seed) % 100000, n);
}

static int
make_one(int dir_fd, unsigned kind, uint64_t bytes, uint64_t *lines)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(2 * 1024 * 1024);
	SCOPED(scope_close) int fd = openat(dir_fd, kinds[kind].file,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	uint64_t done = 0, n = 0;
	uint32_t seed = kind + 1;
	int r = 0;

	if (fd < 0)
		return FAULT(-errno);
	while (r == 0 && done < bytes) {
		while (out.len < 1024 * 1024 && done + out.len < bytes)
			put_line(&out, kind, n++, &seed);
		r = buf_error(&out);
		r = r ?: fs_write_all(fd, out.data, out.len);
		done += out.len;
		buf_reset(&out);
	}
	*lines += n;
	return FAULT(r);
}

static int
make_corpus(const char *dir, const char *size)
{
	SCOPED(scope_close) int dir_fd = -1;
	uint64_t bytes, lines = 0;
	unsigned kind;
	int r;

	if (number_size(&bytes, size) != 0)
		return FAULT(-EINVAL);
	r = fs_open_dir(&dir_fd, AT_FDCWD, dir, 0755);
	for (kind = 0; r == 0 && kind < KINDS; kind++)
		r = make_one(dir_fd, kind, bytes / KINDS, &lines);
	printf("lines %" PRIu64 "\n", lines);
	return r;
}

/* --- following ----------------------------------------------------------------------------------------- */
static int
redact(uint32_t *secret_lines, const void *line, size_t len, struct buf *out, void *arg)
{
	struct redact_state state = { .inside = *secret_lines };
	int r;

	if (redact_leaves(arg, &state, line, len))
		return LOG_REDACT_NOTHING;
	r = redact_line(arg, &state, line, len, out, NULL);
	*secret_lines = state.inside;
	return r;
}

static void
lines(const void *p, size_t len, void *arg)
{
	redact_lines(arg, p, len);
}

static bool
may(const struct logs_source *source, const char *example, void *arg)
{
	(void)source;
	(void)example;
	(void)arg;
	return true;
}

static int
follow(const char *dir, const char *state)
{
	static const struct logs_ops ops = { .lines = lines, .redact = redact, .may = may };
	static const struct spool_limits limits = { .total_max = UINT64_C(8) << 30 };
	SCOPED(redact_freep) struct redact *redactor = NULL;
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(spool_closep) struct spool *spool = NULL;
	SCOPED(logs_freep) struct logs *logs = NULL;
	SCOPED(scope_close) int state_fd = -1;
	struct logs_source sources[KINDS];
	unsigned kind;
	int r;

	for (kind = 0; kind < KINDS; kind++)
		sources[kind] = (struct logs_source){ .service = "bench",
			.field = kinds[kind].name,
			.dir = dir,
			.file = kinds[kind].file,
			.format = kinds[kind].format };
	r = fs_open_dir(&state_fd, AT_FDCWD, state, 0750);
	r = r ?: redact_new(&redactor, NULL, 0);
	r = r ?: loop_new(&loop, NULL, NULL);
	r = r ?: spool_open(&spool, state_fd, "logs", &limits);
	r = r ?: logs_new(&logs, loop, state_fd, spool, &ops, redactor);
	if (r == 0)
		logs_site(logs, "bench");
	r = r ?: logs_set(logs, sources, KINDS);
	r = r ?: logs_drain(logs);
	return r;
}

/* --- counting ------------------------------------------------------------------------------------------- */
struct tally {
	uint64_t next[KINDS], lines, lost, doubled;
};

static int
see(const struct otlp_record *record, void *arg)
{
	struct tally *t = arg;
	const char *body = record->body.text.p, *at = NULL;
	size_t len = record->body.text.len;
	uint64_t n = 0;
	unsigned kind;

	for (kind = 0; kind < KINDS - 1; kind++)
		if (record->origin.scope.len == strlen(kinds[kind].name) &&
			memcmp(record->origin.scope.p, kinds[kind].name, record->origin.scope.len) ==
				0)
			break;
	if (len > 32)
		at = memmem(body + len - 32, 32, "seq=", 4);
	if (!at) {
		t->lost++;
		return 0;
	}
	for (at += 4; at < body + len && *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	t->lines++;
	if (n < t->next[kind]) {
		t->doubled++;
		return 0;
	}
	t->lost += n - t->next[kind];
	t->next[kind] = n + 1;
	return 0;
}

static int
check(const char *state)
{
	static const struct otlp_decode_ops ops = { .record = see };
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf plain = BUF_MAX(LEDGER_PLAIN_MAX);
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_RECORD_MAX);
	SCOPED(scope_close) int state_fd = -1;
	struct otlp_tally decoded;
	struct ledger_entry e;
	struct tally t = { 0 };
	uint64_t sequence, stored = 0, records = 0;
	const uint8_t *body;
	size_t len;
	int r;

	r = fs_open_dir(&state_fd, AT_FDCWD, state, 0750);
	r = r ?: record_reader_open(&rd, state_fd, "logs", 1);
	while (r == 0 && (r = record_reader_next(rd, &in, &sequence)) == 0) {
		r = ledger_decode(&e, in.data, in.len, "logs");
		r = r ?: ledger_plain(&e, &plain, &body, &len, "logs");
		r = r ?: otlp_decode_logs(body, len, &ops, &t, &decoded);
		stored += e.body_len;
		records++;
	}
	printf("lines %" PRIu64 " lost %" PRIu64 " doubled %" PRIu64 " stored %" PRIu64
	       " records %" PRIu64 "\n",
		t.lines, t.lost, t.doubled, stored, records);
	return r == RECORD_END ? 0 : r;
}

int
main(int argc, char **argv)
{
	int r;

	if (argc == 4 && strcmp(argv[1], "corpus") == 0)
		r = make_corpus(argv[2], argv[3]);
	else if (argc == 4 && strcmp(argv[1], "follow") == 0)
		r = follow(argv[2], argv[3]);
	else if (argc == 3 && strcmp(argv[1], "check") == 0)
		r = check(argv[2]);
	else
		r = -EINVAL;
	if (r != 0)
		fprintf(stderr, "load: %s\n", r < 0 ? strerror(-r) : "refused");
	return r != 0;
}
