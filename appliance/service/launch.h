/* From a release's definition and the customer's knobs to what a shim starts: folders, rendered
 * configuration, spec. */
#pragma once

#include <jansson.h>

#include "appliance/service/spec.h"

struct cluster_service;
struct definition;
struct identity;
struct paths;

/* The knobs of cluster.yaml (s NULL: it names none), typed as the definition says.  Returns 0 with *ret (caller
 * decrefs); REASON_UNKNOWN_FIELD for a knob that is none (logged, with the nearest); what definition_parse_value() refuses; or a
 * fault. */
int launch_knobs(const struct definition *d, const struct cluster_service *s, json_t **ret);

/* All of it: folders (lib/services/NAME/{data,conf,log}, the definition's data folders and run/services/NAME, of the
 * user that identity_service() says), configuration files rendered with knobs (as launch_knobs() gives them, may be
 * NULL) and replaced where they differ, and *ret (initialised here; spec_done in every case).
 * release is the hex of index.json; the tree is lib/store/RELEASE.  Returns 0; what
 * definition_check_knobs() and definition_expand() refuse; or a fault. */
int launch_prepare(struct spec *ret, const struct paths *paths, const struct identity *id,
	const struct definition *d, const char *release, const json_t *knobs);

/* The configuration files as they would be with these knobs (as launch_knobs() gives them; may be NULL): an object of
 * path to text, the caller's; nothing is written.  Returns as launch_prepare(). */
int launch_configs(json_t **ret, const struct definition *d, const json_t *knobs);
