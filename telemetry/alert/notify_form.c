#include "telemetry/alert/notify_form.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum { LABEL_MAX = 128, LINE = 1024, MAIL_LINE = 57 /* bytes that make 76 characters of base64 */ };

static int
put_json(struct buf *out, json_t *take_doc)
{
	SCOPED_JSON *doc = take_doc;
	SCOPED(scope_free) char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	if (!text)
		return FAULT(-ENOMEM);
	buf_puts(out, text);
	return FAULT(buf_error(out));
}

/* --- Alertmanager ------------------------------------------------------------------------------------------- */
/* A label that Prometheus knows: [a-zA-Z_][a-zA-Z0-9_]*, not empty (an empty one is none). */
static int
put_label(json_t *labels, const char *name, const char *value)
{
	char legal[LABEL_MAX];
	size_t len = 0;

	if (value[0] == '\0')
		return 0;
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		legal[len++] = '_';
	for (; *name && len + 1 < sizeof(legal); name++)
		legal[len++] = isalnum((unsigned char)*name) ? *name : '_';
	legal[len] = '\0';
	return json_put_text(labels, legal, value);
}

/* Those of its group first: what the hub itself says of it stands over them. */
static json_t *
make_labels(const struct notify_form *f, const json_t *item)
{
	static const char *const own[][2] = { { "alertname", "name" }, { "site", "site" }, { "service", "service" },
		{ "severity", "severity" } };
	const json_t *group = json_object_get(item, "labels");
	json_t *labels = json_object(), *value;
	bool held = json_object_get(item, "held") != NULL;
	const char *name;
	int r = labels ? 0 : -ENOMEM;

	json_object_foreach((json_t *)group, name, value)
		r = r ? r : put_label(labels, name, json_string_value(value) ? json_string_value(value) : "");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(own); i++)
		r = put_label(labels, own[i][0], json_text(item, own[i][1]));
	r = r ? r : put_label(labels, "customer", f->customer);
	r = r ? r : put_label(labels, "hub", f->hub);
	if (held) {
		r = r ? r : put_label(labels, "alertname", "AlertsHeldBack");
		r = r ? r : put_label(labels, "severity", "warning");
	}
	if (r == 0)
		return labels;
	json_decref(labels);
	return NULL;
}

static json_t *
make_annotations(const json_t *item)
{
	static const char *const names[] = { "text", "value", "id", "acknowledged_by" };
	json_t *o = json_object();
	char held[128];
	int r = o ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++)
		if (json_text(item, names[i])[0])
			r = json_put_text(o, names[i], json_text(item, names[i]));
	if (json_object_get(item, "held")) {
		(void)snprintf(held, sizeof(held), "%lld more changes of alerts within a minute are not told one by one",
			(long long)json_integer_value(json_object_get(item, "held")));
		r = r ? r : json_put_text(o, "text", held);
	}
	if (r == 0)
		return o;
	json_decref(o);
	return NULL;
}

static bool
is_over(const json_t *item)
{
	const char *state = json_text(item, "state");

	return strcmp(state, "resolved") == 0 || strcmp(state, "muted") == 0;
}

/* endsAt never lies before startsAt, which may come from a clock that is ahead. */
static json_t *
make_alert(const struct notify_form *f, const json_t *item)
{
	json_t *o = json_pack("{s:o, s:o}", "labels", make_labels(f, item), "annotations", make_annotations(item));
	uint64_t since_us, end_us = f->now_us + NOTIFY_FORM_ACTIVE_S * CLOCK_US_PER_S;
	const char *since = json_text(item, json_object_get(item, "held") ? "time" : "since");
	int r = o ? 0 : -ENOMEM;

	if (clock_parse(&since_us, since) != 0 || since_us > f->now_us)
		since_us = f->now_us;
	if (is_over(item))
		end_us = f->now_us;
	r = r ? r : json_put_time(o, "startsAt", since_us);
	r = r ? r : json_put_time(o, "endsAt", end_us);
	if (r == 0)
		return o;
	json_decref(o);
	return NULL;
}

/* Of several changes of one alert the last is what it is told. */
static bool
is_last(const json_t *items, size_t at)
{
	const char *id = json_text(json_array_get(items, at), "id");

	for (size_t i = at + 1; id[0] && i < json_array_size(items); i++)
		if (strcmp(json_text(json_array_get(items, i), "id"), id) == 0)
			return false;
	return true;
}

static int
write_alertmanager(const struct notify_form *f, struct buf *out)
{
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(f->items); i++)
		if (is_last(f->items, i) && json_array_append_new(list, make_alert(f, json_array_get(f->items, i))) < 0) {
			json_decref(list);
			return FAULT(-ENOMEM);
		}
	return put_json(out, list);
}

/* --- webhook -------------------------------------------------------------------------------------------------- */
static int
write_webhook(const struct notify_form *f, struct buf *out)
{
	char when[CLOCK_TEXT_MAX];

	return put_json(out, json_pack("{s:i, s:s, s:s, s:s, s:O}", "v", 1, "hub", f->hub, "customer", f->customer, "time",
				     clock_format(when, f->now_us), "notices", f->items));
}

/* --- mail ------------------------------------------------------------------------------------------------------ */
/* An encoded word has 75 characters at most, and holds whole characters: a word each 42 bytes, at their borders. */
static void
put_subject(struct buf *out, const char *text)
{
	size_t left = strlen(text);

	buf_puts(out, "Subject:");
	while (left > 0) {
		size_t n = left < 42 ? left : 42;

		while (n > 1 && n < left && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
		buf_puts(out, " =?UTF-8?B?");
		hex_base64(out, text, n);
		buf_puts(out, left > n ? "?=\r\n" : "?=");
		text += n;
		left -= n;
	}
	buf_puts(out, "\r\n");
}

/* "Sun, 22 Nov 2026 08:00:00 +0000" */
static void
put_date(struct buf *out, uint64_t us)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t s = (time_t)(us / CLOCK_US_PER_S);
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
		tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* One alert in two lines: what it says, and where to look. */
static void
write_lines(struct buf *text, const json_t *item)
{
	const json_t *group = json_object_get(item, "labels");
	SCOPED(scope_free) char *labels = json_object_size(group) > 0 ? json_dumps(group, JSON_COMPACT) : NULL;
	const char *id = json_text(item, "id");
	char line[LINE], shown[LINE];

	if (json_object_get(item, "held"))
		(void)snprintf(line, sizeof(line), "%s: %lld more changes within a minute, not told one by one", json_text(item, "site"),
			(long long)json_integer_value(json_object_get(item, "held")));
	else
		(void)snprintf(line, sizeof(line), "%s  %s  %s/%s  %s%s  since %s  %s", json_text(item, "state"),
			json_text(item, "severity"), json_text(item, "site"), json_text(item, "service"), json_text(item, "name"),
			labels ? labels : "", json_text(item, "since"), json_text(item, "text"));
	buf_printf(text, "%s\r\n", log_escape(shown, sizeof(shown), line));
	if (id[0])
		buf_printf(text, "    mainstay-desk alerts show %s\r\n", log_escape(shown, sizeof(shown), id));
}

static void
make_subject(const struct notify_form *f, char out[256])
{
	const json_t *one = json_array_get(f->items, 0);
	char text[240];

	if (json_array_size(f->items) == 1 && !json_object_get(one, "held"))
		(void)snprintf(text, sizeof(text), "[%s] %s/%s: %s", json_text(one, "state"), json_text(one, "site"),
			json_text(one, "service"), json_text(one, "name"));
	else
		(void)snprintf(text, sizeof(text), "%zu changes of alerts of %s", json_array_size(f->items), f->customer);
	log_escape(out, 256, text);
}

/* The same notices make the same id, so that a mail that comes twice is seen to. */
static void
put_message_id(struct buf *out, const struct notify_form *f)
{
	const json_t *first = json_array_get(f->items, 0), *last = json_array_get(f->items, json_array_size(f->items) - 1);
	const char *at = strchr(f->target->from, '@');

	buf_printf(out, "Message-ID: <%jd.%s.%lld-%lld%s>\r\n", (intmax_t)f->target->id, f->customer,
		(long long)json_integer_value(json_object_get(first, "notice")),
		(long long)json_integer_value(json_object_get(last, "notice")), at ? at : "@mainstay");
}

static int
write_mail(const struct notify_form *f, struct buf *out)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(NOTIFY_FORM_BODY_MAX / 2);
	char subject[256];

	make_subject(f, subject);
	buf_printf(out, "From: <%s>\r\nTo: ", f->target->from);
	for (const char *p = f->target->to; *p;) {
		int len = (int)strcspn(p, ",");

		buf_printf(out, "<%.*s>%s", len, p, p[len] ? ",\r\n " : "\r\n");
		p += len + (p[len] == ',');
	}
	put_subject(out, subject);
	put_date(out, f->now_us);
	put_message_id(out, f);
	buf_puts(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		      "Content-Transfer-Encoding: base64\r\n\r\n");
	for (size_t i = 0; i < json_array_size(f->items); i++)
		write_lines(&text, json_array_get(f->items, i));
	buf_printf(&text, "\r\nCustomer %s, hub %s.  mainstay-desk alerts shows them all.\r\n", f->customer, f->hub);
	if (buf_error(&text))
		return FAULT(buf_error(&text));
	for (size_t at = 0; at < text.len; at += MAIL_LINE) {
		hex_base64(out, text.data + at, text.len - at < MAIL_LINE ? text.len - at : MAIL_LINE);
		buf_puts(out, "\r\n");
	}
	return FAULT(buf_error(out));
}

/* --- all three -------------------------------------------------------------------------------------------------- */
int
notify_form_body(const struct notify_form *f, struct buf *out)
{
	switch (f->target->kind) {
	case NOTIFY_ALERTMANAGER:
		return write_alertmanager(f, out);
	case NOTIFY_WEBHOOK:
		return write_webhook(f, out);
	default:
		return write_mail(f, out);
	}
}

void
notify_form_url(const struct notify_target *t, char out[NOTIFY_TARGET_URL_MAX + 16])
{
	size_t len = strlen(t->url);

	if (t->kind == NOTIFY_ALERTMANAGER)
		(void)snprintf(out, NOTIFY_TARGET_URL_MAX + 16, "%.*s/api/v2/alerts", (int)(len - (t->url[len - 1] == '/')), t->url);
	else
		(void)snprintf(out, NOTIFY_TARGET_URL_MAX + 16, "%s", t->url);
}

int
notify_form_header(const struct notify_form *f, const struct buf *secret, const struct buf *body,
	char out[NOTIFY_FORM_HEADER_MAX])
{
	SCOPED(buf_done) struct buf signed_ = BUF_MAX(NOTIFY_FORM_BODY_MAX + 32);
	unsigned long long s = (unsigned long long)(f->now_us / CLOCK_US_PER_S);
	char hex[2 * SHA256_LEN + 1];
	uint8_t mac[SHA256_LEN];

	if (f->target->kind == NOTIFY_ALERTMANAGER) {
		for (size_t i = 0; i < secret->len; i++)
			if (secret->data[i] < ' ' || secret->data[i] >= 127)
				return REFUSE(REASON_MALFORMED, f->target->secret_file, "is not one line for the header Authorization");
		(void)snprintf(out, NOTIFY_FORM_HEADER_MAX, "Authorization: %s", buf_text(secret));
		return 0;
	}
	buf_printf(&signed_, "%llu.", s);
	buf_put(&signed_, body->data, body->len);
	if (buf_error(&signed_))
		return FAULT(buf_error(&signed_));
	sha256_hmac(mac, secret->data, secret->len, signed_.data, signed_.len);
	hex_encode(hex, mac, sizeof(mac));
	(void)snprintf(out, NOTIFY_FORM_HEADER_MAX, "Mainstay-Signature: t=%llu,v1=%s", s, hex);
	return 0;
}
