/* What an nginx that was broken into answers for its status page. */
#include "appliance/base/log.h"
#include "telemetry/collect/nginx_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t numbers[NGINX_STATUS_MAX];

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	(void)nginx_status_read(data, size, numbers);
	return 0;
}
