/* A segment file of any bytes: the header and records are read, later ones are searched for. */
#include <stdint.h>
#include <stdlib.h>

#include "appliance/base/scope.h"
#include "appliance/record/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct segment_record rec;
	size_t at = SEGMENT_HEADER_BYTES, step = 0;
	uint64_t sequence = 1;
	uint32_t salt = 0;
	bool damage;

	if (!segment_header(data, size, 1, &salt) && size < SEGMENT_HEADER_BYTES)
		return 0;
	while (at < size && segment_record(&rec, salt, data + at, size - at)) {
		if (rec.bytes > size - at || rec.len > rec.bytes || rec.durable > rec.sequence)
			abort();
		at += rec.bytes;
		sequence = rec.sequence + 1;
	}
	if (at < size &&
		segment_search(data + at, size - at, salt, sequence, &step, &rec, &damage) &&
		(step + rec.bytes > size - at || rec.sequence < sequence))
		abort();
	return 0;
}
