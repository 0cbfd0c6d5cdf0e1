/* The licences of a Debian package, from its copyright file (DEP-5, "machine-readable"). */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Read a copyright file's text.  *ret is an SPDX expression of what its License fields name, "A AND LicenseRef-B",
 * each once, sorted (the caller's to free); "NOASSERTION" where the file is not machine-readable or names none.  Names that SPDX does not
 * have become LicenseRef-NAME, and are put into refs: LicenseRef-NAME -> Debian's own name.  0 or a fault. */
int release_licence_parse(char **ret, const char *text, size_t len, json_t *refs);

/* The same of an installed package ("libc6:amd64"). */
int release_licence_of(char **ret, const char *package, json_t *refs);
