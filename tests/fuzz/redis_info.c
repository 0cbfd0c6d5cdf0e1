/* What a service that was broken into answers to INFO. */
#include "appliance/base/log.h"
#include "telemetry/collect/redis_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_field(const char *field, const struct redis_info_number *n, void *arg)
{
	double *sum = arg;

	*sum += n->real + (double)redis_info_is_counter(field);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *text;
	size_t len, used;
	double sum = 0;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	if (redis_info_frame(data, size, &text, &len, &used) == 0)
		redis_info_each(text, len, on_field, &sum);
	redis_info_each(data, size, on_field, &sum);
	return 0;
}
