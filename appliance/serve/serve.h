/* The hub's HTTP service: modules bring tables and routes, this finds the route, checks the signature,
 * calls the handler, answers refusals, signs replies and counts. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/serve/databases.h"
#include "appliance/serve/http_server.h"
#include "appliance/serve/route.h"

struct buf;
struct ed25519;
struct reactor;
struct registry_site;
struct serve;
struct tuf_local;

enum { SERVE_MODULES_MAX = 16, SERVE_ROUTES_MAX = 128, SERVE_NAME_MAX = 64, SERVE_URL_MAX = 256 };

/* What a room of the hub is made of.  Registered by the program's main. */
struct serve_module {
	const char *name;
	const struct db_migration *fleet; /* may be NULL */
	const struct db_migration *customer; /* may be NULL */
	const struct route *routes;
	size_t n_routes;
	/* Build the module's state; serve is complete but not yet listening.  May be NULL. */
	int (*open)(void **ret_state, struct serve *serve);
	void (*close)(void *state);
	/* End long polls: the service stops. */
	void (*drain)(void *state);
	/* Every minute: sweep what is old. */
	void (*tick)(void *state, uint64_t now_us);
	/* Append Prometheus text. */
	void (*metrics)(void *state, struct buf *out);
	/* An alert that the hub itself raises about a site (firing) or ends; inside the caller's transaction on the
	 * customer's file. */
	int (*alert)(void *state, struct db *customer, const char *site, const char *name, const char *text,
		bool firing);
	/* Append the newest changes of a site that the room knows of (an operation that ran), each {"what","time"}; what is
	 * a few words.  customer is the file of the site's customer. */
	int (*changes)(void *state, const char *site, struct db *customer, json_t *changes);
	/* Add what the room knows of a site to its page.  customer is the file of the site's customer. */
	int (*site)(void *state, const struct registry_site *site, struct db *customer, json_t *page);
};

/* Is the engineer of this login still one, in role (NULL: any) for customer (NULL: any)?  Returns 0 or the refusal
 * of the people document (logged), or a fault. */
typedef int serve_engineer_fn(const struct auth_identity *who, const char *role, const char *customer,
	void *arg);

struct serve_config {
	const char *dir;    /* the hub's state folder: db below it */
	const char *socket; /* path of the UNIX socket */
	const char *name;   /* of the hub, signs checkpoints and logins */
	const char *url;    /* https://ADDR:PORT */
	const struct ed25519 *reply, *witness, *director; /* the hub's keys; borrowed */
	struct tuf_local *repo; /* the verified view of the repository; borrowed, for the modules */
	serve_engineer_fn *engineer;
	void *engineer_arg;
	const struct serve_module *const *modules; /* ends with NULL; borrowed */
};

/* Open the databases, migrate, open each module in order, listen.  Returns 0, REASON_CONFLICT (logged) where
 * the files are newer than the program, or a fault. */
int serve_open(struct serve **ret, struct reactor *reactor, const struct serve_config *config);
struct serve *serve_close(struct serve *s);
SCOPED_DESTRUCTOR(struct serve, serve_close)

/* Finish: parked calls are answered, and no call is parked any more. */
void serve_drain(struct serve *s);
size_t serve_inflight(const struct serve *s);

struct reactor *serve_reactor(struct serve *s);
struct databases *serve_databases(struct serve *s);
const struct serve_config *serve_config(const struct serve *s);

/* All counters as Prometheus text: requests, refusals, batches, then each module's. */
void serve_metrics(struct serve *s, struct buf *out);

/* What an engineer is told of a thing that does not exist, and of one that is another customer's: one answer for both,
 * word by word, so that nobody learns what others have.  named is the thing as the caller named it.  Returns
 * REASON_NOT_FOUND (logged). */
int serve_not_yours(const char *named);

/* May the engineer of this login act on named, which is customer's, in role (NULL: any)?  The login must cover the
 * customer, and people must say it today, not only when the login was made.  (That the engineer still is one was
 * checked before any handler of a ROUTE_ENGINEER ran.)  Returns 0; serve_not_yours(named) where he is not this
 * customer's; the refusal of the people document; or a fault. */
int serve_engineer(struct serve *s, const struct auth_identity *who, const char *role, const char *customer,
	const char *named);

/* Before a call that was parked is answered: is its key still one, and who signed it still who may call this route?
 * What a handler checked beyond that (serve_engineer()) it checks again itself.  Returns 0; the refusal (logged), with
 * *ret_status for problem_reply(); or a fault. */
int serve_still(struct serve *s, const struct http_call *call, int *ret_status);

/* The site of that name and its customer's file (ret_db may be NULL), where the engineer may see it.  *ret is to be
 * ended by registry_site_done().  Returns as serve_engineer(). */
int serve_find_site(struct serve *s, const struct auth_identity *who, const char *name, struct registry_site *ret,
	struct db **ret_db);

/* Run each() for the file of every customer that is the engineer's (databases_each()); no other is opened.  The names
 * of those of his whose file cannot be read are appended to unavailable. */
int serve_each_customer(struct serve *s, const struct auth_identity *who, databases_each_fn *each, void *arg,
	json_t *unavailable);

/* Answer with a list: {"items":[…]}, and "unavailable":[names] where it has any. */
int serve_reply_items(struct http_call *call, json_t *items, json_t *unavailable);

/* Tell the module that keeps alerts, if there is one. */
int serve_alert(struct serve *s, struct db *customer, const char *site, const char *name, const char *text,
	bool firing);

/* Let each module add to a site's page. */
int serve_site(struct serve *s, const struct registry_site *site, struct db *customer, json_t *page);

/* What changed at a site lately, as far as any module knows, each with "of", that module's name; in no order. */
int serve_changes(struct serve *s, const char *site, struct db *customer, json_t *changes);
/* The newest of them, at most max, newest first; of one module at most half of that, where others have more. */
int serve_changes_newest(struct serve *s, const char *site, struct db *customer, size_t max, json_t *changes);

/* fleet.db of dir alone, migrated, for a command beside a running hub. */
int serve_open_fleet(struct db **ret, const char *dir, const struct serve_module *const *modules);

/* All files of dir, migrated, for such a command that also touches what is a customer's.  The schema that the databases
 * borrow is the process's one: every call of a process names the same modules. */
int serve_open_databases(struct databases **ret, const char *dir, const struct serve_module *const *modules);

/* The modules' routes, for nginx's configuration and for whoever wants to see them. */
size_t serve_routes(const struct serve_module *const *modules, const struct route **out, size_t max);

/* Answer with JSON; consumes take_obj. */
int serve_reply_json(struct http_call *call, int status, json_t *take_obj);
