#include "appliance/monitor/floor.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

static const char file[] = "floor.json";

int
floor_load(uint64_t *ret_us, int dir_fd)
{
	static const struct json_field fields[] = { { "floor", JSON_KIND_TIME, .offset = 0 } };
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	SCOPED_JSON *doc = NULL;
	uint64_t us = 0;
	int r = fs_read(dir_fd, file, b.max, &b);

	if (r == REASON_NOT_FOUND) {
		*ret_us = 0;
		return 0;
	}
	if (r > 0)
		return REFUSE(r, file, "cannot be read");
	r = r ?: json_read(&doc, b.data, b.len, b.max, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &us, file);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret_us = us;
	return 0;
}

int
floor_save(uint64_t us, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_time(doc, "floor", us);
	r = r ?: json_canonical(&b, doc);
	return FAULT(r ?: fs_replace(dir_fd, file, b.data, b.len, 0600));
}
