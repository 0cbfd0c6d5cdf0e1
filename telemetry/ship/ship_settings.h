/* What the operator says of telemetry's way out: keys of the telemetry section of etc/mainstay.yaml.
 *
 *	telemetry:
 *	  bandwidth: 200kb            # a second, of all that leaves but what is urgent; 0: no cap
 *	  hours:                      # local time; alerts and heartbeats always leave
 *	    log: 22:00-06:00
 *	  destinations:               # any OTLP/HTTP receiver, beside the hub or instead of it
 *	    - name: otel
 *	      url: https://otel.example:4318
 *	      headers_file: /etc/mainstay/otel.headers   # "Name: value" lines, mode 0600
 *	      ca: /etc/mainstay/otel-ca.pem
 *	      classes: [metric, log]
 *	      instead: true           # these classes go there and not to the hub */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/egress/destination.h"
#include "appliance/egress/shipper.h"

struct paths;
struct yaml_node;

#define SHIP_SETTINGS_KEYS "bandwidth", "hours", "destinations"

struct ship_settings {
	uint64_t bandwidth; /* bytes a second; 0: no cap */
	struct shipper_rules rules;
	struct destination_config destinations[DESTINATIONS_MAX];
	size_t n_destinations;
};

/* Whether key is one of SHIP_SETTINGS_KEYS. */
bool ship_settings_has(const char *key);
/* Read one of these keys.  Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE, logged with
 * file:line:col. */
int ship_settings_key(struct ship_settings *s, const struct yaml_node *node);

/* All of them, from etc/mainstay.yaml; no file, no section: nothing is said.  Other keys are other readers'.  Returns 0; a
 * reason (logged); or a fault. */
int ship_settings_read(struct ship_settings *ret, const struct paths *paths);
