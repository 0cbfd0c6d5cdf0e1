#include "remote/mailbox/mailbox_item.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"

bool
mailbox_item_read(const json_t *item, uint64_t *ret_n, struct buf *body)
{
	const json_t *n = json_object_get(item, "n");
	const json_t *envelope = json_object_get(item, "body");
	const char *kind = json_string_value(json_object_get(item, "kind"));

	if (!json_is_integer(n) || json_integer_value(n) < 1 || !kind ||
		strcmp(kind, "request") != 0 || !json_is_object(envelope) ||
		json_canonical(body, envelope) != 0)
		return false;
	*ret_n = (uint64_t)json_integer_value(n);
	return true;
}
