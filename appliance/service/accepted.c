#include "appliance/service/accepted.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

#define FILE_NAME "accepted.json"

enum { BYTES_MAX = 1024 * 1024, SERVICES_MAX = 256, ITEMS_MAX = 1024 };

struct accepted {
	json_t *doc; /* checked; owned */
};

static int
check_operations(const json_t *operations, const char *service)
{
	uint8_t digest[32];
	const char *name;
	json_t *value, *obj;

	memcpy(&obj, &operations, sizeof(obj)); /* jansson's iterator takes no const object */
	json_object_foreach(obj, name, value) {
		const char *text = json_string_value(value);

		if (!text || strncmp(text, "sha256:", 7) != 0 || !hex_decode(digest, 32, text + 7))
			return REFUSE(REASON_MALFORMED, FILE_NAME, "%s: operation %s has no digest",
				service, name);
	}
	return 0;
}

static int
check_fields(const json_t *fields, const char *service)
{
	const char *name;
	json_t *value, *obj;

	memcpy(&obj, &fields, sizeof(obj)); /* as above */
	json_object_foreach(obj, name, value)
		if (!json_is_string(value) && !json_is_false(value))
			return REFUSE(REASON_MALFORMED, FILE_NAME, "%s: field %s has no shape", service, name);
	return 0;
}

static int
check_powers(const json_t *powers, const char *service)
{
	const json_t *one;
	size_t i;

	json_array_foreach(powers, i, one)
		if (!json_is_string(one))
			return REFUSE(REASON_MALFORMED, FILE_NAME, "%s: power %zu is no text", service, i);
	return 0;
}

static int
check_service(const json_t *service, const char *name)
{
	struct members {
		json_t *operations, *fields, *powers;
	} m = { 0 };
	static const struct json_field fields[] = {
		{ .name = "operations",
			.kind = JSON_KIND_OBJECT,
			.offset = offsetof(struct members, operations),
			.max = ITEMS_MAX },
		{ .name = "fields",
			.kind = JSON_KIND_OBJECT,
			.offset = offsetof(struct members, fields),
			.max = ITEMS_MAX },
		{ .name = "powers",
			.kind = JSON_KIND_ARRAY,
			.optional = true,
			.offset = offsetof(struct members, powers),
			.max = ITEMS_MAX },
	};
	int r = json_members(service, fields, ARRAY_LEN(fields), &m, FILE_NAME);

	return r ?: check_operations(m.operations, name) ?: check_fields(m.fields, name)
		 ?: check_powers(m.powers, name);
}

static int
check(const json_t *doc)
{
	struct members {
		uint64_t v;
		json_t *services;
	} m = { 0 };
	static const struct json_field fields[] = {
		{ .name = "v",
			.kind = JSON_KIND_U64,
			.offset = offsetof(struct members, v),
			.max = 1 },
		{ .name = "services",
			.kind = JSON_KIND_OBJECT,
			.offset = offsetof(struct members, services),
			.max = SERVICES_MAX },
	};
	const char *name;
	json_t *service;
	int r = json_members(doc, fields, ARRAY_LEN(fields), &m, FILE_NAME);

	if (r)
		return r;
	if (m.v != 1)
		return REFUSE(REASON_MALFORMED, FILE_NAME, "version is not 1");
	json_object_foreach(m.services, name, service) {
		r = check_service(service, name);
		if (r)
			return r;
	}
	return 0;
}

int
accepted_load(struct accepted **ret, int dir_fd)
{
	SCOPED(accepted_freep) struct accepted *a = calloc(1, sizeof(*a));
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	int r;

	if (!a)
		return FAULT(-ENOMEM);
	r = fs_read(dir_fd, FILE_NAME, BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND) {
		a->doc = json_pack("{s:i, s:{}}", "v", 1, "services");
		if (!a->doc)
			return FAULT(-ENOMEM);
		*ret = STEAL(a);
		return 0;
	}
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, FILE_NAME, "cannot be read");
	r = json_read(&a->doc, b.data, b.len, BYTES_MAX, FILE_NAME);
	r = r ?: check(a->doc);
	if (r)
		return r;
	*ret = STEAL(a);
	return 0;
}

struct accepted *
accepted_free(struct accepted *a)
{
	if (a) {
		json_decref(a->doc);
		free(a);
	}
	return NULL;
}

static json_t *
find(const struct accepted *a, const char *service, const char *what)
{
	return json_object_get(json_object_get(json_object_get(a->doc, "services"), service), what);
}

bool
accepted_operation(const struct accepted *a, const char *service, const char *operation,
	const uint8_t rights[32])
{
	const char *text =
		json_string_value(json_object_get(find(a, service, "operations"), operation));
	uint8_t digest[32];

	return text && hex_decode(digest, 32, text + 7) && memcmp(digest, rights, 32) == 0;
}

bool
accepted_field(const struct accepted *a, const char *service, const char *field)
{
	return json_is_string(json_object_get(find(a, service, "fields"), field));
}

const json_t *
accepted_powers(const struct accepted *a, const char *service)
{
	return find(a, service, "powers");
}

bool
accepted_knows(const struct accepted *a, const char *service)
{
	return json_object_get(json_object_get(a->doc, "services"), service) != NULL;
}

/* The service's object, made where it is not there; NULL: no memory. */
static json_t *
entry(struct accepted *a, const char *service)
{
	json_t *services = json_object_get(a->doc, "services");

	if (!json_object_get(services, service) &&
		json_object_set_new(services, service,
			json_pack("{s:{}, s:{}}", "operations", "fields")) < 0)
		return NULL;
	return json_object_get(services, service);
}

int
accepted_add_operation(struct accepted *a, const char *service, const char *operation,
	const uint8_t rights[32])
{
	json_t *e = entry(a, service);

	if (!e)
		return FAULT(-ENOMEM);
	return json_put_sha256(json_object_get(e, "operations"), operation, rights);
}

/* Where a person's own word is kept, about fields of the host and about every refusal. */
#define HOST "host"

int
accepted_add_field(struct accepted *a, const char *service, const char *field, const char *shape)
{
	json_t *e = entry(a, service), *host = find(a, HOST, "fields");

	if (!e || json_object_set_new(json_object_get(e, "fields"), field, json_string(shape)) < 0)
		return FAULT(-ENOMEM);
	if (json_is_false(json_object_get(host, field)))
		(void)json_object_del(host, field);
	return 0;
}

int
accepted_refuse_field(struct accepted *a, const char *field)
{
	json_t *e = entry(a, HOST);

	if (!e || json_object_set_new(json_object_get(e, "fields"), field, json_false()) < 0)
		return FAULT(-ENOMEM);
	return 0;
}

json_t *
accepted_fields(const struct accepted *a)
{
	SCOPED_JSON *all = json_object();
	const char *service, *field;
	json_t *of_service, *shape;

	json_object_foreach(json_object_get(a->doc, "services"), service, of_service)
		json_object_foreach(json_object_get(of_service, "fields"), field, shape) {
			const json_t *have = json_object_get(all, field);

			if (have && !json_is_false(shape) &&
				(json_is_false(have) || *json_string_value(have)))
				continue;
			if (json_object_set(all, field, shape) < 0)
				return NULL;
		}
	return STEAL(all);
}

int
accepted_add_power(struct accepted *a, const char *service, const char *power)
{
	json_t *e = entry(a, service), *powers, *one;
	size_t i;

	if (!e)
		return FAULT(-ENOMEM);
	powers = json_object_get(e, "powers");
	if (!powers && json_object_set_new(e, "powers", json_array()) < 0)
		return FAULT(-ENOMEM);
	powers = json_object_get(e, "powers");
	json_array_foreach(powers, i, one)
		if (strcmp(json_string_value(one), power) == 0)
			return 0;
	return json_array_append_new(powers, json_string(power)) < 0 ? FAULT(-ENOMEM) : 0;
}

int
accepted_forget(struct accepted *a, const char *service)
{
	(void)json_object_del(json_object_get(a->doc, "services"), service);
	return 0;
}

int
accepted_save(const struct accepted *a, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	int r = json_canonical(&b, a->doc);

	r = r ?: fs_replace(dir_fd, FILE_NAME, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}
