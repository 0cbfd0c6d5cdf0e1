/* The file that carries an engineer's word to a site without a network. */
#include "appliance/enrol/record_file.h"

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf again = BUF_MAX(RECORD_FILE_MAX);
	SCOPED_JSON *record = NULL, *metadata = NULL, *one = NULL, *two = NULL;

	log_quiet_refusals(true);
	if (record_file_read(&record, &metadata, data, size) != 0)
		return 0;
	/* What was read is what is written anew. */
	if (record_file_write(&again, record, metadata) != 0)
		return 0;
	if (record_file_read(&one, &two, again.data, again.len) != 0 || !json_equal(one, record) || !json_equal(two, metadata))
		__builtin_trap();
	return 0;
}
