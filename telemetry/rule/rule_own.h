/* The customer's own rules: the file of etc that mainstay.yaml names under telemetry.rules. */
#pragma once

#include <stddef.h>

#include "appliance/base/scope.h"
#include "telemetry/rule/rule.h"

struct rule_own {
	struct rule **rules; /* owned, a reference each */
	size_t n;
};

void rule_own_done(struct rule_own *own);

/* Read YAML bytes (definition_compile_alerts() says what they hold); file is its name for messages.  *ret is written
 * on success alone.  Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged with the place);
 * or a fault. */
int rule_own_read(struct rule_own *ret, const void *p, size_t len, const char *file);

/* The same from the file name (no path) of the folder etc. REASON_NOT_FOUND (logged) where it is not there. */
int rule_own_load(struct rule_own *ret, const char *etc, const char *name);
