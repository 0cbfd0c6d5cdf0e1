/* frame_parse(): what it accepts, written again, is byte for byte the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct frame_rule rules[] = { { 1, 0, 1, 64 }, { 2, 0, 8, 1024 },
		{ 3, 1, 1, 8 } };
	SCOPED(frame_done) struct frame f = { 0 };
	SCOPED(frame_out_done) struct frame_out out;
	uint64_t v;
	size_t len;

	log_quiet_refusals(true);
	frame_begin(&out, 0, 0);
	if (frame_parse(&f, data, size) != 0)
		return 0;
	(void)frame_check(&f, rules, ARRAY_LEN(rules), false, 0);
	(void)frame_text(&f, 1, 64);
	(void)frame_u64(&f, 3, &v);
	(void)frame_bytes(&f, 2, &len);
	frame_out_done(&out);
	frame_begin(&out, f.type, f.id);
	for (size_t i = 0; i < f.n_fields; i++)
		frame_put_bytes(&out, f.fields[i].tag, f.fields[i].data, f.fields[i].len);
	if (out.buf.len != size || memcmp(out.buf.data, data, size) != 0)
		abort();
	return 0;
}
