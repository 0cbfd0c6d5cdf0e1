/* Who is told of alerts: table `notify` of fleet.db, kept by `mainstay-hubd notify`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/buf.h"
#include "appliance/serve/db.h"

extern const struct db_migration notify_target_migration; /* of fleet.db */

enum {
	NOTIFY_TARGET_URL_MAX = 512,     /* bytes with NUL */
	NOTIFY_TARGET_ADDRESS_MAX = 255,
	NOTIFY_TARGET_TO_MAX = 8,        /* recipients of one mail */
	NOTIFY_TARGET_FILE_MAX = 512,
	NOTIFY_TARGET_MAX = 64,          /* targets of a hub */
	NOTIFY_TARGET_SECRET_MAX = 4096, /* bytes of a file with a secret */
};

enum notify_kind {
	NOTIFY_ALERTMANAGER, /* API v2; url is its root: https://HOST:9093 */
	NOTIFY_WEBHOOK,
	NOTIFY_SMTP,         /* smtp://HOST:PORT with STARTTLS, or smtps:// */
	NOTIFY_KINDS,
};

struct notify_target {
	int64_t id;
	enum notify_kind kind;
	char url[NOTIFY_TARGET_URL_MAX];
	char customer[65]; /* "": every customer's, each in messages of its own */
	char from[NOTIFY_TARGET_ADDRESS_MAX];
	char to[NOTIFY_TARGET_TO_MAX * NOTIFY_TARGET_ADDRESS_MAX]; /* "a@x,b@y" */
	/* 0600: SMTP: user and password, a line each; webhook: the key of its HMAC; Alertmanager: the value of the
	 * header Authorization.  "": none. */
	char secret_file[NOTIFY_TARGET_FILE_MAX];
	char ca_file[NOTIFY_TARGET_FILE_MAX]; /* "": the system's */
	bool plain; /* without TLS, to loopback alone */
	uint64_t created_us;
};

/* "alertmanager", "webhook", "smtp"; and back: NOTIFY_KINDS where it is none. */
const char *notify_target_kind(enum notify_kind kind);
enum notify_kind notify_target_kind_of(const char *text);

/* Is it whole and safe?  https (or TLS) alone, but for plain to loopback; addresses without a name or a line break;
 * files absolute.  Returns 0 or REASON_USAGE (logged, naming what is wrong). */
int notify_target_check(const struct notify_target *t);

/* Check and keep it; t->id is set.  Returns 0, REASON_USAGE (logged), REASON_TOO_LARGE (logged), or a fault. */
int notify_target_add(struct db *fleet, struct notify_target *t);
/* Returns 0, REASON_NOT_FOUND (logged), or a fault. */
int notify_target_remove(struct db *fleet, int64_t id);
int notify_target_get(struct db *fleet, int64_t id, struct notify_target *ret);
/* In the order of their ids; stops at r != 0 and returns it. */
int notify_target_each(struct db *fleet, int (*each)(const struct notify_target *t, void *arg), void *arg);

/* The secret, without the line end at its end.  Returns 0; REASON_NOT_FOUND, REASON_DENIED (others may read it),
 * REASON_TOO_LARGE (logged); or a fault.  Wipe out. */
int notify_target_secret(const struct notify_target *t, struct buf *out);
