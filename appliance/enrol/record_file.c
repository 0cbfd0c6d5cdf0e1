#include "appliance/enrol/record_file.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

#define OPERAND "--record"

struct fields {
	uint64_t v;
	json_t *record, *metadata;
};

static const struct json_field table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct fields, v), 1 },
	{ "record", JSON_KIND_OBJECT, false, offsetof(struct fields, record), 0 },
	{ "metadata", JSON_KIND_OBJECT, false, offsetof(struct fields, metadata), RECORD_FILE_DOCUMENTS_MAX },
};

/* Not canonical: that form holds line ends raw, which no other reader of JSON takes. */
int
record_file_write(struct buf *out, const json_t *record, const json_t *metadata)
{
	SCOPED_JSON *doc = json_pack("{s:i, s:O, s:O}", "v", 1, "record", record, "metadata", metadata);
	SCOPED(scope_free) char *text = doc ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	if (!text)
		return FAULT(-ENOMEM);
	if (strlen(text) > RECORD_FILE_MAX)
		return REFUSE(REASON_TOO_LARGE, "--out", "of more than %d bytes", RECORD_FILE_MAX);
	buf_puts(out, text);
	return FAULT(buf_error(out));
}

int
record_file_read(json_t **ret_record, json_t **ret_metadata, const void *p, size_t len)
{
	SCOPED_JSON *doc = NULL;
	struct fields f = { 0 };
	const char *name;
	json_t *text;
	int r = json_read(&doc, p, len, RECORD_FILE_MAX, OPERAND);

	r = r ?: json_members(doc, table, ARRAY_LEN(table), &f, OPERAND);
	if (r)
		return FAULT(r);
	if (f.v != 1)
		return REFUSE(REASON_MALFORMED, OPERAND, "not of version 1");
	json_object_foreach(f.metadata, name, text)
		if (!json_is_string(text))
			return REFUSE(REASON_MALFORMED, OPERAND, "%s is no text", name);
	*ret_record = json_incref(f.record);
	*ret_metadata = json_incref(f.metadata);
	return 0;
}
