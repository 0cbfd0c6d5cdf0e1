/* The hub's files: fleet.db (who is known: tokens, sites, keys, nonces) and customers/NAME.db (all that
 * is one customer's), so that one customer's data can be copied, moved or erased as one file and no query
 * ever spans two. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/serve/db.h"

struct databases;

enum {
	DATABASES_OPEN_MAX = 256, /* customers' files kept open at once */
	DATABASES_AILING_S = 150, /* for so long after its last failure a file counts as ailing: two sweeps */
};

/* Use the folder dir; customers/ in it is made 0700, and 0700 again where it was wider.  Migrations are borrowed for as long as it is open. */
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

typedef bool databases_want_fn(const char *name, void *arg);
typedef int databases_each_fn(const char *name, struct db *db, void *arg);

/* Run each(name, db, arg) for every customer's file that want(name, arg) says yes to (NULL: all); one that nobody
 * wants is not even opened.  Stops at the first r > 0 and returns it.  A file that does not open, or of which each()
 * says r < 0, is closed, counts as ailing and is passed over: one customer's damage is no other's.  A fault is
 * returned where the folder cannot be read, or where such a file could not be noted. */
int databases_each(struct databases *d, databases_want_fn *want, databases_each_fn *each, void *arg);

/* A customer's file that failed within DATABASES_AILING_S; why is the fault. */
typedef void databases_ailing_fn(const char *name, int why, void *arg);
/* Tell of each; returns how many (tell may be NULL). */
size_t databases_ailing(struct databases *d, databases_ailing_fn *tell, void *arg);

/* A name that may stand in a file name and in a path: [a-z0-9] then [a-z0-9._-], at most 64 bytes. */
bool databases_is_name(const char *name);
