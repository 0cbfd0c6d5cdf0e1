/* Every fault of a service's folder at once, and what is legal and poor. */
#pragma once

#include <stddef.h>
#include <jansson.h>

/* Look through FOLDER as a build would, without making anything.  *ret_items (the caller's) lists what was found
 * (release_findings.h), in the order of the file's reading; *ret_errors of them would stop a build or an
 * operation, the others are advice.  Returns 0, also with errors; REASON_NOT_FOUND (logged) where there is no folder with
 * a service.yaml; or a fault. */
int release_lint(const char *folder, json_t **ret_items, size_t *ret_errors);
