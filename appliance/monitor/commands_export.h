/* `audit export` and the checking of what it wrote, for commands_audit.c. */
#pragma once

#include <stdbool.h>

struct command_call;

int commands_export_run(struct command_call *call);

/* Is it an export (a folder, or a file that begins as JSON), not a proof? */
bool commands_export_is_one(const char *file);
int commands_export_verify(struct command_call *call, const char *file);
