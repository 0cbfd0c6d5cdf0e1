/* Where a passphrase comes from: a file of mode 0600, a descriptor, or the terminal without echo.  Never from argv and
 * never from the environment, which other processes can read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "appliance/base/scope.h"

enum {
	RELEASE_PASSPHRASE_MIN = 8, /* bytes, where one is made */
	RELEASE_PASSPHRASE_MAX = 1024,
};

struct release_passphrase; /* opaque; wiped when freed */

/* file or fd_text ("3"), or neither: the terminal is asked.  Nothing is read yet.  Returns 0; REASON_USAGE (logged) for
 * both at once, or for what is no descriptor above 2; or a fault. */
int release_passphrase_new(struct release_passphrase **ret, const char *file, const char *fd_text);
struct release_passphrase *release_passphrase_free(struct release_passphrase *p);
SCOPED_DESTRUCTOR(struct release_passphrase, release_passphrase_free)

/* The passphrase for this key, borrowed until the next call.  From a file or a descriptor it is the first line, read
 * once; on the terminal the one given last is offered again unless wrong says that it did not fit.  Blocks on the
 * terminal.  Returns 0; REASON_USAGE where there is no terminal to ask, REASON_DENIED where wrong was said and nobody can
 * be asked again, REASON_MALFORMED (empty, too long, a file that others may read), REASON_NOT_FOUND, REASON_INTERRUPTED
 * (all logged); or a fault. */
int release_passphrase_get(struct release_passphrase *p, const char *key, bool wrong, const char **ret, size_t *ret_len);

/* One for a new key: asked twice on the terminal.  REASON_MALFORMED (logged) where it is shorter than
 * RELEASE_PASSPHRASE_MIN or the two differ; else as above. */
int release_passphrase_make(struct release_passphrase *p, const char *key, const char **ret, size_t *ret_len);
