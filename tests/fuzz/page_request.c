/* What anybody who reaches the page of numbers may send.  The first byte says whether names of the host are held against. */
#include "telemetry/scrape/page_request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = size > 0 ? size - 1 : 0;
	SCOPED(scope_free) char *text = malloc(len + 1);
	struct page_request q;
	int status;

	if (size == 0 || len > PAGE_REQUEST_MAX || !text)
		return 0;
	memcpy(text, data + 1, len);
	status = page_request_read(&q, text, len, data[0] & 1);
	if (status != 0 && (status < 200 || status > 505))
		abort();
	if (status == 0 && (len == PAGE_REQUEST_MAX || memmem(data + 1, len, "\r\n\r\n", 4)))
		abort();
	return 0;
}
