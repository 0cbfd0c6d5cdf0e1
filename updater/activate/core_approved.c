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

/* What the file holds: references. */
struct lists {
	json_t *items, *back;
};

static void
lists_done(struct lists *l)
{
	json_decref(l->items);
	json_decref(l->back);
}

/* Empty lists where there is no file, or a damaged one. */
static int
load(int monitor_fd, struct lists *ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	struct parts {
		uint64_t v;
		json_t *items, *back;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v), .max = 1 },
		{ "items", JSON_KIND_ARRAY, .offset = offsetof(struct parts, items),
			.max = CORE_APPROVED_MAX },
		{ "back", JSON_KIND_ARRAY, true, offsetof(struct parts, back), CORE_APPROVED_MAX },
	};
	SCOPED_JSON *doc = NULL;
	int r = fs_read(monitor_fd, file, FILE_BYTES_MAX, &b);

	if (r == 0)
		r = json_read_canonical(&doc, b.data, b.len, FILE_BYTES_MAX, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, file);
	if (r < 0)
		return FAULT(r);
	ret->items = r == 0 ? json_incref(in.items) : json_array();
	ret->back = r == 0 && in.back ? json_incref(in.back) : json_array();
	return ret->items && ret->back ? 0 : FAULT(-ENOMEM);
}

static bool
has(const json_t *list, const char *text, size_t *ret_at)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!s || strcmp(s, text) != 0)
			continue;
		*ret_at = i;
		return true;
	}
	return false;
}

static int
save(int monitor_fd, const struct lists *l)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *doc = json_pack("{s:i, s:O, s:O}", "v", 1, "items", l->items, "back", l->back);
	int r = json_canonical(&b, doc);

	return FAULT(r ?: fs_replace(monitor_fd, file, b.data, b.len, 0600));
}

/* At the end of list, the oldest making room. */
static int
append(json_t *list, const char *text)
{
	size_t at;

	if (has(list, text, &at))
		(void)json_array_remove(list, at);
	else if (json_array_size(list) == CORE_APPROVED_MAX)
		(void)json_array_remove(list, 0);
	return json_array_append_new(list, json_string(text)) < 0 ? FAULT(-ENOMEM) : 0;
}

int
core_approved_add(int monitor_fd, const uint8_t digest[32])
{
	SCOPED(lists_done) struct lists l = { 0 };
	char text[SHA256_TEXT_MAX];
	size_t at;
	int r = load(monitor_fd, &l);

	r = r ?: append(l.items, sha256_text(text, digest));
	if (r == 0 && has(l.back, text, &at))
		(void)json_array_remove(l.back, at);
	return r ?: save(monitor_fd, &l);
}

int
core_approved_went_back(int monitor_fd, const uint8_t digest[32])
{
	SCOPED(lists_done) struct lists l = { 0 };
	char text[SHA256_TEXT_MAX];
	size_t at;
	int r = load(monitor_fd, &l);

	if (r == 0 && !has(l.items, sha256_text(text, digest), &at))
		return 0;
	r = r ?: append(l.back, text);
	return r ?: save(monitor_fd, &l);
}

/* Of the items, or of those that went back. */
static int
is_listed(int monitor_fd, const uint8_t digest[32], bool back)
{
	SCOPED(lists_done) struct lists l = { 0 };
	char text[SHA256_TEXT_MAX];
	size_t at;
	int r = load(monitor_fd, &l);

	return r < 0 ? FAULT(r) : r == 0 && has(back ? l.back : l.items, sha256_text(text, digest), &at);
}

int
core_approved_has(int monitor_fd, const uint8_t digest[32])
{
	return is_listed(monitor_fd, digest, false);
}

int
core_approved_is_back(int monitor_fd, const uint8_t digest[32])
{
	return is_listed(monitor_fd, digest, true);
}
