/* What an exporter that was broken into answers.  The first byte says in pieces of how many bytes. */
#include "telemetry/scrape/scrape_reply.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/log.h"
#include "appliance/base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static int
take(const struct otlp_sample *s, bool timed, void *arg)
{
	(void)s;
	(void)timed;
	(void)arg;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	SCOPED(scrape_reply_freep) struct scrape_reply *s = NULL;
	SCOPED(scope_free) char *copy = malloc(len + 1);
	size_t piece = len > 0 ? p[0] + 1U : 1;
	int r;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	if (len < 1 || !copy)
		return 0;
	memcpy(copy, p, len);
	r = scrape_reply_new(&s, "fuzz", EXPOSITION_MAX, take, NULL);
	for (size_t at = 1; at < len && r == 0; at += piece)
		r = scrape_reply_feed(s, copy + at, len - at < piece ? len - at : piece);
	if (r == 0)
		r = scrape_reply_close(s);
	if (r == 0 || (r == SCRAPE_REPLY_WHOLE && scrape_reply_samples(s) > EXPOSITION_SAMPLES_MAX))
		abort(); /* neither whole nor refused */
	return 0;
}
