/* The query of a request target, as the hub reads it from anybody. */
#include "appliance/serve/query.h"

#include <string.h>

#include "appliance/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const char *const known[] = { "after", "wait", NULL };
	struct query q = { 0 };
	uint64_t n;
	char text[512];

	log_quiet_refusals(true);
	if (len >= sizeof(text))
		return 0;
	memcpy(text, p, len);
	text[len] = '\0';
	if (query_parse(&q, text) == 0) {
		(void)query_only(&q, known);
		(void)query_u64(&q, "after", 0, UINT64_MAX, &n);
	}
	return 0;
}
