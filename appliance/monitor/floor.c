#include "appliance/monitor/floor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

static const char file[] = "floor.json";

int
floor_load(struct floor *ret, int dir_fd)
{
	struct parts {
		uint64_t us;
		const char *whose;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "floor", JSON_KIND_TIME, .offset = offsetof(struct parts, us) },
		{ "whose", JSON_KIND_TEXT, .optional = true, .offset = offsetof(struct parts, whose),
			.max = FLOOR_WHOSE_MAX - 1 },
	};
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	SCOPED_JSON *doc = NULL;
	int r = fs_read(dir_fd, file, b.max, &b);

	*ret = (struct floor){ 0 };
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r > 0)
		return REFUSE(r, file, "cannot be read");
	r = r ?: json_read(&doc, b.data, b.len, b.max, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, file);
	if (r)
		return r < 0 ? FAULT(r) : r;
	ret->us = in.us;
	(void)snprintf(ret->whose, sizeof(ret->whose), "%s", in.whose ? in.whose : "");
	return 0;
}

int
floor_raise(struct floor *f, uint64_t us, const char *whose, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	SCOPED_JSON *doc = NULL;
	struct floor next = { .us = us };
	int r;

	if (us <= f->us)
		return 0;
	(void)snprintf(next.whose, sizeof(next.whose), "%s", whose);
	doc = json_object();
	r = doc ? 0 : -ENOMEM;
	r = r ?: json_put_time(doc, "floor", us);
	r = r ?: json_put_text(doc, "whose", next.whose);
	r = r ?: json_canonical(&b, doc);
	r = r ?: fs_replace(dir_fd, file, b.data, b.len, 0600);
	if (r)
		return FAULT(r);
	*f = next;
	return 0;
}
