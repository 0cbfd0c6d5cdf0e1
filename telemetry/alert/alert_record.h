/* One alert as a site tells it: a log record named mainstay.alert, read and checked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "telemetry/otlp/otlp.h"

enum {
	ALERT_RECORD_NAME_MAX = 129, /* bytes with NUL, as all below */
	ALERT_RECORD_VIA_MAX = 16,   /* what stands before a service's name */
	ALERT_RECORD_TEXT_MAX = 513,
	ALERT_RECORD_VALUE_MAX = 65,
	ALERT_RECORD_WHY_MAX = 257,
	ALERT_RECORD_LABELS_MAX = 2049,
};

#define ALERT_RECORD_HUB "the hub"     /* what the hub itself has to say of a site stands under it */
#define ALERT_RECORD_CORE "mainstay"   /* the service under which a site's silence stands */
#define ALERT_RECORD_SILENT "SiteSilent"

enum alert_state {
	ALERT_FIRING,
	ALERT_MUTED,    /* what it watches is so, and the site was told to say nothing of it */
	ALERT_RESOLVED,
};

struct alert_record {
	char name[ALERT_RECORD_NAME_MAX];
	char service[ALERT_RECORD_VIA_MAX + ALERT_RECORD_NAME_MAX];
	char severity[32];
	char text[ALERT_RECORD_TEXT_MAX];
	char value[ALERT_RECORD_VALUE_MAX];    /* "" : none */
	char muted_by[ALERT_RECORD_WHY_MAX];
	char proposed[ALERT_RECORD_NAME_MAX];  /* an operation of the service */
	char labels[ALERT_RECORD_LABELS_MAX];  /* of its group: canonical JSON, "{}" */
	enum alert_state state;
	uint64_t since_us; /* the site's clock, as site_us */
	uint64_t site_us;  /* when the site said it; 0: not said */
};

/* "firing", "muted", "resolved". */
const char *alert_record_state(enum alert_state state);

bool alert_record_is(const struct otlp_record *record);

/* Read record, which alert_record_is().  via stands before the service's name ("" for the site's own word).  Attributes
 * alert, service, state (firing, muted, resolved), since, severity must be there; value, muted_by, proposed and
 * label.NAME may be.  Returns 0; REASON_MALFORMED or REASON_TOO_LARGE (logged); or a fault. */
int alert_record_read(struct alert_record *ret, const char *via, const struct otlp_record *record);
