#include "remote/mailbox/mailbox_item.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "remote/mailbox/mailbox_wire.h"

/* The word itself, from the table: what the hub wrote goes no further. */
static const char *
kind_of(const char *word)
{
	static const char *const kinds[MAILBOX_KIND_MAX] = MAILBOX_WIRE_KINDS;

	for (size_t i = 0; word && i < MAILBOX_KIND_MAX; i++)
		if (strcmp(word, kinds[i]) == 0)
			return kinds[i];
	return NULL;
}

int
mailbox_item_read(const json_t *item, uint64_t *ret_n, const char **ret_kind, struct buf *body)
{
	const json_t *n = json_object_get(item, "n");
	const json_t *envelope = json_object_get(item, "body");
	const char *kind = kind_of(json_string_value(json_object_get(item, "kind")));
	int r;

	if (!json_is_integer(n) || json_integer_value(n) < 1 || !kind || !json_is_object(envelope))
		return 0;
	r = json_canonical(body, envelope);
	if (r > 0 || r == -EMSGSIZE) /* it has no such form, or is over the cap */
		return 0;
	if (r < 0)
		return FAULT(r);
	*ret_n = (uint64_t)json_integer_value(n);
	*ret_kind = kind;
	return 0;
}
