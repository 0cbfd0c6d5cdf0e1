#include "telemetry/collect/follow.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/sample.h"
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

int
follow_set(struct follow *f, const struct config *c)
{
	SCOPED(scope_free) struct named *all = calloc(1, sizeof(*all));
	size_t i;
	int r;

	if (!all)
		return FAULT(-ENOMEM);
	for (i = 0; i < c->n_services; i++)
		add_of_service(all, &c->services[i]);
	add_of_host(all, f->settings);
	logs_site(f->logs, c->site ? c->site : "");
	r = logs_set(f->logs, all->items, all->n);
	return FAULT(r);
}

void
follow_look(struct follow *f)
{
	logs_look(f->logs);
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
