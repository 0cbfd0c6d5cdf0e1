/* The one place that fills a cluster: for cluster.c, which reads YAML, and cluster_json.c. */
#pragma once

#include <stdbool.h>

#include "appliance/base/scope.h"
#include "appliance/service/cluster.h"

SCOPED_DESTRUCTOR(struct cluster, cluster_free)


/* [a-z][a-z0-9-]*, and the characters of extra. */
bool cluster_is_name(const char *s, const char *extra);
/* What a knob's value or an accepted name may be: canonical JSON holds control characters raw, and no reader of
 * it would take them. */
bool cluster_is_plain(const char *s);

/* These keep their order by name, copy what they are given, and return 0 or a fault.  *ret is borrowed until the next
 * service is added.  line, column: where the value stands; 0: not known. */
int cluster_add_service(struct cluster *c, const char *name, struct cluster_service **ret);
int cluster_add_knob(struct cluster_service *s, const char *name, const char *value, unsigned line, unsigned column);
int cluster_add_accepted(struct cluster_service *s, const char *text);
