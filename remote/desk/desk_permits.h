/* Which standing permits a site has, as it signed that: what would run there without anybody being asked again.
 * STATE/desk/CARD-KEY/permits/SITE.json keeps the newest that this desk saw, shown by the hub or brought by hand. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct command_call;
struct desk;
struct desk_site;

/* s->permits becomes the newest of what the hub shows (s->hub) and what is kept; NULL where there is none.  s->key and
 * s->statement are set.  What is kept and is not by the present key counts for nothing.  Returns 0; what
 * envelope_open_json(), envelope_verify_daemon() and permits_parse() refuse; REASON_WRONG_ADDRESSEE; REASON_ROLLBACK where
 * the hub shows an older one than it did before (all logged); or a fault. */
int desk_permits_take(struct desk *d, struct desk_site *s);

/* Keep envelope, which came by hand, where it is newer than s->permits, which then is it; else nothing changes.  Returns as
 * desk_permits_take() but for the rollback. */
int desk_permits_keep(struct desk *d, struct desk_site *s, const json_t *envelope);

/* Are they of a life of the site that is over by its statement?  They cover nothing then. */
bool desk_permits_former(const struct desk_site *s);

/* The part of `show`. */
void desk_permits_say(struct command_call *call, const struct desk_site *s);
