#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/ask.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/floor.h"
#include "appliance/monitor/proxy.h"

enum {
	ASK_MS = 10 * 1000,
	FREE_MIN_MB = 512,
	CGROUP2_MAGIC = 0x63677270,
};

struct doctor {
	struct command_call *call;
	json_t *items;
	json_t *status; /* of the monitor; NULL where it does not answer */
	bool bad;
};

static void
tell(struct doctor *d, const char *check, bool good, const char *text, const char *remedy)
{
	d->bad = d->bad || !good;
	(void)json_array_append_new(d->items,
		json_pack("{s:s, s:b, s:s, s:s}", "check", check, "ok", good, "text", text,
			"remedy", good ? "" : remedy));
	command_say(d->call, "%-14s %-4s %s%s%s", check, good ? "ok" : "BAD", text,
		good ? "" : "; ", good ? "" : remedy);
}

static void
check_monitor(struct doctor *d)
{
	bool up = ask_monitor(d->call, call_new("status"), ASK_MS, &d->status) == 0;

	tell(d, "monitor", up, up ? "answers" : "does not answer",
		"start it: mainstay run --state DIR");
}

static void
check_clock(struct doctor *d)
{
	const json_t *hub = json_object_get(d->status, "hub"), *clock = json_object_get(d->status, "clock");
	json_int_t offset = json_integer_value(json_object_get(hub, "clock_offset_ms"));
	const char *why = json_text(clock, "why");
	uint64_t now = clock_now_us();
	/* Where no monitor answers, at least this much. */
	bool good = clock ? *why == '\0' : now >= FLOOR_UNSET_S * CLOCK_US_PER_S;
	char text[320], when[CLOCK_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s%s%s, the hub's differs by %lld ms", clock_format(when, now),
		*why ? ", doubtful: " : "", why, (long long)offset);
	tell(d, "clock", good, text,
		"set the clock (timedatectl set-ntp true): until then requests need a permit, windows count as closed, "
		"dates are held against the floor");
}

static void
check_disk(struct doctor *d)
{
	struct statvfs fs;
	unsigned long long free_mb;
	char text[96];

	if (statvfs(d->call->paths.lib, &fs) < 0) {
		tell(d, "disk", false, "the state folder cannot be looked at", "check --state");
		return;
	}
	free_mb = (unsigned long long)fs.f_bavail * fs.f_frsize / (1024 * 1024);
	(void)snprintf(text, sizeof(text), "%llu MB free below %.60s", free_mb, d->call->paths.lib);
	tell(d, "disk", free_mb >= FREE_MIN_MB, text, "make room: updates stage beside what runs");
}

static void
check_file(struct doctor *d, const char *check, const char *path, const char *remedy)
{
	bool there = access(path, F_OK) == 0;
	char text[128];

	(void)snprintf(text, sizeof(text), "%s %s", path, there ? "is there" : "is missing");
	tell(d, check, there, text, remedy);
}

static void
check_cgroups(struct doctor *d)
{
	struct statfs fs;
	bool v2 = statfs("/sys/fs/cgroup", &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_MAGIC;

	tell(d, "cgroups", v2 || access("/sys/fs/cgroup/memory", F_OK) == 0,
		v2 ? "version 2" : "version 1", "mount cgroups, or run without memory limits");
}

static bool
has_word(const json_t *words, const char *word)
{
	for (size_t i = 0; i < json_array_size(words); i++)
		if (strcmp(json_string_value(json_array_get(words, i)), word) == 0)
			return true;
	return false;
}

/* What the supervisor tried when it started. */
static void
check_walls(struct doctor *d)
{
	static const char *const names[] = { "separate-uids", "netns", "pid-namespaces" };
	const json_t *missing = json_object_get(d->status, "not_enforced");

	for (size_t i = 0; d->status && i < ARRAY_LEN(names); i++)
		tell(d, names[i], !has_word(missing, names[i]),
			has_word(missing, names[i]) ? "not enforced on this host" : "enforced",
			"run as root on a host that allows namespaces");
}

/* One GET, asked for by a person: name, TCP, proxy, TLS and hub at once, and which of them it was. */
static void
check_hub(struct doctor *d)
{
	SCOPED(http_reply_done) struct http_reply reply = { 0 };
	const char *url = json_text(json_object_get(d->status, "hub"), "url");
	char full[600], ca[sizeof(d->call->paths.etc) + 16], text[400], proxy[PROXY_MAX], shown[PROXY_MAX];
	int r;

	if (!*url) {
		tell(d, "hub", true, "not enrolled: no hub to reach", "");
		return;
	}
	r = proxy_read(proxy, d->call->paths.etc);
	if (r == 0 && proxy[0]) {
		(void)snprintf(text, sizeof(text), "%s", proxy_shown(shown, proxy));
		tell(d, "proxy", true, text, "");
	} else if (r && r != REASON_NOT_FOUND) {
		tell(d, "proxy", false, refuse_last()->text, "write etc/proxy anew: http://NAME:PASSWORD@HOST:PORT");
	}
	(void)snprintf(full, sizeof(full), "%s/healthz", url);
	(void)snprintf(ca, sizeof(ca), "%s/ca.pem", d->call->paths.etc);
	r = http_perform(NULL, &(struct http_request){ .method = "GET",
				 .url = full,
				 .proxy = proxy[0] ? proxy : NULL,
				 .ca_file = access(ca, R_OK) == 0 ? ca : NULL },
		&reply);
	if (r == 0)
		(void)snprintf(text, sizeof(text), "%s answered %ld in %u ms", full, reply.status,
			reply.used_ms);
	else
		(void)snprintf(text, sizeof(text), "%s: %s", full, reply.error);
	tell(d, r == 0 ? "hub" : http_trouble_text(reply.trouble), r == 0 && reply.status < 500, text,
		r == 0 ? "something between here and the hub answers in its place: check the proxy"
		       : http_trouble_remedy(reply.trouble));
}

int
commands_doctor(struct command_call *call)
{
	SCOPED_JSON *items = json_array(), *status = NULL;
	struct doctor d = { .call = call, .items = items };

	check_monitor(&d);
	check_clock(&d);
	check_disk(&d);
	check_file(&d, "sandbox", "/usr/bin/bwrap", "install bubblewrap: services run in it");
	check_file(&d, "namespaces", "/proc/self/ns/user", "use a kernel with user namespaces");
	check_cgroups(&d);
	check_walls(&d);
	check_hub(&d);
	status = d.status;
	if (call->json)
		(void)command_print_json("Doctor", json_pack("{s:O}", "items", items));
	return d.bad ? REFUSE(REASON_CONFLICT, "doctor", "something is wrong; see above") : 0;
}
