/* What the hub reads back from its own files, and conditions on labels: the first byte says which.  A block that is read can be
 * written, and is read again the same. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "telemetry/store/block.h"
#include "telemetry/store/build.h"
#include "telemetry/store/matcher.h"
#include "telemetry/store/point_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
block(const uint8_t *p, size_t len)
{
	struct block_point in[BLOCK_POINTS], out[BLOCK_POINTS];
	SCOPED(buf_done) struct buf b = BUF_MAX(BLOCK_BYTES_MAX + 8);
	size_t n, again;

	if (block_decode(in, &n, p, len) != 0)
		return;
	block_encode(&b, in, n);
	if (buf_error(&b) || block_decode(out, &again, b.data, b.len) != 0 || again != n)
		abort();
	for (size_t i = 0; i < n; i++)
		if (in[i].time_ms != out[i].time_ms || (isnan(in[i].value) ? !isnan(out[i].value) : in[i].value != out[i].value))
			abort();
}

static int
count(const struct point_batch_item *item, void *arg)
{
	size_t *n = arg;

	(void)item;
	return ++*n > 1000000;
}

static void
match(const uint8_t *p, size_t len)
{
	SCOPED_JSON *attributes = json_pack("{s:s, s:i}", "verb", "GET", "code", 404);
	struct matcher_list list;
	char text[600];

	if (len >= sizeof(text))
		return;
	memcpy(text, p, len);
	text[len] = '\0';
	if (matcher_parse(&list, text) == 0)
		(void)matcher_holds(&list, "requests", "nginx", attributes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct build_rolled rolled[BLOCK_POINTS];
	size_t n = 0;

	log_quiet_refusals(true);
	if (len < 1)
		return 0;
	switch (p[0] % 4) {
	case 0:
		block(p + 1, len - 1);
		break;
	case 1:
		(void)point_batch_decode(p + 1, len - 1, count, &n);
		break;
	case 2:
		(void)build_unroll(rolled, &n, p + 1, len - 1);
		break;
	default:
		match(p + 1, len - 1);
	}
	return 0;
}
