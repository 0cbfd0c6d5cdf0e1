/* Requests for another site key: taken apart, and their signatures looked at. */
#include "appliance/enrol/rotate.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_plain(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] < 0x20)
			return false;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = { 1 };
	SCOPED(buf_done) struct buf again = BUF_MAX(2 * ROTATE_BODY_MAX);
	SCOPED_JSON *rotation = NULL, *daemon = NULL, *one = NULL, *two = NULL;
	struct rotate r;

	log_quiet_refusals(true);
	(void)rotate_answer_check(data, size, "acme-1", key);
	if (rotate_request_read(&rotation, &daemon, data, size) != 0)
		return 0;
	/* What was read is what is written anew; numbers that have no canonical form are refused there, and a control
	 * character, which stands in it as it is, is refused here. */
	if (rotate_request(&again, rotation, daemon) == 0 && again.len <= ROTATE_BODY_MAX && is_plain(&again) &&
		(rotate_request_read(&one, &two, again.data, again.len) != 0 || !json_equal(one, rotation)))
		__builtin_trap();
	if (rotate_open(&r, rotation) == 0 && memcmp(r.old_key, r.new_key, sizeof(r.old_key)) == 0)
		__builtin_trap();
	return 0;
}
