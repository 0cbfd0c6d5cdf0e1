/* The site's standing at the hub: its courier's key statement kept fresh there, and the engineer-signed site
 * record fetched until the monitor has it.  Requests: POST /v1/daemon, GET /v1/record; only while a switch is
 * on. */
#pragma once

struct carrier;

int standing_init(struct carrier *c);
