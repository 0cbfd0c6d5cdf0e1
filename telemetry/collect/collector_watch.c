#include "telemetry/collect/collector_room.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

enum { RULES_BYTES_MAX = 2 * 1024 * 1024 };

void
collector_on_alert(const struct rule_alert *alert, void *arg)
{
	struct collector *c = arg;

	log_info("alert %s%s%s%s of %s is %s%s%s: %s", alert->rule->name, *alert->group ? "{" : "",
		alert->group, *alert->group ? "}" : "", alert->rule->service, rule_told_text(alert->told),
		*alert->muted_by ? " by " : "", alert->muted_by, alert->text);
	/* Not through collector_look_at_switch(): it would send this very one twice. */
	if (c->was_on && collector_is_on(c))
		collector_send_alert(alert, c);
	c->ops->alert(alert, c->arg);
}

void
collector_feed(struct collector *c, const struct sample_set *samples, bool host)
{
	for (size_t i = 0; i < samples->n; i++) {
		const struct otlp_sample *s = &samples->items[i];
		struct rule_label labels[OTLP_LABELS_MAX];
		size_t n = 0;

		if (s->no_value || s->distribution || (host && s->service))
			continue; /* no one number, or one that was seen */
		for (; n < s->n_labels; n++)
			labels[n] = (struct rule_label){ s->labels[n].name, s->labels[n].value };
		rule_feed(c->rules, s->service ? s->service : COLLECTOR_HOST, s->name, labels, n, s->real,
			s->time_us);
	}
}

int
collector_take_rules(struct collector *c)
{
	size_t n = c->config.n_rules + c->own.n;
	SCOPED(scope_free) struct rule **all = calloc(n + 1, sizeof(struct rule *));

	if (!all)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++)
		all[i] = i < c->config.n_rules ? c->config.rules[i] : c->own.rules[i - c->config.n_rules];
	sources_watch(c->sources, all, n);
	return rule_load(c->rules, all, n, clock_now_us());
}

void
collector_on_samples(const struct sample_set *samples, void *arg)
{
	struct collector *c = arg;

	collector_feed(c, samples, false);
	collector_save_rules(c);
}

/* --- kept over restarts --------------------------------------------------------------------------------------- */
static int
save_json(const struct collector *c, const char *name, json_t *take_doc)
{
	SCOPED_JSON *doc = take_doc;
	SCOPED(buf_done) struct buf out = BUF_MAX(RULES_BYTES_MAX);
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	r = json_canonical(&out, doc);
	r = r ?: fs_replace(c->dir_fd, name, out.data, out.len, 0640);
	return FAULT(r);
}

void
collector_save_rules(struct collector *c)
{
	int r;

	if (!rule_changed(c->rules))
		return;
	r = save_json(c, COLLECTOR_RULES_NAME, rule_save(c->rules));
	if (r < 0)
		log_fault(r, "keeping the alerts' states");
}

int
collector_load_rules(struct collector *c)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(RULES_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	int r;

	r = fs_read(c->dir_fd, COLLECTOR_RULES_NAME, in.max, &in);
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_read(&doc, in.data, in.len, in.max, COLLECTOR_RULES_NAME);
	r = r ?: rule_restore(c->rules, doc, clock_now_us());
	/* Damage costs the states only: what is bad fires anew. */
	return r < 0 ? FAULT(r) : 0;
}
