/* Bodies in gzip and zstd; the first byte says which.  A small maximum, so that bombs are met often. */
#include "telemetry/otlp/unpack.h"

#include <stdint.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const char *const codings[] = { "zstd", "gzip", NULL, "br" };
	SCOPED(buf_done) struct buf out = BUF_MAX(100000);

	log_quiet_refusals(true);
	if (len < 1)
		return 0;
	(void)unpack_body(&out, codings[p[0] % 4], p + 1, len - 1);
	if (out.len > out.max)
		abort();
	return 0;
}
