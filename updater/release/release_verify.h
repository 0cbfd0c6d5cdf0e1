/* The whole repository, as strictly as it can be read: the client that sites use, and then every file. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct release_repo;

struct release_verified {
	uint64_t root, timestamp, snapshot, targets,
		people;			 /* versions; people 0: nobody is listed yet */
	size_t releases, objects, files, delegated; /* files: all that were read */
};

/* r was opened with dates judged, so that the client's workflow went through.  Then: every target with all its
 * objects; every object by its name; every document (also of earlier versions) byte for byte as we write it,
 * and every signature on it good, by the keys of the root that was the present one in its time; nothing else lies there but what
 * a command that was cut off had begun (release_commit_is_begun()).  Returns 0, the first refusal (naming the file;
 * REASON_ALTERED, REASON_HASH_MISMATCH, REASON_BAD_SIGNATURE, ...), or a fault. */
int release_verify(struct release_repo *r, struct release_verified *ret);
