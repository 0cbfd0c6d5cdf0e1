/* The secrets of a service: made on the site or given by the customer, and known to nobody else.
 *
 * lib/services/NAME/secrets/KEY, 0600 in a folder of 0700, the value alone and no newline.  They reach a
 * process as a descriptor, whose text is what the definition's template says around the value, and are
 * never in an argument, an environment, a log, a configuration file, the desired state or what leaves
 * the site. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/service/definition.h"

struct paths;
struct spec;

enum { SECRET_VALUE_MAX = 1024 };

/* Make what the definition names and is not there yet, and add each to the spec.  Durable when this
 * returns.  Returns 0, REASON_MALFORMED (logged) where a file is no secret, what spec_secret() refuses,
 * or a fault. */
int secret_prepare(struct spec *s, const struct paths *paths, const struct definition *d);

/* What an operation or a hook was given: for each a sealed memory file with the secret's text, and where in it the
 * value stands, so that it can be found in what is recorded. */
struct secret_given {
	const char *name; /* the definition's */
	int fd;		  /* owned */
	uint32_t from, len;
};

struct secret_grant {
	struct secret_given items[DEFINITION_SECRETS_MAX];
	size_t n;
};

/* Those of the definition's secrets that names (an array; NULL: none) lists, made where they are not there yet: the hook of
 * a release that brings a secret runs before its service.  secret_grant_done() in every case.  Returns as above. */
int secret_grant(struct secret_grant *ret, const struct paths *paths, const struct definition *d, const json_t *names);
void secret_grant_done(struct secret_grant *g);

/* The value alone, for who watches the service; wipe *out in every case.  Returns as secret_prepare(), and
 * REASON_NOT_FOUND (logged) where it was never made. */
struct buf;
int secret_value(struct buf *out, const struct paths *paths, const char *service,
	const struct definition_secret *secret);

/* Put the customer's own value in place of what is there.  Returns 0; REASON_MALFORMED (logged, without
 * the value) where it is empty, longer than SECRET_VALUE_MAX, no one line, or holds what its template's
 * file could take for more than a value; or a fault. */
int secret_set(const struct paths *paths, const char *service,
	const struct definition_secret *secret, const char *value, size_t len);
/* Make another one at random. */
int secret_rotate(
	const struct paths *paths, const char *service, const struct definition_secret *secret);

/* [{"name","help","made":TIME or null}], never a value; *ret is the caller's.  Returns 0 or a fault. */
int secret_list(json_t **ret, const struct paths *paths, const struct definition *d);
