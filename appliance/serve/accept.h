/* In which format whoever asks for numbers wants them. */
#pragma once

#include <stdbool.h>

/* What answers are called. */
#define ACCEPT_TEXT	   "text/plain; version=0.0.4; charset=utf-8"
#define ACCEPT_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Does this Accept (NULL: there was none) like OpenMetrics 1.0 at least as much as text? */
bool accept_openmetrics(const char *accept);
