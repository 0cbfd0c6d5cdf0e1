/* A service's spec, on its way from the monitor to the shim: what decodes is encoded and decoded again as the
 * same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/service/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf first = BUF_MAX(2 * SPEC_BYTES_MAX), second = BUF_MAX(2 * SPEC_BYTES_MAX);
	SCOPED(spec_done) struct spec s, again;
	int r;

	log_quiet_refusals(true);
	spec_init(&again);
	r = spec_decode(&s, data, size);
	if (r != 0)
		return 0;
	if (spec_encode(&first, &s) != 0)
		abort();
	if (first.len > SPEC_BYTES_MAX)
		return 0; /* it was written shorter than we write it */
	if (spec_decode(&again, first.data, first.len) != 0 || spec_encode(&second, &again) != 0)
		abort();
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	return 0;
}
