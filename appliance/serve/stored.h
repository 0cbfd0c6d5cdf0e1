/* JSON as a database keeps it. */
#pragma once

#include <jansson.h>

/* *ret, the caller's: the value of a stored text; NULL where there is none (text NULL) or it is damaged.  Returns 0 or
 * -ENOMEM, which is neither: what stands there is whole, and was not read. */
int stored_json(json_t **ret, const char *text);
