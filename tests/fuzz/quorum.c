/* A witness policy, what is written back of it, and what it says of a note. */
#include "appliance/audit/quorum.h"

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Behind a line of "%": a note that the policy judges. */
static void
judge(const struct quorum *q, const uint8_t *p, size_t len)
{
	SCOPED(note_freep) struct note *note = NULL;
	SCOPED_JSON *json = NULL;
	struct quorum_verdict v;

	if (note_open(&note, p, len, "fuzz") || quorum_check(q, note, &v))
		return;
	json = quorum_json(q, &v);
	if (!json || (quorum_require(json, "fuzz") == 0) != v.met)
		__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(quorum_freep) struct quorum *q = NULL, *again = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(4 * QUORUM_BYTES_MAX), twice = text;
	const uint8_t *note = size ? memmem(data, size, "\n%\n", 3) : NULL;
	size_t len = note ? (size_t)(note - data) + 1 : size;

	log_quiet_refusals(true);
	if (quorum_parse(&q, data, len, "fuzz"))
		return 0;
	quorum_text(&text, q);
	if (quorum_parse(&again, text.data, text.len, "fuzz"))
		__builtin_trap();
	quorum_text(&twice, again);
	if (text.len != twice.len || memcmp(text.data, twice.data, text.len) != 0)
		__builtin_trap();
	if (note)
		judge(q, note + 3, size - len - 2);
	return 0;
}
