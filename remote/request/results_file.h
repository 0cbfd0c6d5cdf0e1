/* What a site that no network reaches answered, as one file: `mainstay results export` writes it, `mainstay-desk import`
 * reads it.  Canonical JSON:
 *
 *	{"v":1,"site":ID,"statement":ENVELOPE,["permits":ENVELOPE,]
 *	 "items":[{"id","decision":""|"allow"|"ask"|"deny","request":ENVELOPE,"plan":ENVELOPE|null,"result":ENVELOPE|null}...]}
 *
 * Nothing in it is to be believed but what its envelopes say: the engineer's request, the site's statement, its
 * standing permits (where it has or had any), plan and result. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "appliance/base/scope.h"
#include "remote/request/request_wire.h"

struct buf;

enum {
	RESULTS_FILE_MAX = 8 * 1024 * 1024,
	RESULTS_FILE_ITEMS_MAX = REQUEST_KEPT_MAX,
};

struct results_file {
	const char *site;	   /* as it says; texts and values are borrowed from doc */
	const json_t *statement;   /* envelope */
	const json_t *permits;	   /* envelope; NULL where the site never had standing permits */
	struct results_file_item {
		const char *id;
		const char *decision;
		const json_t *request; /* envelope */
		const json_t *plan, *result; /* envelopes; NULL where there is none */
	} items[RESULTS_FILE_ITEMS_MAX];
	size_t n_items;
	json_t *doc; /* owned */
};

/* Append the file to out.  Returns 0, REASON_TOO_LARGE (logged, naming name) where it does not fit, or a fault. */
int results_file_write(struct buf *out, const json_t *file, const char *name);

/* Returns 0 with *ret the caller's; REASON_TOO_LARGE, REASON_MALFORMED, REASON_UNKNOWN_FIELD (logged); or a fault. */
int results_file_read(struct results_file **ret, const void *p, size_t len);
struct results_file *results_file_free(struct results_file *f);
SCOPED_DESTRUCTOR(struct results_file, results_file_free)
