/* Fields: the names of single things that may leave.
 *
 *	METRIC                a number: "redis_used_memory"; METRIC as Prometheus names them
 *	METRIC{ATTRIBUTE}     what tells its series apart: "host_disk_read_bytes{device}"
 *	alert.SERVICE.NAME    one alert of a service: "alert.redis.redis-down"
 *	log.SERVICE.NAME      the lines of a log that a definition names: "log.redis.stdout"
 *	log.host.NAME         ... that mainstay.yaml names
 *	log.journal.UNIT      ... of a unit, from the journal: "log.journal.ssh.service"
 *	inventory.GROUP       what is here: "inventory.packages"
 *
 * The value of an attribute has a narrow form, so that no sentence of the customer's can hide in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
	FIELD_NAME_MAX = 192, /* of a whole field */
	FIELD_LABEL_MAX = 64, /* of an attribute's value */
};

/* The host fields that ship in the program and are accepted by switching telemetry on; ends with NULL. */
extern const char *const field_shipped[];

bool field_is_shipped(const char *name);

/* Is text a field's name of one of the forms above? */
bool field_valid(const char *text);

/* May value leave as an attribute: 1..FIELD_LABEL_MAX of [A-Za-z0-9_.:/@+ -] and of what redact.h puts in? */
bool field_label_fits(const char *value);

/* "METRIC{ATTRIBUTE}" into out (FIELD_NAME_MAX + 1 bytes); false where it is longer. */
bool field_of_label(char *out, const char *metric, const char *attribute);

/* Does a field match a pattern in which "*" stands for any number of characters and "?" for one?  Time is
 * linear in the product of both lengths at worst. */
bool field_matches(const char *pattern, const char *field);
