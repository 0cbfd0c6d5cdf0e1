/* The rooms that keep a number each (keeps.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/monitor/floor.h"

enum { KEEPS_MAX = 16 };

struct db;
struct outbox;
struct pseudonym;
struct recordings;
struct request_refused;

struct keeps_world {
	struct paths paths;
	int lib, monitor, telemetry; /* folders */
	sd_event *loop;
	/* What a process has open. */
	struct floor floor;
	struct request_refused *refused;
	struct outbox *outbox;
	struct pseudonym *pseudonym;
	struct recordings *recordings;
	struct db *db;
};

struct keeps_keep {
	const char *name;
	int (*put)(struct keeps_world *w, uint64_t value);
	/* Read from the disk as another process does. */
	bool (*has)(struct keeps_world *w, uint64_t value);
};

extern const struct keeps_keep keeps_all[];
extern const size_t keeps_count;

/* The state folder is there.  Ends the program where its folders cannot be made. */
void keeps_begin(struct keeps_world *w, const char *state);
void keeps_end(struct keeps_world *w);
/* As a process that starts, and ends. */
int keeps_open(struct keeps_world *w);
void keeps_close(struct keeps_world *w);
