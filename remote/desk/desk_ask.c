#include "remote/desk/desk_ask.h"

#include "appliance/base/fault.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_session.h"

enum { ANSWER_S = 30 };

int
desk_ask_get(struct command_call *call, const char *path, json_t **ret)
{
	SCOPED(desk_session_done) struct desk d;
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	r = r ?: desk_client_get(&d, path, ANSWER_S, ret);
	return FAULT(r);
}

int
desk_ask_post(struct command_call *call, const char *path, const json_t *body, json_t **ret)
{
	SCOPED(desk_session_done) struct desk d;
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	r = r ?: desk_client_post(&d, path, body, ret);
	return FAULT(r);
}
