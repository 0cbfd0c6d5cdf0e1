/* `mainstay doctor`: one line for each thing that can keep the appliance from working, and what to do about it.
 * Checks block, change nothing, and say what they saw; those of the network send something only where a switch is on,
 * or where a person names the hub. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "appliance/base/command.h"

struct doctor {
	struct command_call *call;
	json_t *items;
	json_t *status; /* what the monitor said of itself; NULL where it does not answer; owned */
	bool bad;
};

enum doctor_word {
	DOCTOR_GOOD,
	DOCTOR_BAD,
	DOCTOR_NOTE, /* neither: not tried, or a person's to decide */
};

/* One line.  remedy: what to do; "" for none; left out where the word is good. */
void doctor_tell(struct doctor *d, const char *check, enum doctor_word word, const char *text, const char *remedy);
/* The same, good or bad. */
void doctor_test(struct doctor *d, const char *check, bool good, const char *text, const char *remedy);

void doctor_host(struct doctor *d);    /* disk, folders, sandbox, namespaces, cgroups, walls, tools */
void doctor_site(struct doctor *d);    /* monitor, clock, daemons, services, policy, audit, what waits for a person */
void doctor_network(struct doctor *d); /* ca, proxy, dns, tcp, tls, hub */
