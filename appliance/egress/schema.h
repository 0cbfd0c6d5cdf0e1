/* Shapes: of what kind an accepted field is.
 *
 * The customer accepts a field as it was shown.  The same name with another shape in a later release is not what
 * was accepted: it waits, as a new field does, and review shows both.
 *
 *	metric     "gauge By", "counter s", "histogram s", "summary 1"     kind and unit
 *	attribute  "label"
 *	alert      "alert", "alert by queue,node"                          the labels that tell its groups apart
 *	log        "log stdout", "log file", "log journal"                 where its lines come from
 *	inventory  "inventory", "inventory name,version,arch"              what each entry holds */
#pragma once

#include <stdbool.h>

enum { SCHEMA_SHAPE_MAX = 96 };

#define SCHEMA_LABEL "label"

/* "WORD DETAIL" into out (SCHEMA_SHAPE_MAX + 1 bytes); detail may be NULL or "", and is cut, and what is not
 * printable ASCII in it becomes "?".  Returns out. */
const char *schema_shape(char *out, const char *word, const char *detail);

/* Is text a shape: 1..SCHEMA_SHAPE_MAX printable ASCII? */
bool schema_shape_valid(const char *text);
