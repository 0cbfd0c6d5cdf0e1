#include "telemetry/collect/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

#define FILE_NAME "config.json"

enum { PATH_BYTES = 512 };

/* --- what the monitor tells ------------------------------------------------------------------------------ */
static int
read_rules(struct config *c, const char *service, const json_t *alerts)
{
	struct rule **more;
	const json_t *item;
	size_t i;
	int r;

	if (json_array_size(alerts) > RULE_MAX - c->n_rules)
		return REFUSE(REASON_TOO_LARGE, service, "more than %d alerts in all", RULE_MAX);
	more = reallocarray(c->rules, c->n_rules + json_array_size(alerts) + 1, sizeof(*more));
	if (!more)
		return FAULT(-ENOMEM);
	c->rules = more;
	json_array_foreach (alerts, i, item) {
		r = rule_read(&c->rules[c->n_rules], service, (json_t *)item);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
		c->n_rules++;
	}
	return 0;
}

static int
read_service(struct config *c, const json_t *item)
{
	struct {
		const char *name, *release, *dir;
		const json_t *metrics, *alerts, *logs;
	} in = { .release = "" };
	static const struct json_field fields[] = {
		{ "name", JSON_KIND_TEXT, false, offsetof(__typeof__(in), name), CONFIG_NAME_MAX },
		{ "release", JSON_KIND_TEXT0, true, offsetof(__typeof__(in), release), 80 },
		{ "dir", JSON_KIND_TEXT, false, offsetof(__typeof__(in), dir), PATH_BYTES },
		{ "metrics", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), metrics), 16 },
		{ "alerts", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), alerts), 128 },
		{ "logs", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), logs), 128 },
	};
	int r;

	r = json_members(item, fields, ARRAY_LEN(fields), &in, "config");
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	c->services[c->n_services++] = (struct config_service){
		.name = in.name, .release = in.release, .dir = in.dir, .metrics = in.metrics, .logs = in.logs
	};
	return in.alerts ? read_rules(c, in.name, in.alerts) : 0;
}

static int
read_mutes(struct config *c, const json_t *mutes)
{
	const json_t *item;
	size_t i;

	json_array_foreach (mutes, i, item) { /* at most RULE_MUTES_MAX: see fields */
		struct {
			const char *service, *name, *why;
			uint64_t until_us;
		} in = { .name = "" };
		static const struct json_field fields[] = {
			{ "service", JSON_KIND_TEXT, false, offsetof(__typeof__(in), service), RULE_NAME_MAX },
			{ "name", JSON_KIND_TEXT, true, offsetof(__typeof__(in), name), RULE_NAME_MAX },
			{ "why", JSON_KIND_TEXT, false, offsetof(__typeof__(in), why), RULE_WHY_MAX },
			{ "until", JSON_KIND_TIME, false, offsetof(__typeof__(in), until_us), 0 },
		};
		struct rule_mute *m = &c->mutes[c->n_mutes];
		int r = json_members(item, fields, ARRAY_LEN(fields), &in, "config");

		if (r != 0)
			return r < 0 ? FAULT(r) : r;
		(void)snprintf(m->service, sizeof(m->service), "%s", in.service);
		(void)snprintf(m->name, sizeof(m->name), "%s", in.name);
		(void)snprintf(m->why, sizeof(m->why), "%s", in.why);
		m->until_us = in.until_us;
		c->n_mutes++;
	}
	return 0;
}

static int
read_all(struct config *c)
{
	struct {
		const char *site;
		bool on;
		const json_t *fields, *classes, *services, *mutes;
	} in = { .site = "" };
	static const struct json_field fields[] = {
		{ "site", JSON_KIND_TEXT0, true, offsetof(__typeof__(in), site), CONFIG_NAME_MAX },
		{ "switch", JSON_KIND_BOOL, false, offsetof(__typeof__(in), on), 0 },
		{ "fields", JSON_KIND_OBJECT, false, offsetof(__typeof__(in), fields), 4096 },
		{ "classes", JSON_KIND_OBJECT, true, offsetof(__typeof__(in), classes), CLASS_MAX },
		{ "services", JSON_KIND_ARRAY, false, offsetof(__typeof__(in), services),
			CONFIG_SERVICES_MAX },
		{ "mutes", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), mutes), RULE_MUTES_MAX },
	};
	const json_t *item;
	size_t i;
	int r;

	r = json_members(c->json, fields, ARRAY_LEN(fields), &in, "config");
	if (r == 0 && in.classes)
		r = class_fates(&c->fates, in.classes);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	c->site = in.site;
	c->on = in.on;
	c->fields = in.fields;
	json_array_foreach (in.services, i, item) { /* at most CONFIG_SERVICES_MAX: see fields */
		r = read_service(c, item);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
	}
	return in.mutes ? read_mutes(c, in.mutes) : 0;
}

int
config_read(struct config *ret, json_t *doc)
{
	SCOPED(config_done) struct config c = { .json = json_incref(doc) };
	int r = read_all(&c);

	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	config_done(ret);
	*ret = c;
	c = (struct config){ 0 };
	return 0;
}

void
config_done(struct config *c)
{
	for (size_t i = 0; i < c->n_rules; i++)
		rule_unref(c->rules[i]);
	free(c->rules);
	json_decref(c->json);
	*c = (struct config){ 0 };
}

int
config_save(const struct config *c, int dir_fd)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(CONFIG_JSON_MAX);
	int r = json_canonical(&out, c->json);

	r = r ?: fs_replace(dir_fd, FILE_NAME, out.data, out.len, 0640);
	return r < 0 ? FAULT(r) : r;
}

int
config_load(struct config *ret, int dir_fd)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(CONFIG_JSON_MAX);
	SCOPED_JSON *doc = NULL;
	int r;

	r = fs_read(dir_fd, FILE_NAME, in.max, &in);
	if (r == REASON_NOT_FOUND)
		return r;
	if (r > 0)
		return REFUSE(r, FILE_NAME, "cannot be read");
	r = r ?: json_read(&doc, in.data, in.len, in.max, FILE_NAME);
	r = r ?: config_read(ret, doc);
	return r < 0 ? FAULT(r) : r;
}

uint64_t
config_quota(const struct config_settings *s, enum class_name class)
{
	return s->quota_bytes[class] ? s->quota_bytes[class] : s->spool_bytes;
}
