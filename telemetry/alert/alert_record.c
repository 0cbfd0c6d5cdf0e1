#include "telemetry/alert/alert_record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/store/store.h"

#define LABEL "label."

enum {
	LABELS_MAX = 16,
	LABEL_NAME_MAX = 65,
	LABEL_VALUE_MAX = 257,
};

static const char *const states[] = { [ALERT_FIRING] = "firing", [ALERT_MUTED] = "muted",
	[ALERT_RESOLVED] = "resolved" };

const char *
alert_record_state(enum alert_state state)
{
	return states[state];
}

bool
alert_record_is(const struct otlp_record *record)
{
	static const char event[] = "mainstay.alert";

	return record->event_name.len == sizeof(event) - 1 &&
		memcmp(record->event_name.p, event, sizeof(event) - 1) == 0;
}

static int
attribute(char *out, size_t size, const struct otlp_record *record, const char *key)
{
	const struct otlp_value *v =
		otlp_decode_find(record->attributes, record->n_attributes, key);

	if (!v || v->kind != OTLP_VALUE_TEXT || v->text.len == 0 ||
		!otlp_decode_copy(out, size, &v->text))
		return REFUSE(REASON_MALFORMED, "alert",
			"its attribute %s is missing or no short text", key);
	return 0;
}

/* One that may be missing or empty: out is "" then. */
static int
optional(char *out, size_t size, const struct otlp_record *record, const char *key)
{
	const struct otlp_value *v =
		otlp_decode_find(record->attributes, record->n_attributes, key);

	out[0] = '\0';
	if (v && (v->kind != OTLP_VALUE_TEXT || !otlp_decode_copy(out, size, &v->text)))
		return REFUSE(REASON_MALFORMED, "alert", "its attribute %s is no short text", key);
	return 0;
}

static int
read_state(struct alert_record *a, const struct otlp_record *record)
{
	char state[16];
	int r = attribute(state, sizeof(state), record, "state");

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(states); i++)
		if (strcmp(state, states[i]) == 0) {
			a->state = (enum alert_state)i;
			return 0;
		}
	return r ? r
		 : REFUSE(REASON_MALFORMED, a->name, "its state is none of firing, muted, resolved");
}

static int
read_labels(struct alert_record *a, const struct otlp_record *record)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(ALERT_RECORD_LABELS_MAX - 1);
	struct otlp_attribute labels[LABELS_MAX];
	char name[LABEL_NAME_MAX], value[LABEL_VALUE_MAX];
	const size_t head = sizeof(LABEL) - 1;
	size_t n = 0;

	for (size_t i = 0; i < record->n_attributes; i++) {
		struct otlp_attribute one = record->attributes[i];

		if (one.key.len <= head || memcmp(one.key.p, LABEL, head) != 0)
			continue;
		one.key.p += head;
		one.key.len -= head;
		if (n == LABELS_MAX || one.value.kind != OTLP_VALUE_TEXT ||
			!otlp_decode_copy(name, sizeof(name), &one.key) ||
			!otlp_decode_copy(value, sizeof(value), &one.value.text))
			return REFUSE(REASON_MALFORMED, a->name,
				"a label is no short text, or there are more than %d", LABELS_MAX);
		labels[n++] = one;
	}
	otlp_decode_json_map(&text, labels, n);
	if (buf_error(&text) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (buf_error(&text))
		return REFUSE(REASON_TOO_LARGE, a->name, "its labels take more than %d bytes",
			ALERT_RECORD_LABELS_MAX - 1);
	(void)snprintf(a->labels, sizeof(a->labels), "%s", buf_text(&text));
	return 0;
}

/* Or who has a courier's key could end what the hub, or another sender, says of its site. */
static int
check_speaker(const struct alert_record *a, bool via_other)
{
	if (strcmp(a->service, ALERT_RECORD_HUB) == 0 ||
		(!via_other && strncmp(a->service, STORE_VIA_OTLP, strlen(STORE_VIA_OTLP)) == 0))
		return REFUSE(REASON_MALFORMED, a->service, "is no service of a site");
	if (strcmp(a->service, ALERT_RECORD_CORE) == 0 && strcmp(a->name, ALERT_RECORD_SILENT) == 0)
		return REFUSE(REASON_MALFORMED, a->name, "is the hub's to say");
	return 0;
}

int
alert_record_read(struct alert_record *ret, const char *via, const struct otlp_record *record)
{
	size_t head = strlen(via);
	char since[CLOCK_TEXT_MAX];
	int r;

	*ret = (struct alert_record){ .site_us = record->time_ns / 1000 };
	r = attribute(ret->name, sizeof(ret->name), record, "alert");
	memcpy(ret->service, via, head + 1);
	r = r ? r : attribute(ret->service + head, ALERT_RECORD_NAME_MAX, record, "service");
	r = r ? r : attribute(ret->severity, sizeof(ret->severity), record, "severity");
	r = r ? r : attribute(since, sizeof(since), record, "since");
	r = r ? r : optional(ret->value, sizeof(ret->value), record, "value");
	r = r ? r : optional(ret->muted_by, sizeof(ret->muted_by), record, "muted_by");
	r = r ? r : optional(ret->proposed, sizeof(ret->proposed), record, "proposed");
	r = r ? r : check_speaker(ret, head > 0);
	r = r ? r : read_state(ret, record);
	r = r ? r : read_labels(ret, record);
	if (r != 0)
		return r;
	if (clock_parse(&ret->since_us, since) != 0)
		return REFUSE(REASON_MALFORMED, ret->name, "its attribute since is no time");
	if (record->body.kind == OTLP_VALUE_TEXT &&
		!otlp_decode_copy(ret->text, sizeof(ret->text), &record->body.text))
		return REFUSE(REASON_TOO_LARGE, ret->name, "its text is longer than %d bytes",
			ALERT_RECORD_TEXT_MAX - 1);
	return 0;
}
