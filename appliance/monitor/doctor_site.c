/* How the site itself is: what its monitor says, read as somebody would who was called. */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/doctor.h"
#include "appliance/monitor/floor.h"

enum { ASK_MS = 10 * 1000, TEXT_MAX = 1024, RESTARTS_MANY = 3 };

static void
check_monitor(struct doctor *d)
{
	int r = ask_monitor(d->call, call_new("status"), ASK_MS, &d->status);
	bool systemd = sd_booted() > 0 && access("/lib/systemd/system/mainstayd.service", F_OK) == 0;
	const char *remedy = systemd ? "systemctl start mainstayd, and look: journalctl -u mainstayd"
				     : "start it: mainstay run --state DIR";

	if (r > 0 && refuse_last()->reason == REASON_DENIED)
		remedy = "ask as root, or as who runs it";
	doctor_test(d, "monitor", r == 0, r == 0 ? "answers" : "does not answer", remedy);
}

static void
check_clock(struct doctor *d)
{
	const json_t *hub = json_object_get(d->status, "hub"), *clock = json_object_get(d->status, "clock");
	bool heard = json_is_string(json_object_get(hub, "last_contact"));
	const char *why = json_text(clock, "why");
	uint64_t now = clock_now_us();
	/* Where no monitor answers, at least this much. */
	bool good = clock ? *why == '\0' : now >= FLOOR_UNSET_S * CLOCK_US_PER_S;
	char text[400], when[CLOCK_TEXT_MAX], differs[64] = "";

	if (heard)
		(void)snprintf(differs, sizeof(differs), ", the hub's differs by %lld ms",
			(long long)json_integer_value(json_object_get(hub, "clock_offset_ms")));
	(void)snprintf(text, sizeof(text), "%s%s%s%s", clock_format(when, now), *why ? ", doubtful: " : "", why, differs);
	doctor_test(d, "clock", good, text,
		"set the clock (timedatectl set-ntp true): until then requests need a permit, windows count as closed, "
		"dates are held against the floor");
}

/* Those that a site always has; the others stand in status by themselves. */
static void
check_daemons(struct doctor *d)
{
	static const char *const names[] = { "collectd", "courier" };
	const json_t *list = json_object_get(d->status, "daemons"), *item;
	size_t i;

	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		const json_t *found = NULL;
		json_int_t restarts;
		char text[160];

		json_array_foreach(list, i, item)
			if (strcmp(json_text(item, "name"), names[n]) == 0)
				found = item;
		restarts = json_integer_value(json_object_get(found, "restarts"));
		if (json_is_false(json_object_get(found, "wanted"))) {
			doctor_tell(d, names[n], DOCTOR_GOOD, "does not run: all switches are off", "");
			continue;
		}
		if (!found)
			(void)snprintf(text, sizeof(text), "does not run");
		else
			(void)snprintf(text, sizeof(text), "pid %lld%s, started again %lld times",
				(long long)json_integer_value(json_object_get(found, "pid")),
				json_is_true(json_object_get(found, "ready")) ? "" : ", not ready", (long long)restarts);
		doctor_tell(d, names[n],
			!found || !json_is_true(json_object_get(found, "ready")) ? DOCTOR_BAD
				: restarts >= RESTARTS_MANY			  ? DOCTOR_NOTE
										  : DOCTOR_GOOD,
			text, "what it wrote says why: where mainstay run writes, or journalctl -u mainstay-*");
	}
}

static bool
one_of(const char *word, const char *const *words)
{
	while (*words && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

static void
check_services(struct doctor *d)
{
	static const char *const bad_states[] = { "failed", "frozen", NULL };
	const json_t *list = json_object_get(d->status, "services"), *item;
	size_t i, well = 0;
	char text[TEXT_MAX], remedy[TEXT_MAX];

	json_array_foreach(list, i, item) {
		const char *name = json_text(item, "name"), *state = json_text(item, "state");

		if (!one_of(state, bad_states) && strcmp(json_text(item, "health"), "failing") != 0) {
			well++;
			continue;
		}
		(void)snprintf(text, sizeof(text), "%s is %s, health %s", name, state, json_text(item, "health"));
		(void)snprintf(remedy, sizeof(remedy), "mainstay service list says why, mainstay service logs %s what it wrote", name);
		doctor_test(d, "service", false, text, remedy);
	}
	(void)snprintf(text, sizeof(text), "%zu of %zu as they should be", well, json_array_size(list));
	if (well == json_array_size(list))
		doctor_test(d, "services", true, text, "");
}

/* What is wrong with the file waits for a person, and is told with what waits. */
static void
check_policy(struct doctor *d)
{
	const json_t *policy = json_object_get(d->status, "policy");
	json_int_t approvers = json_integer_value(json_object_get(policy, "approvers"));
	char text[160];

	(void)snprintf(text, sizeof(text), "%s, %lld who may approve", json_text(policy, "state"), (long long)approvers);
	doctor_tell(d, "policy", approvers > 0 ? DOCTOR_GOOD : DOCTOR_NOTE, text,
		"what asks for an approver is never run: name some in policy.yaml, then mainstay policy apply FILE");
}

/* Requests, and what an enrolment waits for, are no trouble; the rest of what waits is. */
static void
check_pending(struct doctor *d)
{
	static const char *const usual[] = { "request", "enrolment", "record", "rotation", NULL };
	const json_t *list = json_object_get(d->status, "pending"), *stuck, *item;
	size_t i;
	char text[TEXT_MAX];

	json_array_foreach(list, i, item) {
		const char *kind = json_text(item, "kind");

		if (one_of(kind, usual))
			doctor_tell(d, kind, DOCTOR_NOTE, json_text(item, "text"), "");
		else
			doctor_test(d, kind, false, json_text(item, "text"), "mainstay status says more");
	}
	stuck = json_object_get(json_object_get(d->status, "outbox"), "stuck");
	json_array_foreach(stuck, i, item) {
		(void)snprintf(text, sizeof(text), "%s %lld is not taken by the hub: it answered %lld, %lld times",
			json_text(item, "stream"), (long long)json_integer_value(json_object_get(item, "sequence")),
			(long long)json_integer_value(json_object_get(item, "status")),
			(long long)json_integer_value(json_object_get(item, "tries")));
		doctor_test(d, "outbox", false, text, "it is kept and tried again; tell the vendor");
	}
}

static void
check_core(struct doctor *d)
{
	const json_t *core = json_object_get(d->status, "core");
	const char *trial = json_text(core, "trial");
	char text[160];

	(void)snprintf(text, sizeof(text), "%s, slot %s%s%s", json_text(core, "version"), json_text(core, "slot"),
		strcmp(trial, "none") == 0 ? "" : ", on trial: ", strcmp(trial, "none") == 0 ? "" : trial);
	doctor_tell(d, "core", strcmp(trial, "none") == 0 ? DOCTOR_GOOD : DOCTOR_NOTE, text,
		"it proves itself, or the core before it comes back by itself");
}

void
doctor_site(struct doctor *d)
{
	check_monitor(d);
	check_clock(d);
	if (!d->status)
		return;
	check_daemons(d);
	check_services(d);
	check_policy(d);
	check_core(d);
	check_pending(d);
}
