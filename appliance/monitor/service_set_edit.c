#include <errno.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/service_set_room.h"
#include "appliance/service/definition.h"
#include "appliance/service/launch.h"

/* One KNOB=VALUE into the text and, where a release is active, into given. */
static int
edit_one(struct service_set *s, const struct definition *d, const char *assignment, json_t *given)
{
	SCOPED(buf_done) struct buf next = BUF_MAX(YAML_BYTES_MAX);
	const struct definition_param *param = NULL;
	const char *eq = strchr(assignment, '=');
	char knob[CLUSTER_NAME_MAX + 1];
	json_t *typed = NULL;
	int r = 0;

	if (!eq || eq == assignment || eq - assignment > CLUSTER_NAME_MAX)
		return REFUSE(REASON_USAGE, assignment, "must be KNOB=VALUE");
	memcpy(knob, assignment, (size_t)(eq - assignment));
	knob[eq - assignment] = '\0';
	if (d)
		r = definition_need_knob(d, knob, &param);
	if (r == 0 && param && eq[1])
		r = definition_parse_value(param, eq + 1, &typed);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (typed && json_object_set_new(given, knob, typed) < 0)
		return FAULT(-ENOMEM);
	if (!typed)
		(void)json_object_del(given, knob);
	r = cluster_set(&next, buf_text(&s->new), s->new.len, s->service, knob,
		eq[1] ? eq + 1 : NULL);
	if (r)
		return r < 0 ? FAULT(r) : r;
	buf_reset(&s->new);
	buf_put(&s->new, next.data, next.len);
	return FAULT(buf_error(&s->new));
}

/* What the knobs that differ need at most; values, not how they are written. */
static enum service_set_needs
needs_of(const struct definition *d, const json_t *before, const json_t *after)
{
	static const enum service_set_needs of[] = { [DEFINITION_APPLY_RELOAD] = SERVICE_SET_RELOAD,
		[DEFINITION_APPLY_RESTART] = SERVICE_SET_RESTART,
		[DEFINITION_APPLY_NEXT_START] = SERVICE_SET_NEXT_START };
	enum service_set_needs needs = SERVICE_SET_NOTHING;

	for (size_t i = 0; i < d->n_knobs; i++) {
		const struct definition_param *p = &d->knobs[i];

		if (!json_equal(json_object_get(before, p->name), json_object_get(after, p->name)) &&
			of[p->apply] > needs)
			needs = of[p->apply];
	}
	return needs;
}

static int
put_configs(struct service_set *s, const json_t *before, const json_t *after)
{
	const char *path;
	json_t *text, *all;

	memcpy(&all, &after, sizeof(all)); /* jansson's iterator takes no const object */
	json_object_foreach(all, path, text) {
		SCOPED(buf_done) struct buf diff = BUF_MAX(4 * DEFINITION_CONFIG_MAX);

		cluster_difference(&diff, json_text(before, path), json_string_value(text));
		if (buf_error(&diff) == -ENOMEM)
			return FAULT(-ENOMEM);
		if (diff.len && json_array_append_new(s->configs, json_pack("{s:s, s:s}", "path", path,
					"difference", buf_text(&diff))) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

/* With a release everything is known before anything is touched: values, configuration, what it takes. */
static int
foresee(struct service_set *s, const struct definition *d, const json_t *was, const json_t *given)
{
	SCOPED_JSON *before = NULL, *after = NULL, *old = NULL, *new = NULL;
	int r = definition_check_knobs(d, was, &before);

	r = r ?: definition_check_knobs(d, given, &after);
	r = r ?: launch_configs(&old, d, was);
	r = r ?: launch_configs(&new, d, given);
	if (r)
		return r < 0 ? FAULT(r) : r;
	s->needs = needs_of(d, before, after);
	return put_configs(s, old, new);
}

int
service_set_edit(struct service_set *s)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf diff = BUF_MAX(4 * YAML_BYTES_MAX);
	SCOPED_JSON *was = NULL, *given = NULL;
	struct services_state state;
	const char *name, *value;
	int r = 0;

	s->configs = json_array();
	buf_put(&s->new, s->old.data, s->old.len);
	if (!s->configs || buf_error(&s->new))
		return FAULT(-ENOMEM);
	if (services_find(s->m, s->service, &state) && state.release[0]) {
		r = services_definition(s->m, s->service, &d);
		r = r ?: services_given(s->m->services, d, s->service, &was);
	}
	given = was ? json_copy_whole(was, JSON_DEEP) : json_object();
	r = r ?: given ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && monitor_call_param(s->call, i, &name, &value); i++)
		if (strcmp(name, "set") == 0)
			r = edit_one(s, d, value, given);
	if (r == 0 && d)
		r = foresee(s, d, was, given);
	if (r)
		return r < 0 ? FAULT(r) : r;
	cluster_difference(&diff, buf_text(&s->old), buf_text(&s->new));
	if (buf_error(&diff) == -ENOMEM) /* nobody is to agree to less than there is */
		return FAULT(-ENOMEM);
	s->difference = strdup(buf_text(&diff));
	return s->difference ? 0 : FAULT(-ENOMEM);
}
