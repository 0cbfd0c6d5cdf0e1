/* A place to go on reading logs from, as a damaged disk or somebody's hand leaves it. */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "telemetry/logs/log_cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(log_cursor_done) struct log_cursor c = { 0 };
	SCOPED(buf_done) struct buf out = BUF_MAX(LOG_CURSOR_BYTES_MAX);

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	if (log_cursor_read(&c, data, size, "fuzz") != 0)
		return 0;
	log_cursor_put(&out, &c);
	if (out.len != size || memcmp(out.data, data, size) != 0)
		abort();
	return 0;
}
