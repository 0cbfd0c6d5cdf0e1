/* The three switches.  On needs two things: the monitor's record (lib/monitor/switches.json) says so, and no
 * off file etc/off/NAME exists.  `mainstay off NAME` writes the off file itself, before it asks anybody, so
 * that off works while the monitor hangs; collector and courier look at the same files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "appliance/base/fs.h"

enum switch_name {
	SWITCH_TELEMETRY, /* metrics, logs, alerts, inventory, heartbeat */
	SWITCH_UPDATES,	  /* assignments, metadata, objects */
	SWITCH_REMOTE,	  /* mailbox, results, recordings */
	SWITCH_MAX
};

struct switch_record {
	bool on[SWITCH_MAX];
};

const char *switch_text(enum switch_name which); /* "telemetry" */
/* false where text is no switch. */
bool switch_parse(enum switch_name *ret, const char *text);

/* Read the record from dir_fd/switches.json; no file: all off.  Returns 0, a reason (logged) where the file
 * is damaged (the caller then counts all as off), or a fault. */
int switch_load(struct switch_record *ret, int dir_fd);
int switch_save(const struct switch_record *rec, int dir_fd);

/* Does etc/off/NAME exist?  What cannot be looked at counts as existing. */
bool switch_off_file(const struct paths *paths, enum switch_name which);
/* Write or remove the off file, durably. */
int switch_write_off(const struct paths *paths, enum switch_name which);
int switch_remove_off(const struct paths *paths, enum switch_name which);

/* Record and off file together. */
bool switch_is_on(const struct switch_record *rec, const struct paths *paths,
	enum switch_name which);
