#include "appliance/monitor/freshness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/metadata.h"
#include "appliance/tuf/client.h"

#define OBJECT "metadata"

struct freshness {
	enum reason refused; /* REASON_NONE: the last refresh was good, or there was none */
	char text[512];	     /* why */
	uint64_t ends_us;    /* the timestamp's end; 0: none was seen since the start */
	bool told;	     /* that it has ended */
};

static bool
speaks_of_documents(enum reason reason)
{
	static const enum reason those[] = { REASON_MALFORMED, REASON_TOO_LARGE, REASON_UNSIGNED, REASON_BAD_SIGNATURE,
		REASON_UNKNOWN_KEY, REASON_EXPIRED, REASON_ROLLBACK, REASON_FREEZE, REASON_THRESHOLD, REASON_HASH_MISMATCH };

	for (size_t i = 0; i < ARRAY_LEN(those); i++)
		if (reason == those[i])
			return true;
	return false;
}

static void
say(struct monitor *m, const char *kind, const char *actor, enum reason reason, const char *text)
{
	int r = monitor_leaf_tallied(m, kind, OBJECT, actor, OBJECT, NULL, reason);

	if (r < 0)
		log_fault(r, OBJECT);
	monitor_notify(m, "alert", OBJECT, text);
}

void
freshness_refused(struct monitor *m, enum reason reason)
{
	struct freshness *f = m->freshness;
	const struct refusal *why = refuse_last();

	if (!f || !speaks_of_documents(reason))
		return;
	if (f->refused == reason) /* it is brought again and again: said once */
		return;
	f->refused = reason;
	(void)snprintf(f->text, sizeof(f->text), "%s: %s", why->operand, why->text);
	say(m, "refuse", "courier", reason, f->text);
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	struct freshness *f = arg;

	if ((changes & MONITOR_CHANGE_RECORD) && !monitor_enrolled(m))
		*f = (struct freshness){ 0 };
}

void
freshness_good(struct monitor *m)
{
	struct freshness *f = m->freshness;
	const char *expires =
		json_string_value(json_object_get(tuf_client_signed(monitor_tuf(m), "timestamp"), "expires"));

	if (!f)
		return;
	*f = (struct freshness){ 0 };
	if (expires && clock_parse(&f->ends_us, expires) != 0)
		f->ends_us = 0;
}

/* A doubtful clock cannot tell; with the updates switch off nobody looks. */
static bool
has_ended(struct monitor *m, const struct freshness *f)
{
	return f->ends_us && !monitor_clock_doubtful(m) && monitor_switch_on(m, SWITCH_UPDATES) &&
		monitor_now_us(m) > f->ends_us;
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct freshness *f = arg;

	(void)now_us;
	if (f->told || !has_ended(m, f))
		return;
	f->told = true;
	say(m, "alert", "mainstayd", REASON_FREEZE, "the vendor's repository was not renewed in time");
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct freshness *f = arg;
	json_t *pending = json_object_get(status, "pending");
	char text[sizeof(f->text)], plain[4 * sizeof(text)];

	if (f->refused)
		(void)json_array_append_new(pending,
			json_pack("{s:s, s:s, s:s, s:s}", "kind", OBJECT, "id", "refused", "reason", refuse_token(f->refused),
				"text", log_escape(plain, sizeof(plain), f->text)));
	if (has_ended(m, f)) {
		char when[CLOCK_TEXT_MAX];

		(void)snprintf(text, sizeof(text),
			"the repository's last signature ended at %s and none has come since: releases and revocations may be "
			"withheld; ask the vendor by another way",
			clock_format(when, f->ends_us));
		(void)json_array_append_new(pending,
			json_pack("{s:s, s:s, s:s, s:s}", "kind", OBJECT, "id", "stale", "reason", refuse_token(REASON_FREEZE),
				"text", text));
	}
}

static void
freshness_free(void *arg)
{
	free(arg);
}

static const struct monitor_module module = {
	.name = "freshness",
	.changed = on_changed,
	.tick = on_tick,
	.status = on_status,
	.free = freshness_free,
};

int
freshness_init(struct monitor *m)
{
	struct freshness *f = calloc(1, sizeof(*f));

	if (!f)
		return FAULT(-ENOMEM);
	m->freshness = f;
	return monitor_add_module(m, &module, f);
}
