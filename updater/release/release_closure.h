/* What a program of this machine needs to run elsewhere: its shared libraries and its loader, as the loader
 * itself lists them. */
#pragma once

#include <jansson.h>

/* Append the absolute paths of program's libraries and loader to list (an array of texts, none twice).  A
 * static program adds nothing.  Runs the program's own loader with --list, which executes nothing of the
 * program.  Returns 0; REASON_NOT_FOUND where a library is missing; REASON_MALFORMED where the loader says what
 * we do not understand (logged); or a fault. */
int release_closure(json_t *list, const char *program);

/* The same for a shared library that a program opens by itself (a plugin): it names no loader, so this
 * program's own lists what it needs.  A program that needs no library adds nothing. */
int release_closure_plugin(json_t *list, const char *library);
