/* lib/courier/acks.json, read by the owners of the streams from the courier's folder: what is taken survives every step, and
 * each step leaves a file that is read again and says the same. */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/egress/ack.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_same(const struct ack *a, const char *stream)
{
	SCOPED(ack_freep) struct ack *again = NULL;

	if (ack_open(&again, folder_fd()) != 0 || !json_equal(ack_streams(a), ack_streams(again)) ||
		!json_equal(ack_counts(a), ack_counts(again)) ||
		ack_reserved(a, stream) != ack_reserved(again, stream))
		abort();
}

/* The last place is one that is gone to, and never back from. */
static void
step(struct ack *a, const char *stream)
{
	struct ack_range ahead[ACK_AHEAD_MAX];
	size_t n = ack_ahead(a, stream, ahead);
	uint64_t at = ack_get(a, stream), far = n > 0 ? ahead[n - 1].upto : at;

	if (far > UINT64_C(1) << 40)
		return; /* more than a stream ever has */
	(void)ack_has(a, stream, far);
	(void)ack_passed(a, stream, at);
	if (ack_begin(a, stream, 3) != 0 || ack_count(a, stream, "400", 2, 1, 2) != 0 ||
		ack_ahead_begin(a, stream, far + 5) < 0 || ack_pass(a, stream, at + 1, at + 2) != 0)
		abort();
	n = ack_ahead(a, stream, ahead);
	if (n > 0 && ack_ahead_set(a, stream, ahead[n - 1].upto + 2) != 0)
		abort();
	if (ack_reserve(a, stream, at + 3) != 0 || ack_set_soon(a, stream, at + 1) != 0 || ack_flush(a) != 0)
		abort();
	check_same(a, stream);
	if (ack_set(a, stream, far + 4) != 0 || ack_get(a, stream) < far + 4 || !ack_has(a, stream, at + 1))
		abort();
	check_same(a, stream);
	ack_count_anew(a, stream);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(ack_freep) struct ack *a = NULL;
	const char *names[4];
	size_t n = 0;
	const char *name;
	json_t *v;

	log_quiet_refusals(true);
	if (fs_replace(folder_fd(), ACK_NAME, data, size, 0644) != 0 || ack_open(&a, folder_fd()) != 0)
		return 0;
	json_object_foreach (ack_streams(a), name, v)
		if (n < ARRAY_LEN(names))
			names[n++] = name;
	while (n-- > 0)
		step(a, names[n]);
	if (json_object_size(ack_streams(a)) < ACK_STREAMS_MAX)
		step(a, "other");
	return 0;
}
