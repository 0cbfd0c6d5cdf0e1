/* What each series of ours means, in a line: HELP of `mainstay metrics` and of the page (telemetry.listen). */
#pragma once

/* NULL: it is none of ours (an exporter's).  Of what a source asks a service for, one line for the source. */
const char *metric_help(const char *name);
