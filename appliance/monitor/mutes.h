/* Mutes: alerts that are told as muted for a while, by hand or for as long as a change lasts.
 *
 *	alert.mute   (control) {target for_s reason [own]} -> {service [name] until}; leaf `alert`
 *	alert.unmute (control) {target} -> {}; leaf `alert`
 *
 * target is SERVICE or SERVICE.NAME; "host" is the host.  By hand they are kept in lib/monitor/mutes.json; those of a
 * change live as long as it, and with this process.  The collector is told them all, with why but without reason: the
 * customer's words stay here. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct monitor;

enum {
	MUTES_HAND_MAX = 32,
	MUTES_HELD_MAX = 32, /* collector's RULE_MUTES_MAX is both */
	MUTES_GRACE_S = 10,  /* what a change stirred up may settle before it is heard */
};

int mutes_init(struct monitor *m);

/* A change of service begins: its alerts are muted until mutes_release() of the same two, or at the latest for max_s
 * seconds.  why is of letters, digits and "_.:/@+ -": "update", "operation ID".  A table that is full is logged: the
 * alerts are heard, then. */
void mutes_hold(struct monitor *m, const char *service, const char *why, uint64_t max_s);
void mutes_release(struct monitor *m, const char *service, const char *why);

/* [{"service","name" (absent: all),"why","until"}], for the collector; and with "reason" and "by", for people.  The
 * caller's; NULL without memory. */
json_t *mutes_for_collector(const struct monitor *m);
json_t *mutes_for_people(const struct monitor *m);
