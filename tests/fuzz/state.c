/* run/shim/NAME.json, written by a process of the service's user: what decodes is encoded and decoded again as
 * the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/service/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf first = BUF_MAX(65536), second = BUF_MAX(65536);
	struct state s, again;
	char name[128], service[64];

	log_quiet_refusals(true);
	if (size < sizeof(name)) {
		memcpy(name, data, size);
		name[size] = '\0';
		(void)state_service_of(service, sizeof(service), name);
	}
	if (state_decode(&s, data, size) != 0)
		return 0;
	if (!state_name(s.is) || !state_health_name(s.health))
		abort();
	if (state_encode(&first, &s) != 0 || state_decode(&again, first.data, first.len) != 0 ||
		state_encode(&second, &again) != 0)
		abort();
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	return 0;
}
