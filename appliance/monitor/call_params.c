/* What a verb reads of its call. */
#include <string.h>

#include "appliance/base/number.h"
#include "appliance/monitor/calls_room.h"

bool
monitor_call_param(const struct monitor_call *call, size_t n, const char **ret_name,
	const char **ret_value)
{
	const struct frame_field *name = frame_find(&call->frame, CALL_TAG_NAME, n);
	const struct frame_field *value = frame_find(&call->frame, CALL_TAG_VALUE, n);

	if (call->params) {
		void *it = json_object_iter(call->params_ref);

		for (; it && n > 0; n--)
			it = json_object_iter_next(call->params_ref, it);
		if (!it)
			return false;
		*ret_name = json_object_iter_key(it);
		*ret_value = json_string_value(json_object_iter_value(it));
		return *ret_value != NULL;
	}
	if (!name || !value || memchr(name->data, '\0', name->len) ||
		memchr(value->data, '\0', value->len))
		return false;
	*ret_name = (const char *)name->data;
	*ret_value = (const char *)value->data;
	return true;
}

const char *
monitor_call_text(const struct monitor_call *call, const char *name)
{
	const char *at, *value;

	for (size_t i = 0; monitor_call_param(call, i, &at, &value); i++)
		if (strcmp(at, name) == 0)
			return value;
	return NULL;
}

int
monitor_call_need(const struct monitor_call *call, const char *name, const char **ret)
{
	*ret = monitor_call_text(call, name);
	return *ret ? 0 : REFUSE(REASON_USAGE, name, "is missing");
}

int
monitor_call_u64(const struct monitor_call *call, const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = monitor_call_text(call, name);

	if (text && number_u64(ret, text, max) != 0)
		return REFUSE(REASON_USAGE, name, "\"%s\" is not a number from 0 to %llu", text,
			(unsigned long long)max);
	return 0;
}

const void *
monitor_call_body(const struct monitor_call *call, size_t *ret_len)
{
	const uint8_t *p;

	*ret_len = 0;
	if (call->body.len > 0) {
		*ret_len = call->body.len;
		return call->body.data;
	}
	p = frame_bytes(&call->frame, CALL_TAG_BODY, ret_len);
	return p ? (const void *)p : "";
}

enum call_role
monitor_call_role(const struct monitor_call *call)
{
	return call->role;
}

const char *
monitor_call_actor(const struct monitor_call *call)
{
	return call->peer ? call->peer->actor : "monitor";
}
