/* A TUF client over a repository in a local folder: how the hub reads releases and people from the very
 * files that it serves, believing only what the root's signatures say. */
#pragma once

#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/tuf/client.h"

struct people;
struct tuf_local;

/* repo is REPO (metadata in REPO/tuf, targets in REPO/tuf/targets); own_fd the client's own folder (its
 * descriptor is duplicated).  Where own_fd holds no root yet, REPO/tuf/1.root.json is trusted: whoever
 * starts a hub points it to the repository that its own release engineers made. */
int tuf_local_open(struct tuf_local **ret, const char *repo, int own_fd);
struct tuf_local *tuf_local_close(struct tuf_local *l);
SCOPED_DESTRUCTOR(struct tuf_local, tuf_local_close)

/* Bring the view up to date: the whole workflow, unless the repository's timestamp is the file that was seen
 * last and nothing expired.  Returns 0; REASON_NOT_FOUND (logged) where there is no repository yet; a
 * refusal of the workflow; or a fault.  After a refusal the older view stays (tuf_local_client()). */
int tuf_local_refresh(struct tuf_local *l, uint64_t now_us);

/* The client after the last good refresh; NULL where there was none. */
struct tuf_client *tuf_local_client(struct tuf_local *l);

/* Read the delegated roles that the search for path would ask (tuf_client_reach()).  After a good refresh.  Returns 0; a
 * refusal, where one of them is damaged or missing; or a fault. */
int tuf_local_reach(struct tuf_local *l, const char *path);

/* The people document of the refreshed view; borrowed until the next refresh.  Refreshes first.  Returns 0;
 * REASON_NOT_FOUND (logged) where there is none; a refusal; or a fault. */
int tuf_local_people(struct tuf_local *l, uint64_t now_us, const struct people **ret);
