/* Ledger records: what is taken is written again to the same bytes, and no member can end an HTTP header. */
#include "appliance/egress/ledger.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX), room = BUF_MAX(LEDGER_PLAIN_MAX);
	const uint8_t *plain;
	struct ledger_entry e;
	size_t len;

	log_quiet_refusals(true);
	if (ledger_decode(&e, data, size, "fuzz") != 0)
		return 0;
	check_text(e.class_name);
	check_text(e.path);
	check_text(e.content_type);
	if (e.body_len > 0 && (e.body < data || e.body + e.body_len + 2 + e.note_len != data + size))
		__builtin_trap();
	if (ledger_plain(&e, &room, &plain, &len, "fuzz") == 0 && len != e.plain_len)
		__builtin_trap();
	if (ledger_encode(&b, &e) != 0 || b.len != size || memcmp(b.data, data, size) != 0)
		__builtin_trap();
	return 0;
}
