/* What a release is made of, as SPDX 2.3: each file with its hashes, the Debian packages that brought them, their
 * licences.  Made at the build from what the build found, without a clock; canonical JSON, so that the same
 * input gives the same bytes. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define RELEASE_SBOM "sbom.spdx.json"

struct buf;
struct release_options;
struct tree_index;

/* What this and the provenance are made from; all borrowed. */
struct release_made {
	const struct tree_index *x;
	const json_t *origins; /* release_payload.h */
	int objects_fd;
	const uint8_t *index;	   /* SHA-256 of index.json */
	const uint8_t *folder_file; /* SHA-256 of service.yaml */
	const struct release_options *options;
	json_t *owners; /* origin -> package */
	json_t *facts;	/* package -> release_package_facts() */
};

/* Ask this machine's package manager who brought the files; without one, nobody did.  owners and facts
 * become the caller's. */
int release_sbom_ask(struct release_made *m);

/* Append the document.  0 or a fault. */
int release_sbom_write(const struct release_made *m, struct buf *out);

/* More than the largest index can lead to: each entry's path once, and some 600 bytes about it. */
enum { RELEASE_SBOM_MAX = 64 * 1024 * 1024 };
