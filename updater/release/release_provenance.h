/* How a release was made: an in-toto statement (v1) with SLSA's provenance (v1), about the index's digest.  Made at
 * the build from what the build found, without a clock; canonical JSON. */
#pragma once

#define RELEASE_PROVENANCE "provenance.json"

struct buf;
struct release_made;

/* Append the document.  0 or a fault. */
int release_provenance_write(const struct release_made *m, struct buf *out);
