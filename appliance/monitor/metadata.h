/* The monitor's own view of the vendor's repository (lib/monitor/tuf), fed by a courier that it does not
 * believe.
 *
 * Courier verb update.metadata {name: FILE..., absent: FILE...} -> {"need":[FILE...],"current":bool}
 *
 * FILE is a path below the hub's /tuf/ ("2.root.json", "7.snapshot.json", "targets/people/HEX.people.json"); the
 * courier stores what it fetched under the same path below lib/incoming/tuf and names what the hub does not have
 * in `absent`.  It calls with nothing first, then after each round of fetching, until "need" is empty.  Each
 * document goes through the judge; `mainstay enrol` calls it, too, with one name at a time and its bytes as the
 * body, so that the site record can be checked at once; signatures, thresholds, versions and expiry are checked here.  With
 * "current" the people document is in force, too, and MONITOR_CHANGE_PEOPLE or MONITOR_CHANGE_METADATA ran. */
#pragma once

#include <stdint.h>

struct monitor;
struct refusal;
struct tuf_client;

/* The trusted set as of the last complete refresh; NULL before the first.  Look targets up with
 * tuf_client_target() (all delegations that were needed are there; TUF_WANTS: call metadata_want() and
 * wait for MONITOR_CHANGE_METADATA).  Borrowed, valid until the next loop turn. */
struct tuf_client *monitor_tuf(struct monitor *m);
/* When the refresh began that brought it (clock_mono_us()); 0 before the first of this process. */
uint64_t metadata_begun_us(const struct monitor *m);

/* Why the last refresh ended before it was complete; NULL where it was refused nothing since the last complete one. */
const struct refusal *metadata_refused(const struct monitor *m);

/* A target that the next refresh shall also bring the delegations and the bytes of ("services/redis/7.0.15/
 * index.json"): they then lie in lib/incoming/tuf/targets, hash unchecked.  Kept until the process ends. */
int metadata_want(struct monitor *m, const char *target);

/* Registers the verb and reads lib/monitor/tuf. */
int metadata_init(struct monitor *m);
