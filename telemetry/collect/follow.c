#include "telemetry/collect/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/sample.h"
#include "telemetry/logs/log_entry.h"
#include "telemetry/logs/log_file.h"
#include "telemetry/logs/log_journal.h"
#include "telemetry/logs/logs.h"

struct follow {
	struct logs *logs;
	struct spool *spool;
	struct door *door;
	const struct config_settings *settings;
	const struct follow_ops *ops;
	void *arg;
};

static int
redact(uint32_t *secret_lines, const void *line, size_t len, struct buf *out, void *arg)
{
	struct follow *f = arg;

	return outgoing_log_line(secret_lines, line, len, out, door_outgoing(f->door));
}

static void
lines(const void *p, size_t len, void *arg)
{
	const struct follow *f = arg;

	outgoing_log_lines(p, len, door_outgoing(f->door));
}

static const char *
shape_of(const struct logs_source *source)
{
	return source->unit ? "log journal" : "log file";
}

/* The filter is asked also while telemetry is off: what would wait can be reviewed before. */
static bool
may(const struct logs_source *source, const char *example, void *arg)
{
	struct follow *f = arg;
	bool pass = outgoing_log(door_outgoing(f->door), source->service, source->field,
		shape_of(source), example, clock_now_us());

	return pass && f->ops->on(f->arg);
}

static int
before(void *arg)
{
	struct follow *f = arg;

	return FAULT(door_before_write(f->door));
}

static void
written(uint64_t sequence, void *arg)
{
	struct follow *f = arg;

	f->ops->written(f->spool, sequence, f->arg);
}

static const struct logs_ops ops = {
	.lines = lines, .redact = redact, .may = may, .before = before, .written = written
};

int
follow_new(struct follow **ret, sd_event *loop, int dir_fd, struct spool *spool, struct door *door,
	const struct config_settings *settings, const struct follow_ops *follow_ops, void *arg)
{
	SCOPED(follow_freep) struct follow *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return FAULT(-ENOMEM);
	f->spool = spool;
	f->door = door;
	f->settings = settings;
	f->ops = follow_ops;
	f->arg = arg;
	r = logs_new(&f->logs, loop, dir_fd, spool, &ops, f);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(f);
	return 0;
}

struct follow *
follow_free(struct follow *f)
{
	if (!f)
		return NULL;
	logs_free(f->logs);
	free(f);
	return NULL;
}

/* --- what is named -------------------------------------------------------------------------------------------- */
enum { FIELD_BYTES = 2 * CONFIG_NAME_MAX + 16 };

struct named {
	struct logs_source items[LOGS_MAX];
	char fields[LOGS_MAX][FIELD_BYTES];
	char dirs[CONFIG_LOGS_MAX][PATH_MAX]; /* of the operator's */
	size_t n;
};

static void
add(struct named *all, const struct logs_source *source, const char *owner, const char *name)
{
	if (all->n == LOGS_MAX)
		return;
	(void)snprintf(all->fields[all->n], FIELD_BYTES, "log.%s.%s", owner, name);
	all->items[all->n] = *source;
	all->items[all->n].field = all->fields[all->n];
	all->n++;
}

static void
add_of_service(struct named *all, const struct config_service *service)
{
	struct {
		const char *name, *dir, *file, *format;
	} in;
	static const struct json_field fields[] = {
		{ "name", JSON_KIND_TEXT, false, offsetof(__typeof__(in), name), CONFIG_NAME_MAX },
		{ "dir", JSON_KIND_TEXT, false, offsetof(__typeof__(in), dir), PATH_MAX - 1 },
		{ "file", JSON_KIND_TEXT, false, offsetof(__typeof__(in), file), 255 },
		{ "format", JSON_KIND_TEXT, false, offsetof(__typeof__(in), format), 32 },
	};
	const json_t *item;
	size_t i;

	json_array_foreach(service->logs, i, item) {
		enum log_format format;

		if (json_members(item, fields, ARRAY_LEN(fields), &in, service->name) != 0)
			continue;
		/* Of a release newer than this program: then its times are not read. */
		format = log_format_of(in.format);
		add(all,
			&(struct logs_source){ .service = service->name,
				.dir = in.dir,
				.file = in.file,
				.format = format < LOG_FORMAT_MAX ? format : LOG_FORMAT_PLAIN },
			service->name, in.name);
	}
}

static void
add_of_host(struct named *all, const struct config_settings *settings)
{
	size_t i;

	for (i = 0; i < settings->n_logs; i++) {
		const struct config_log *log = &settings->logs[i];
		const char *slash = strrchr(log->file, '/'); /* absolute: config.c sees to it */

		(void)snprintf(all->dirs[i], PATH_MAX, "%.*s",
			slash > log->file ? (int)(slash - log->file) : 1, log->file);
		add(all,
			&(struct logs_source){
				.dir = all->dirs[i], .file = slash + 1, .format = log->format },
			"host", log->name);
	}
}

static void
add_of_journal(struct named *all, const struct config_settings *settings)
{
	size_t i;

	for (i = 0; i < settings->n_units; i++)
		add(all,
			&(struct logs_source){
				.unit = settings->units[i],
				.level = settings->journal_level,
				.dir = *settings->journal_dir ? settings->journal_dir : NULL },
			"journal", settings->units[i]);
}

static void
name_all(struct named *all, const struct config *c, const struct config_settings *settings)
{
	for (size_t i = 0; i < c->n_services; i++)
		add_of_service(all, &c->services[i]);
	add_of_host(all, settings);
	add_of_journal(all, settings);
}

int
follow_set(struct follow *f, const struct config *c)
{
	SCOPED(scope_free) struct named *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return FAULT(-ENOMEM);
	name_all(all, c, f->settings);
	logs_site(f->logs, c->site ? c->site : "");
	r = logs_set(f->logs, all->items, all->n);
	return FAULT(r);
}

void
follow_look(struct follow *f)
{
	logs_look(f->logs);
}

/* --- preview --------------------------------------------------------------------------------------------------- */
enum { PREVIEW_BYTES = 16 * 1024 };

static int
redact_preview(uint32_t *secret_lines, const void *line, size_t len, struct buf *out, void *arg)
{
	return outgoing_log_line(secret_lines, line, len, out, door_outgoing(arg));
}

/* The end of the file, from the beginning of a line; empty where it cannot be read. */
static void
read_end(const struct logs_source *source, struct buf *out)
{
	SCOPED(scope_close) int dir_fd = open(source->dir, O_DIRECTORY | O_PATH | O_CLOEXEC);
	struct log_file file = LOG_FILE_NONE;
	uint8_t *room;
	ssize_t n;

	if (dir_fd < 0 || log_file_open(&file, dir_fd, source->file, 0) != 0)
		return;
	room = buf_reserve(out, PREVIEW_BYTES);
	n = room ? pread(file.fd, room, PREVIEW_BYTES,
			   file.size > PREVIEW_BYTES ? (off_t)(file.size - PREVIEW_BYTES) : 0) : 0;
	if (n > 0)
		buf_advance(out, (size_t)n);
	if (file.size > PREVIEW_BYTES) {
		const uint8_t *newline = out->len ? memchr(out->data, '\n', out->len) : NULL;

		buf_consume(out, newline ? (size_t)(newline - out->data) + 1 : out->len);
	}
	log_file_close(&file);
}

/* The last whole lines of what was read. */
static size_t
last_lines(struct buf *text, struct otlp_text lines[FOLLOW_PREVIEW_LINES])
{
	size_t n = 0, end = text->len, at;

	while (end > 0 && text->data[end - 1] != '\n')
		end--;
	for (; end > 0 && n < FOLLOW_PREVIEW_LINES; end = at) {
		for (at = end - 1; at > 0 && text->data[at - 1] != '\n'; at--)
			;
		lines[FOLLOW_PREVIEW_LINES - ++n] = (struct otlp_text){ (const char *)text->data + at, end - 1 - at };
	}
	return n;
}

/* What its last lines are, redacted; an example of them for review. */
struct preview {
	struct log_batch *batch;
	struct door *door;
	const struct logs_source *source;
	const struct log_batch_source *as;
};

/* May they leave?  last: one of them. */
static int
preview_may(const struct preview *p, const char *last, size_t len, bool *ret)
{
	SCOPED(buf_done) struct buf example = BUF_MAX(REDACT_GROWTH * PREVIEW_BYTES);
	uint32_t secret_lines = 0;
	int r = 0;

	if (len > PREVIEW_BYTES)
		len = PREVIEW_BYTES;
	if (len > 0)
		r = redact_preview(&secret_lines, last, len, &example, p->door);
	*ret = r == 0 &&
		outgoing_log(door_outgoing(p->door), p->source->service, p->source->field,
			shape_of(p->source), buf_text(&example), clock_now_us());
	return FAULT(r);
}

static int
preview_file(const struct preview *p)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(PREVIEW_BYTES);
	struct otlp_text lines[FOLLOW_PREVIEW_LINES], *last = &lines[FOLLOW_PREVIEW_LINES - 1];
	uint32_t secret_lines = 0;
	bool pass;
	size_t n, i;
	int r;

	read_end(p->source, &text);
	n = last_lines(&text, lines);
	r = preview_may(p, n > 0 ? last->p : NULL, n > 0 ? last->len : 0, &pass);
	for (i = FOLLOW_PREVIEW_LINES - n; r == 0 && pass && i < FOLLOW_PREVIEW_LINES; i++)
		r = log_batch_add(p->batch, p->as,
			&(struct log_batch_line){ .text = lines[i].p,
				.len = lines[i].len,
				.secret_lines = &secret_lines });
	return FAULT(r);
}

static int
preview_unit(const struct preview *p)
{
	SCOPED(log_journal_closep) struct log_journal *j = NULL;
	const struct log_journal_unit unit = { p->source->unit, p->source->level };
	struct log_journal_entry e = { .len = 0 };
	uint32_t secret_lines = 0;
	bool pass;
	int r = log_journal_open(&j, p->source->dir);

	if (r == 0)
		r = log_journal_last(j, &unit, 1, 1);
	if (r == 0)
		r = log_journal_next(j, &e);
	if (r < 0)
		return FAULT(r);
	if (preview_may(p, e.text, e.len, &pass) < 0 || !pass || r > 0)
		return 0;
	r = log_journal_last(j, &unit, 1, FOLLOW_PREVIEW_LINES);
	while (r == 0 && (r = log_journal_next(j, &e)) == 0)
		r = log_entry_add(p->batch, p->as, &e, &secret_lines, redact_preview, p->door);
	return r < 0 ? FAULT(r) : 0;
}

int
follow_preview(struct door *door, const struct config *c, const struct config_settings *settings,
	struct buf *out, size_t *ret_n)
{
	SCOPED(scope_free) struct named *all = calloc(1, sizeof(*all));
	SCOPED(scope_free) struct log_batch_source *as = calloc(LOGS_MAX, sizeof(*as));
	SCOPED(log_batch_freep) struct log_batch *batch = NULL;
	const struct log_now now = { .us = clock_now_us() };
	struct preview p = { .door = door };
	size_t i;
	int r;

	if (!all || !as)
		return FAULT(-ENOMEM);
	r = log_batch_new(&batch, redact_preview, door);
	if (r < 0)
		return FAULT(r);
	p.batch = batch;
	log_batch_site(batch, c->site ? c->site : "");
	log_batch_now(batch, &now);
	name_all(all, c, settings);
	for (i = 0; r == 0 && i < all->n; i++) {
		const struct logs_source *is = &all->items[i];

		as[i] = (struct log_batch_source){ is->service, is->field, is->file, is->format };
		p.source = is;
		p.as = &as[i];
		r = is->unit ? preview_unit(&p) : preview_file(&p);
	}
	*ret_n = log_batch_lines(batch);
	if (r == 0 && *ret_n > 0)
		r = log_batch_take(batch, out);
	return FAULT(r);
}

/* --- about itself ---------------------------------------------------------------------------------------------- */
void
follow_own(const struct follow *f, struct sample_set *out, uint64_t since_us, uint64_t now_us)
{
	struct logs_count c;

	logs_counted(f->logs, &c);
	{
		const struct {
			const char *name, *unit;
			uint64_t v;
		} counts[] = {
			{ "mainstay_log_lines", "1", c.batch.lines },
			{ "mainstay_log_bytes", "By", c.batch.bytes },
			{ "mainstay_log_escaped_bytes", "By", c.batch.escaped },
			{ "mainstay_log_cut_lines", "1", c.cut + c.batch.oversize },
			{ "mainstay_log_lost_files", "1", c.lost },
			{ "mainstay_log_refused_batches", "1", c.refused },
		};
		size_t i;

		for (i = 0; i < ARRAY_LEN(counts); i++)
			sample_count_int(sample_add(out, NULL, counts[i].name, counts[i].unit,
						 now_us),
				since_us, (int64_t)counts[i].v);
	}
	(void)sample_gauge_int(out, NULL, "mainstay_log_files", "1", now_us, (int64_t)c.files);
	(void)sample_gauge_int(out, NULL, "mainstay_log_denied", "1", now_us, (int64_t)c.denied);
}
