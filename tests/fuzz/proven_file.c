/* lib/monitor/requests/refused, as a crash, a failing disk or a careless hand left it: read, or set aside and the worst taken
 * for true; either way whole when it is opened again.  Each input is a file as it is, and what a whole file says. */
#include "remote/request/proven_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "remote/request/refused.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_US = 1000, FILE_MAX = 65536 };

static const char name[] = "refused";

static int
requests_fd(void)
{
	static int fd = -1;

	if (fd < 0 && fs_open_dir(&fd, folder_fd(), "requests", 0700) != 0)
		abort();
	return fd;
}

/* What it says does not change by being read; what cannot be trusted says that it was forgotten. */
static void
opens_twice(bool is_damaged)
{
	static const uint8_t digest[SHA256_LEN] = { 1 };
	SCOPED(request_refused_closep) struct request_refused *s = NULL, *again = NULL;
	bool forgot = false, forgot_again = false;

	if (request_refused_open(&s, folder_fd(), NOW_US) != 0 ||
		request_refused_forgot(s, NOW_US - 1, NOW_US, &forgot) != 0)
		abort();
	if (is_damaged && !forgot)
		abort();
	if (request_refused_add(s, digest, NOW_US, 1, REQUEST_REFUSED_MAX) == 0 && !request_refused_has(s, digest))
		abort();
	if (request_refused_open(&again, folder_fd(), NOW_US) != 0 ||
		request_refused_forgot(again, NOW_US - 1, NOW_US, &forgot_again) != 0 || forgot != forgot_again)
		abort();
}

/* Does it say what it was written with? */
static void
reads_back(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_MAX + SHA256_LEN), back = BUF_MAX(FILE_MAX + SHA256_LEN);

	buf_put(&b, data, size);
	if (proven_file_write(requests_fd(), name, &b) != 0 || proven_file_read(&back, requests_fd(), name, 0, 1, FILE_MAX) != 0 ||
		back.len != size || (size > 0 && memcmp(back.data, data, size) != 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_MAX + SHA256_LEN);
	int r;

	if (size > FILE_MAX)
		return 0;
	log_quiet_refusals(true);
	if (fs_replace(requests_fd(), name, data, size, 0600) != 0)
		abort();
	r = proven_file_read(&b, requests_fd(), name, 0, 1, FILE_MAX);
	if (r < 0 || r == REASON_NOT_FOUND || b.len > FILE_MAX)
		abort();
	/* Set aside, it stays damaged until something took its place. */
	if (r > 0 && proven_file_read(&b, requests_fd(), name, 0, 1, FILE_MAX) != REASON_HASH_MISMATCH)
		abort();
	opens_twice(r > 0);
	reads_back(data, size);
	opens_twice(size > 0 && size < 8);
	return 0;
}
