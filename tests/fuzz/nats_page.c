/* What a nats-server that was broken into answers when it is asked for its numbers. */
#include "appliance/base/log.h"
#include "telemetry/collect/nats_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_number(const struct nats_field *field, const struct nats_number *n, void *arg)
{
	double *sum = arg;

	*sum += n->real + (double)(nats_page_field(field->page, field->field) == field);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t start_us;
	double sum = 0;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	(void)nats_page_read(NATS_PAGE_VARZ, data, size, &start_us, on_number, &sum);
	(void)nats_page_read(NATS_PAGE_JSZ, data, size, &start_us, on_number, &sum);
	return 0;
}
