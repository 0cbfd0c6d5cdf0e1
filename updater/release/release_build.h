/* A service's folder into a release: the same input gives the same bytes.
 *
 *	D/definition.json   compiled from FOLDER/service.yaml
 *	D/index.json        the tree: payload's programs with their libraries, files, and a folder as it is
 *	D/objects/          every file, content-addressed
 *	D/release.json      what is signed: target, hash, platform, channel, class (TUF form)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ed25519;

#define RELEASE_FILE "release.json"

struct release_options {
	const char *platform, *channel;
	const char *class; /* NULL: as the definition says */
	const char *builder; /* a URI: who builds, for the provenance */
	uint64_t epoch_us;   /* SOURCE_DATE_EPOCH; 0: no time is written */
};

struct release_summary {
	char service[65], version[65], target[256], digest[72];
	size_t files;
	uint64_t bytes;
};

/* Returns 0; REASON_NOT_FOUND where service.yaml or what it names is missing; what definition_compile() and
 * the tree refuse (unsafe-tree); REASON_CONFLICT where out holds what no build made; or a fault.  Where it does not succeed, a folder that was not there before is not there
 * afterwards. */
int release_build(const char *folder, const char *out, const struct release_options *options,
	struct release_summary *ret);

/* Sign D/release.json, after checking that D still is what it says.  REASON_ALTERED or REASON_HASH_MISMATCH
 * (logged). */
int release_sign(const char *dir, const struct ed25519 *key, struct release_summary *ret);
