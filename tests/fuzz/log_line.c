/* What any program, or whoever makes it write, writes into its log.  The first byte picks the format. */
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "telemetry/logs/log_format.h"
#include "telemetry/logs/log_text.h"
#include "telemetry/logs/log_time.h"
#include "telemetry/otlp/pbx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct log_now now = { .us = UINT64_C(1795334400000000), .zone_s = -3600 };
	SCOPED(buf_done) struct buf out = BUF_MAX(4 * size + 1);
	struct log_time_seen seen = { 0 };
	struct log_now keeps = now;
	struct log_stamp stamp, again;

	if (size == 0)
		return 0;
	stamp = log_format_read(data[0] % LOG_FORMAT_MAX, data + 1, size - 1, &now);
	if (stamp.severity > 24)
		abort();
	keeps.seen = &seen;
	for (unsigned i = 0; i < 2; i++) {
		again = log_format_read(data[0] % LOG_FORMAT_MAX, data + 1, size - 1, &keeps);
		if (again.time_us != stamp.time_us || again.severity != stamp.severity)
			abort();
	}
	(void)log_text_clean(&out, data, size);
	if (buf_error(&out) || !pbx_is_utf8(out.data, out.len) || !log_text_is_clean(out.data, out.len))
		abort();
	return 0;
}
