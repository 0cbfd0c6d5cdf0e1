/* Bringing the monitor what it needs to believe the site record at once: the repository's metadata up to the people
 * document, from the hub or from a file.  It checks it all as it checks what the courier brings. */
#pragma once

#include <stdbool.h>

struct command_call;

/* From the hub at url.  ca and proxy as curl wants them; proxy "" for none.  Blocks.  Returns whether the site has its
 * record now: where not, the courier brings the rest later. */
bool commands_record_fetch(struct command_call *call, const char *url, const char *ca, const char *proxy);

/* mainstay enrol --record FILE (appliance/enrol/record_file.h). */
int commands_record_take(struct command_call *call, const char *file);
