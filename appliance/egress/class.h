/* Classes: what kind of thing leaves, which switch it obeys, and what the customer's policy does with it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "appliance/policy/policy.h"
#include "appliance/policy/switch.h"

enum class_name {
	CLASS_ALERT,
	CLASS_HEARTBEAT,
	CLASS_INVENTORY,
	CLASS_METRIC,
	CLASS_LOG,
	CLASS_RESULT,
	CLASS_RECORDING,
	CLASS_AUDIT,
	CLASS_BUNDLE,
	CLASS_MAX
};

const char *class_text(enum class_name which); /* "metric" */
/* false where text is no class. */
bool class_parse(enum class_name *ret, const char *text);

/* The switch that must be on for it.  SWITCH_MAX for audit heads, which go with any of the three, and for
 * bundles, which a person makes by hand. */
enum switch_name class_switch(enum class_name which);

/* What becomes of each class: POLICY_SEND, POLICY_REVIEW (only fields that the customer accepted one by
 * one leave) or POLICY_KEEP (nothing leaves). */
struct class_fates {
	enum policy_class of[CLASS_MAX];
};

const char *class_fate_text(enum policy_class fate); /* "send" "review" "keep" */

/* Read {"CLASS": "send|review|keep", ...} over *ret; a class that is not named is sent.  Returns 0,
 * REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged; *ret unchanged). */
int class_fates(struct class_fates *ret, const json_t *classes);
