#include "telemetry/store/store_question.h"

#include <string.h>
#include <time.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/store/hub_ask.h"
#include "telemetry/store/store_show.h"

/* "/v1/fleet/sites/SITE/WHAT" */
void
store_question_begin(struct buf *path, const char *site, const char *what)
{
	buf_puts(path, "/v1/fleet/sites/");
	store_show_escape(path, site);
	buf_puts(path, what);
}

void
store_question_add(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_puts(path, strchr(buf_text(path), '?') ? "&" : "?");
	buf_printf(path, "%s=", name);
	store_show_escape(path, value);
}

/* A time, or how long ago it was. */
int
store_question_time(struct buf *path, const struct command_call *call, const char *option, const char *name)
{
	const char *text = command_option(call, option);
	char out[CLOCK_TEXT_MAX];
	uint64_t us;

	if (!text)
		return 0;
	if (clock_parse(&us, text) != 0) {
		uint64_t now_us = clock_now_us();

		if (clock_parse_span(&us, text) != 0 || us > now_us)
			return REFUSE(REASON_USAGE, text, "is neither a time (2026-11-21T20:30:00Z) nor a span back from now (2h)");
		us = now_us - us;
	}
	store_question_add(path, name, clock_format(out, us));
	return 0;
}

int
store_question_ask(struct command_call *call, const struct buf *path, json_t **ret)
{
	int r = buf_error(path) ? FAULT(buf_error(path)) : hub_ask_get(call, buf_text(path), ret);

	if (r == 0 && !json_is_array(json_object_get(*ret, "items")))
		return REFUSE(REASON_MALFORMED, "hub", "its answer has no items");
	return FAULT(r);
}

void
store_question_pause(unsigned s)
{
	const struct timespec t = { .tv_sec = s };

	/* Cut short by a signal, it asks a little earlier. */
	(void)nanosleep(&t, NULL);
}
