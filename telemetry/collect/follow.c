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
#include "telemetry/logs/log_file.h"
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

/* The filter is asked also while telemetry is off: what would wait can be reviewed before. */
static bool
may(const struct logs_source *source, const char *example, void *arg)
{
	struct follow *f = arg;
	bool pass = outgoing_log(door_outgoing(f->door), source->service, source->field, "log file",
		example, clock_now_us());

	return pass && f->ops->on(f->arg);
}

static void
before(void *arg)
{
	struct follow *f = arg;

	door_before_write(f->door);
}

static void
written(uint64_t sequence, void *arg)
{
	struct follow *f = arg;

	f->ops->written(f->spool, sequence, f->arg);
}

static const struct logs_ops ops = {
	.redact = redact, .may = may, .before = before, .written = written
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
name_all(struct named *all, const struct config *c, const struct config_settings *settings)
{
	for (size_t i = 0; i < c->n_services; i++)
		add_of_service(all, &c->services[i]);
	add_of_host(all, settings);
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

static int
preview_source(struct log_batch *batch, struct door *door, const struct logs_source *source,
	const struct log_batch_source *as)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(PREVIEW_BYTES), example = BUF_MAX(REDACT_GROWTH * PREVIEW_BYTES);
	struct otlp_text lines[FOLLOW_PREVIEW_LINES];
	uint32_t secret_lines = 0;
	size_t n, i;
	int r = 0;

	read_end(source, &text);
	n = last_lines(&text, lines);
	if (n > 0)
		r = redact_preview(&secret_lines, lines[FOLLOW_PREVIEW_LINES - 1].p,
			lines[FOLLOW_PREVIEW_LINES - 1].len, &example, door);
	if (r < 0 || !outgoing_log(door_outgoing(door), source->service, source->field, "log file",
			     buf_text(&example), clock_now_us()))
		return FAULT(r);
	secret_lines = 0;
	for (i = FOLLOW_PREVIEW_LINES - n; r == 0 && i < FOLLOW_PREVIEW_LINES; i++)
		r = log_batch_add(batch, as, &(struct log_batch_line){ .text = lines[i].p, .len = lines[i].len,
			.secret_lines = &secret_lines });
	return FAULT(r);
}

int
follow_preview(struct door *door, const struct config *c, const struct config_settings *settings,
	struct buf *out, size_t *ret_n)
{
	SCOPED(scope_free) struct named *all = calloc(1, sizeof(*all));
	SCOPED(scope_free) struct log_batch_source *as = calloc(LOGS_MAX, sizeof(*as));
	SCOPED(log_batch_freep) struct log_batch *batch = NULL;
	const struct log_now now = { .us = clock_now_us() };
	size_t i;
	int r;

	if (!all || !as)
		return FAULT(-ENOMEM);
	r = log_batch_new(&batch, redact_preview, door);
	if (r < 0)
		return FAULT(r);
	log_batch_site(batch, c->site ? c->site : "");
	log_batch_now(batch, &now);
	name_all(all, c, settings);
	for (i = 0; r == 0 && i < all->n; i++) {
		const struct logs_source *is = &all->items[i];

		as[i] = (struct log_batch_source){ is->service, is->field, is->file, is->format };
		r = preview_source(batch, door, is, &as[i]);
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
