#include "appliance/service/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static const char file_name[] = "cluster.lock";

struct raw_entry {
	const char *release, *version, *channel;
	uint64_t counter;
};

static const struct json_field entry_fields[] = {
	{ "release", JSON_KIND_TEXT, false, offsetof(struct raw_entry, release), 64 },
	{ "version", JSON_KIND_TEXT, false, offsetof(struct raw_entry, version), 64 },
	{ "channel", JSON_KIND_TEXT, false, offsetof(struct raw_entry, channel), 64 },
	{ "counter", JSON_KIND_U64, false, offsetof(struct raw_entry, counter), 0 },
};

struct raw_lock {
	uint64_t v;
	json_t *services;
};

static const struct json_field lock_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct raw_lock, v), 1 },
	{ "services", JSON_KIND_OBJECT, false, offsetof(struct raw_lock, services),
		LOCK_SERVICES_MAX },
};

static int
open_lib(int *ret, const struct paths *paths)
{
	*ret = open(paths->lib, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? FAULT(-errno) : 0;
}

static bool
is_hex64(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static int
read_entry(struct lock *l, const char *service, const json_t *o)
{
	struct raw_entry raw = { 0 };
	struct lock_entry e = { 0 };
	int r;

	r = json_members(o, entry_fields, ARRAY_LEN(entry_fields), &raw, file_name);
	if (r)
		return r;
	if (!is_hex64(raw.release) || strlen(service) >= sizeof(e.service) || !*service)
		return REFUSE(REASON_MALFORMED, file_name, "an entry names no release");
	e.counter = raw.counter;
	(void)snprintf(e.service, sizeof(e.service), "%s", service);
	(void)snprintf(e.release, sizeof(e.release), "%s", raw.release);
	(void)snprintf(e.version, sizeof(e.version), "%s", raw.version);
	(void)snprintf(e.channel, sizeof(e.channel), "%s", raw.channel);
	return lock_put(l, &e);
}

int
lock_read(struct lock *ret, const struct paths *paths)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(LOCK_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	SCOPED_JSON *doc = NULL;
	struct raw_lock raw = { 0 };
	const char *service;
	json_t *o;
	int r;

	ret->n = 0;
	r = open_lib(&dir, paths);
	r = r ?: fs_read(dir, file_name, LOCK_BYTES_MAX, &text);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r > 0)
		return REFUSE(r, file_name, "cannot be read");
	r = r ?: json_read(&doc, text.data, text.len, LOCK_BYTES_MAX, file_name);
	r = r ?: json_members(doc, lock_fields, ARRAY_LEN(lock_fields), &raw, file_name);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (raw.v != 1)
		return REFUSE(REASON_MALFORMED, file_name, "is of a version that is not known");
	json_object_foreach(raw.services, service, o) {
		r = read_entry(ret, service, o);
		if (r) {
			ret->n = 0;
			return r < 0 ? FAULT(r) : r;
		}
	}
	return 0;
}

int
lock_write(const struct lock *l, const struct paths *paths)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(LOCK_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	SCOPED_JSON *services = json_object(), *doc = NULL;
	int r = 0;

	for (size_t i = 0; i < l->n && !r; i++) {
		const struct lock_entry *e = &l->entries[i];

		r = json_object_set_new(services, e->service,
			json_pack("{ss ss ss sI}", "release", e->release, "version", e->version,
				"channel", e->channel, "counter", (json_int_t)e->counter));
	}
	doc = json_pack("{si sO}", "v", 1, "services", services);
	if (r || !doc)
		return FAULT(-ENOMEM);
	r = json_canonical(&text, doc);
	r = r ?: open_lib(&dir, paths);
	return FAULT(r ?: fs_replace(dir, file_name, text.data, text.len, 0644));
}

const struct lock_entry *
lock_find(const struct lock *l, const char *service)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->entries[i].service, service))
			return &l->entries[i];
	return NULL;
}

int
lock_put(struct lock *l, const struct lock_entry *e)
{
	size_t i;

	for (i = 0; i < l->n && strcmp(l->entries[i].service, e->service) < 0; i++)
		;
	if (i == l->n || strcmp(l->entries[i].service, e->service)) {
		if (l->n == LOCK_SERVICES_MAX)
			return REFUSE(REASON_TOO_LARGE, e->service, "more than %d services",
				LOCK_SERVICES_MAX);
		memmove(&l->entries[i + 1], &l->entries[i], (l->n - i) * sizeof(l->entries[0]));
		l->n++;
	}
	l->entries[i] = *e;
	return 0;
}

int
lock_remove(struct lock *l, const char *service)
{
	const struct lock_entry *e = lock_find(l, service);
	size_t i;

	if (!e)
		return REFUSE(REASON_NOT_FOUND, service, "no release of it is active");
	i = (size_t)(e - l->entries);
	memmove(&l->entries[i], &l->entries[i + 1], (l->n - i - 1) * sizeof(l->entries[0]));
	l->n--;
	return 0;
}
