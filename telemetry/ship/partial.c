#include "telemetry/ship/partial.h"

#include "telemetry/otlp/pbx.h"

enum { PARTIAL_SUCCESS = 1, REJECTED = 1 };

uint64_t
partial_rejected(const void *body, size_t len)
{
	struct pbx outer = PBX(body, len);
	struct pbx_field f;
	uint64_t rejected = 0;

	while (pbx_next(&outer, &f)) {
		struct pbx inner;

		if (f.number != PARTIAL_SUCCESS)
			continue;
		inner = pbx_message(&outer, &f);
		while (pbx_next(&inner, &f))
			if (f.number == REJECTED)
				rejected = pbx_varint(&inner, &f);
		if (inner.in.failed)
			return 0;
	}
	/* An int64: what is below zero, or more than any record holds, is no count. */
	return outer.in.failed || rejected > UINT32_MAX ? 0 : rejected;
}
