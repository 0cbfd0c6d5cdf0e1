#include "updater/activate/core_check.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/definition.h"
#include "appliance/supervise/slots.h"
#include "appliance/tree/beneath.h"
#include "updater/activate/core_change.h"

enum { TRIES = 3, TRIAL_S = 60, SOAK_S = 10 };

static int
open_store(int *ret_fd, struct monitor *m)
{
	char path[sizeof(((struct paths *)0)->lib) + 16];

	snprintf(path, sizeof(path), "%s/store", monitor_paths(m)->lib);
	return fs_open_dir(ret_fd, AT_FDCWD, path, 0755);
}

static int
read_definition(struct definition **ret, int store_fd, const char *hex)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	char name[96];
	int r;

	snprintf(name, sizeof(name), "%s.definition.json", hex);
	r = fs_read(store_fd, name, DEFINITION_BYTES_MAX, &b);
	if (r > 0)
		return REFUSE(r, hex, "its definition cannot be read from the store");
	return r < 0 ? FAULT(r) : definition_read(ret, b.data, b.len);
}

/* Without these there is no core, whatever else is in the tree. */
static int
check_programs(int store_fd, const char *hex)
{
	static const char *const programs[] = { "mainstay-supervise", "mainstayd", "mainstay-collectd", "mainstay-courier",
		"mainstay-judge", "mainstay-activate", "mainstay-operate", "mainstay-notify", "mainstay" };

	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		SCOPED(scope_close) int fd = -1;
		char path[160];
		struct stat st;

		snprintf(path, sizeof(path), "%s/bin/%s", hex, programs[i]);
		fd = beneath_open(store_fd, path, O_RDONLY | O_NONBLOCK, 0);
		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
			return REFUSE(REASON_NOT_FOUND, programs[i], "the release has no such program");
	}
	return 0;
}

static bool
accepts(const struct definition *d, const char *format)
{
	if (d->data_format && strcmp(d->data_format, format) == 0)
		return true;
	for (size_t i = 0; i < json_array_size(d->data_accepts); i++) {
		const char *s = json_string_value(json_array_get(d->data_accepts, i));

		if (s && strcmp(s, format) == 0)
			return true;
	}
	return false;
}

int
core_check_release(struct monitor *m, const char *hex)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(scope_close) int store = -1;
	int r;

	r = open_store(&store, m);
	r = r ?: read_definition(&d, store, hex);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (strcmp(d->name, CORE_SERVICE) != 0 || d->class != DEFINITION_CLASS_CORE)
		return REFUSE(REASON_ALTERED, CORE_SERVICE, "the release defines %s \"%s\", not the core",
			d->class == DEFINITION_CLASS_CORE ? "core" : "service", d->name);
	if (!accepts(d, SLOTS_STATE_FORMAT))
		return REFUSE(REASON_CONFLICT, CORE_SERVICE,
			"it does not take over state of the form %s: its data.accepts names the forms that it does",
			SLOTS_STATE_FORMAT);
	return check_programs(store, hex);
}

static uint64_t
knob(const struct definition *d, const char *name, uint64_t otherwise)
{
	const struct definition_param *p = definition_knob(d, name);

	if (!p || !json_is_integer(p->fallback) || json_integer_value(p->fallback) < 0)
		return otherwise;
	return (uint64_t)json_integer_value(p->fallback);
}

int
core_check_times(struct core_times *ret, struct monitor *m, const char *hex)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(scope_close) int store = -1;
	uint64_t tries = TRIES, trial = TRIAL_S, soak = SOAK_S;
	int r;

	if (*hex) {
		r = open_store(&store, m);
		r = r ?: read_definition(&d, store, hex);
		if (r)
			return r < 0 ? FAULT(r) : r;
		tries = knob(d, "tries", TRIES);
		trial = knob(d, "trial-seconds", TRIAL_S);
		soak = knob(d, "soak-seconds", SOAK_S);
	}
	if (tries < 1 || tries > SLOTS_TRIES_MAX || trial > SLOTS_TIME_MAX_MS / 1000 || soak >= trial)
		return REFUSE(REASON_MALFORMED, CORE_SERVICE,
			"tries must be 1 to %d, trial-seconds at most %d and soak-seconds less than that", SLOTS_TRIES_MAX,
			SLOTS_TIME_MAX_MS / 1000);
	ret->tries = (unsigned)tries;
	ret->trial_ms = (uint32_t)(trial * 1000);
	ret->soak_ms = (uint32_t)(soak * 1000);
	return 0;
}
