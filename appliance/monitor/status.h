/* Control verb status: how the appliance is, as interfaces.md pins it.  Modules add to it through their status
 * hook. */
#pragma once

#include <jansson.h>

struct monitor;

int status_init(struct monitor *m);

/* [{"name","release","version","channel","state","health","knobs","restarts"}]; the caller's. */
json_t *status_services(struct monitor *m);
