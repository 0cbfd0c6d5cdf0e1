/* The hub's files: fleet.db (who is known: tokens, sites, keys, nonces) and customers/NAME.db (all that
 * is one customer's), so that one customer's data can be copied, moved or erased as one file and no query
 * ever spans two. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "appliance/serve/db.h"

struct databases;

enum { DATABASES_OPEN_MAX = 256 }; /* customers' files kept open at once */

/* Use the folder dir (made 0700).  Migrations are borrowed for as long as it is open. */
int databases_open(struct databases **ret, const char *dir, const struct db_migration *fleet,
	size_t n_fleet, const struct db_migration *customer, size_t n_customer);
struct databases *databases_close(struct databases *d);
SCOPED_DESTRUCTOR(struct databases, databases_close)

struct db *databases_fleet(struct databases *d);

/* The file of a customer, opened (and made) at first use; borrowed until the next call for another
 * customer.  Returns 0; REASON_MALFORMED (logged) where name is no customer's name; or a fault. */
int databases_customer(struct databases *d, const char *name, struct db **ret);

/* Whether customers/NAME.db exists already. */
bool databases_has(struct databases *d, const char *name);

/* Run each(name, db, arg) for every customer's file; stops at the first r != 0 and returns it. */
int databases_each(struct databases *d, int (*each)(const char *name, struct db *db, void *arg), void *arg);

/* A name that may stand in a file name and in a path: [a-z0-9] then [a-z0-9._-], at most 64 bytes. */
bool databases_is_name(const char *name);
