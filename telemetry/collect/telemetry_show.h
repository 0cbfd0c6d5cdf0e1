/* Bodies as people read them: from the encoded bytes, so that what is seen is what leaves. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Append what the request of path holds to items, each {"class","service","name","attributes","value","unit","time"};
 * value of a log record is its body.  Bodies of other paths (heartbeats, results: JSON) become one item {"class",
 * "value"}, and "payload" where that is an envelope: what was signed, decoded.  Returns 0; REASON_MALFORMED (logged); or a fault. */
int telemetry_show(json_t *items, const char *class_name, const char *path, const void *body, size_t len);
