#include "appliance/egress/class.h"

#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static const struct {
	const char *text;
	enum switch_name obeys;
} classes[CLASS_MAX] = {
	[CLASS_ALERT] = { "alert", SWITCH_TELEMETRY },
	[CLASS_HEARTBEAT] = { "heartbeat", SWITCH_TELEMETRY },
	[CLASS_INVENTORY] = { "inventory", SWITCH_TELEMETRY },
	[CLASS_METRIC] = { "metric", SWITCH_TELEMETRY },
	[CLASS_LOG] = { "log", SWITCH_TELEMETRY },
	[CLASS_RESULT] = { "result", SWITCH_REMOTE },
	[CLASS_RECORDING] = { "recording", SWITCH_REMOTE },
	[CLASS_AUDIT] = { "audit", SWITCH_MAX },
	[CLASS_BUNDLE] = { "bundle", SWITCH_MAX },
};

static const char *const fates[] = {
	[POLICY_SEND] = "send",
	[POLICY_REVIEW] = "review",
	[POLICY_KEEP] = "keep",
};

const char *
class_text(enum class_name which)
{
	return classes[which].text;
}

bool
class_parse(enum class_name *ret, const char *text)
{
	size_t i;

	for (i = 0; i < CLASS_MAX; i++) {
		if (strcmp(classes[i].text, text) == 0) {
			*ret = (enum class_name)i;
			return true;
		}
	}
	return false;
}

enum switch_name
class_switch(enum class_name which)
{
	return classes[which].obeys;
}

const char *
class_fate_text(enum policy_class fate)
{
	return fates[fate];
}

int
class_fates(struct class_fates *ret, const json_t *doc)
{
	struct class_fates read = { .of = { POLICY_SEND } };
	const char *name;
	json_t *value;
	size_t i;

	if (!json_is_object(doc))
		return REFUSE(REASON_MALFORMED, "classes", "is no object");
	json_object_foreach ((json_t *)doc, name, value) { /* iteration only: jansson lacks a const form */
		const char *text = json_string_value(value);
		enum class_name which;

		if (!class_parse(&which, name))
			return REFUSE(REASON_UNKNOWN_FIELD, name, "is no class");
		for (i = 0; text && i < ARRAY_LEN(fates) && strcmp(fates[i], text) != 0; i++)
			;
		if (!text || i == ARRAY_LEN(fates))
			return REFUSE(REASON_MALFORMED, name, "is none of send, review, keep");
		read.of[which] = (enum policy_class)i;
	}
	*ret = read;
	return 0;
}
