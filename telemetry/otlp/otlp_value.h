/* AnyValue and KeyValue: the recursive part of OTLP, read without recursion on a stack that counts.
 * Inside of this room only. */
#pragma once

#include "appliance/base/cursor.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/otlp/pbx.h"

/* A list of attributes as one message gives them. */
struct otlp_value_list {
	struct otlp_attribute items[OTLP_ATTRIBUTES_MAX];
	size_t n;
};

/* The text of a field, checked to be UTF-8.  Fails the message where it is not. */
struct otlp_text otlp_value_text(struct pbx *m, const struct pbx_field *f);

/* Read an AnyValue over *ret (an empty one leaves it as it is).  Returns 0 or REASON_MALFORMED
 * (logged). */
int otlp_value_read(struct otlp_value *ret, struct cursor any);

/* Append the KeyValue in field f.  Returns 0, REASON_MALFORMED or REASON_TOO_LARGE (logged). */
int otlp_value_attribute(struct otlp_value_list *list, struct pbx *m, const struct pbx_field *f);
