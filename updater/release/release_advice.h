/* What of a definition is legal and poor: only release_lint.c asks. */
#pragma once

struct definition;
struct release_findings;

void release_advice(struct release_findings *f, const struct definition *d);
