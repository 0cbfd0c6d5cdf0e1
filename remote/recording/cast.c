#include "remote/recording/cast.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "remote/recording/recording_text.h"

/* --- writing ---------------------------------------------------------------------------------- */
void
cast_put_header(struct buf *out, const struct cast_header *h)
{
	struct recording_text text = { .n = 0 };
	char digest[SHA256_TEXT_MAX];

	buf_printf(out, "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":%" PRIu64 ",\"title\":\"", h->timestamp);
	(void)recording_text_put(&text, h->title, strlen(h->title), true, out); /* its fault sticks in out */
	buf_printf(out, "\",\"env\":{},\"mainstay\":{\"id\":\"%s\",\"n\":%" PRIu64 ",\"request\":\"%s\"}}\n", h->id, h->n,
		sha256_text(digest, h->request));
}

void
cast_put_event(struct buf *out, uint64_t at_us, char code, const char *text, size_t len)
{
	buf_printf(out, "[%" PRIu64 ".%06" PRIu64 ", \"%c\", \"", at_us / CLOCK_US_PER_S, at_us % CLOCK_US_PER_S, code);
	buf_put(out, text, len);
	buf_puts(out, "\"]\n");
}

/* --- reading ---------------------------------------------------------------------------------- */
static uint64_t
whole_number(const json_t *v)
{
	json_int_t n = json_is_integer(v) ? json_integer_value(v) : 0;

	return n > 0 ? (uint64_t)n : 0;
}

int
cast_header_read(struct cast_header *ret, const void *p, size_t len, const char *operand)
{
	SCOPED_JSON *doc = NULL;
	const json_t *ours;
	int r = json_read(&doc, p, len, CAST_LINE_MAX, operand);

	if (r)
		return r;
	if (!json_is_object(doc) || whole_number(json_object_get(doc, "version")) != 2)
		return REFUSE(REASON_MALFORMED, operand, "is no recording: its first line is no header of asciicast v2");
	*ret = (struct cast_header){ .timestamp = whole_number(json_object_get(doc, "timestamp")) };
	(void)snprintf(ret->title, sizeof(ret->title), "%s", json_text(doc, "title"));
	ours = json_object_get(doc, "mainstay");
	if (sha256_parse(ret->request, json_text(ours, "request")) && strlen(json_text(ours, "id")) <= CAST_ID_MAX) {
		(void)snprintf(ret->id, sizeof(ret->id), "%s", json_text(ours, "id"));
		ret->n = whole_number(json_object_get(ours, "n"));
	}
	return 0;
}

void
cast_event_done(struct cast_event *e)
{
	json_decref(e->doc);
	*e = (struct cast_event){ 0 };
}

int
cast_event_read(struct cast_event *ret, const void *p, size_t len, const char *operand, unsigned line)
{
	SCOPED_JSON *doc = NULL;
	const char *code;
	char place[REFUSE_PLACE_MAX];
	double at;
	int r = json_read(&doc, p, len, CAST_LINE_MAX, operand);

	if (r)
		return r;
	(void)snprintf(place, sizeof(place), "%s:%u", operand, line);
	code = json_string_value(json_array_get(doc, 1));
	if (json_array_size(doc) != 3 || !json_is_number(json_array_get(doc, 0)) || !code || strlen(code) != 1 ||
		!json_is_string(json_array_get(doc, 2)))
		return REFUSE_AT(REASON_MALFORMED, operand, place, "is no event: [SECONDS, \"o\", TEXT]");
	at = json_number_value(json_array_get(doc, 0));
	if (!(at >= 0 && at <= CAST_SECONDS_MAX))
		return REFUSE_AT(REASON_MALFORMED, operand, place, "lies at no time that a recording has");
	*ret = (struct cast_event){ .at_us = (uint64_t)(at * CLOCK_US_PER_S + 0.5),
		.code = *code,
		.text = json_string_value(json_array_get(doc, 2)) };
	ret->doc = STEAL(doc);
	return 0;
}
