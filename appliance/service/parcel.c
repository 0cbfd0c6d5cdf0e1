#include "appliance/service/parcel.h"

#include <stdint.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static const char magic[] = "mainstay-shim-1\n";

enum { PARCEL_BYTES_MAX = PARCEL_FILES_MAX * (PARCEL_FILE_MAX + 4) + 32 };

int
parcel_make(int *ret_fd, const int *files, size_t n)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(PARCEL_BYTES_MAX);
	int r = 0;

	if (n > PARCEL_FILES_MAX)
		return REFUSE(REASON_TOO_LARGE, "a shim", "gets %d files at most", PARCEL_FILES_MAX);
	buf_put(&b, magic, sizeof(magic) - 1);
	buf_u32(&b, (uint32_t)n);
	for (size_t i = 0; i < n && !r; i++) {
		SCOPED(buf_wipe) struct buf one = BUF_MAX(PARCEL_FILE_MAX);

		r = fs_read_fd(files[i], PARCEL_FILE_MAX, &one);
		buf_u32(&b, (uint32_t)one.len);
		buf_put(&b, one.data, one.len);
	}
	if (r > 0)
		return REFUSE(r, "a shim", "gets files of at most %d bytes", PARCEL_FILE_MAX);
	r = r ?: buf_error(&b);
	return FAULT(r ?: fs_memfd(ret_fd, "shim", b.data, b.len));
}

static int
take_files(const struct buf *b, int ret_files[PARCEL_FILES_MAX], size_t *n)
{
	struct cursor c = CURSOR(b->data, b->len);
	const uint8_t *head = cursor_bytes(&c, sizeof(magic) - 1);
	size_t count = cursor_u32(&c);

	if (!head || memcmp(head, magic, sizeof(magic) - 1) != 0 || count == 0 || count > PARCEL_FILES_MAX)
		return REASON_MALFORMED;
	while (*n < count) {
		struct cursor file = cursor_string(&c);
		int r;

		if (c.failed)
			return REASON_MALFORMED;
		r = fs_memfd(&ret_files[*n], "shim-file", file.p, cursor_left(&file));
		if (r)
			return FAULT(r);
		++*n;
	}
	return cursor_done(&c) ? 0 : REASON_MALFORMED;
}

int
parcel_take(int fd, int ret_files[PARCEL_FILES_MAX], size_t *ret_n)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(PARCEL_BYTES_MAX);
	size_t n = 0;
	int r;

	r = fs_read_fd(fd, PARCEL_BYTES_MAX, &b);
	if (r == 0)
		r = take_files(&b, ret_files, &n);
	if (r == 0) {
		*ret_n = n;
		return 0;
	}
	while (n > 0)
		scope_close(&ret_files[--n]);
	return r < 0 ? FAULT(r) : REFUSE(REASON_MALFORMED, "stdin", "is no file to start a service from");
}
