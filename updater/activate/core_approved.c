#include "updater/activate/core_approved.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum { FILE_BYTES_MAX = 16 * 1024 };

static const char file[] = "core.json";

/* *ret: the list, in a document of its own; empty where there is none. */
static int
load(int monitor_fd, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	struct parts {
		uint64_t v;
		json_t *items;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v), .max = 1 },
		{ "items", JSON_KIND_ARRAY, .offset = offsetof(struct parts, items),
			.max = CORE_APPROVED_MAX },
	};
	SCOPED_JSON *doc = NULL;
	int r = fs_read(monitor_fd, file, FILE_BYTES_MAX, &b);

	if (r == 0)
		r = json_read_canonical(&doc, b.data, b.len, FILE_BYTES_MAX, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, file);
	if (r < 0)
		return FAULT(r);
	*ret = r == 0 ? json_incref(in.items) : json_array();
	return 0;
}

static bool
has(const json_t *items, const uint8_t digest[32], size_t *ret_at)
{
	char text[SHA256_TEXT_MAX];

	(void)sha256_text(text, digest);
	for (size_t i = 0; i < json_array_size(items); i++) {
		const char *s = json_string_value(json_array_get(items, i));

		if (!s || strcmp(s, text) != 0)
			continue;
		*ret_at = i;
		return true;
	}
	return false;
}

int
core_approved_add(int monitor_fd, const uint8_t digest[32])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *items = NULL, *doc = NULL;
	char text[SHA256_TEXT_MAX];
	size_t at;
	int r = load(monitor_fd, &items);

	if (r)
		return r;
	if (has(items, digest, &at) || json_array_size(items) == CORE_APPROVED_MAX)
		(void)json_array_remove(items, has(items, digest, &at) ? at : 0);
	if (json_array_append_new(items, json_string(sha256_text(text, digest))) < 0)
		return FAULT(-ENOMEM);
	doc = json_pack("{s:i, s:O}", "v", 1, "items", items);
	r = json_canonical(&b, doc);
	return FAULT(r ?: fs_replace(monitor_fd, file, b.data, b.len, 0600));
}

bool
core_approved_has(int monitor_fd, const uint8_t digest[32])
{
	SCOPED_JSON *items = NULL;
	size_t at;

	return load(monitor_fd, &items) == 0 && has(items, digest, &at);
}
