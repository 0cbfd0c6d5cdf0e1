/* A ceremony's draft in words: what a person is about to sign. */
#pragma once

#include <jansson.h>

struct release_ceremony;

/* One text a line, made harmless to look at: versions and ends, keys and thresholds that change, releases and delegations
 * that come and go, and what deserves a second look.  Keys are told by their ids (`keys list` shows them).  New array, or
 * NULL where there is no memory. */
json_t *release_words(const struct release_ceremony *c);
