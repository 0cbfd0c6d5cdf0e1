/* The vendor's engineers are told which standing permits there are: a message permits@, signed, whenever they become others.
 * Part of the module of site_room.h. */
#include "remote/request/site_say.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/policy/permit.h"
#include "appliance/policy/policy.h"
#include "appliance/trust/sha256.h"
#include "remote/request/permits.h"
#include "remote/request/standing.h"

enum {
	GAP_MS = 1500,	/* between two messages: uses come in numbers */
	RETRY_MS = 10 * 1000, /* where the outbox took none */
	FILE_BYTES_MAX = 1024,
	TEXT_MAX = PERMITS_LINE_MAX + 1,
};

static const char file[] = "permits.json";

/* --- what was said ---------------------------------------------------------------------------------- */
struct members {
	uint64_t v, counter;
	bool any;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct members, v), 1 },
	{ "counter", JSON_KIND_U64, false, offsetof(struct members, counter), 0 },
	{ "any", JSON_KIND_BOOL, false, offsetof(struct members, any), 0 },
};

int
request_site_told_open(struct request_site *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct members in = { 0 };
	int r = fs_read(monitor_dir(s->m), file, FILE_BYTES_MAX, &b);

	s->told.due = true;
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_read(&doc, b.data, b.len, FILE_BYTES_MAX, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, file);
	if (r < 0)
		return FAULT(r);
	/* Damaged: it counts on from the clock, which is beyond any count of changes. */
	if (r > 0)
		in = (struct members){ .counter = clock_now_us() / CLOCK_US_PER_S, .any = true };
	s->told.counter = in.counter;
	s->told.any = in.any;
	return 0;
}

static int
save(const struct request_site *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *doc = json_pack("{s:i, s:b}", "v", 1, "any", s->told.any);
	int r = doc ? json_put_u64(doc, "counter", s->told.counter) : -ENOMEM;

	r = r ?: json_canonical(&b, doc);
	return FAULT(r ?: fs_replace(monitor_dir(s->m), file, b.data, b.len, 0600));
}

/* --- the list --------------------------------------------------------------------------------------- */
/* Cut where it is too long, between two characters. */
static const char *
copy(char out[TEXT_MAX], const char *text, size_t len)
{
	bool cut = len >= TEXT_MAX;

	if (cut)
		len = TEXT_MAX - 1;
	while (cut && len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	memcpy(out, text, len);
	out[len] = '\0';
	return out;
}

/* The value of the plan's next line of that label from *at on, cut where it is longer than a message's; NULL: there is none.
 * *at is then behind it. */
static const char *
next_line(const char **at, const char *label, char out[TEXT_MAX])
{
	size_t n = strlen(label);

	for (const char *line = *at; line && *line; line = *at) {
		const char *end = strchr(line, '\n');

		*at = end ? end + 1 : "";
		if (strncmp(line, label, n) != 0 || line[n] != ' ')
			continue;
		line += n + strspn(line + n, " ");
		return copy(out, line, strcspn(line, "\n"));
	}
	return NULL;
}

static const char *
line_of(const char *text, const char *label, char out[TEXT_MAX])
{
	if (!next_line(&text, label, out))
		out[0] = '\0';
	return out;
}

static const char *
first_word(char *text)
{
	text[strcspn(text, " ")] = '\0';
	return text;
}

static int
put_arguments(json_t *list, const char *text)
{
	char one[TEXT_MAX];

	while (next_line(&text, "argument", one))
		if (json_array_append_new(list, json_string(one)) < 0)
			return FAULT(-ENOMEM);
	return 0;
}

int
request_site_told_item(json_t **ret, const struct standing_permit *p)
{
	char service[TEXT_MAX], operation[TEXT_MAX], engineer[TEXT_MAX], limits[TEXT_MAX];
	SCOPED_JSON *arguments = json_array();
	const struct permits_item item = {
		.id = p->permit.id,
		.service = first_word((char *)(uintptr_t)line_of(p->text, "service", service)),
		.operation = line_of(p->text, "operation", operation),
		.engineer = line_of(p->text, "engineer", engineer),
		.approver = p->permit.approver,
		.limits = line_of(p->text, "limits", limits),
		.arguments = arguments,
		.not_before_us = p->permit.not_before,
		.expires_us = p->permit.expires,
		.uses = p->permit.uses,
		.left = p->used < p->permit.uses ? p->permit.uses - p->used : 0,
	};
	int r = arguments ? put_arguments(arguments, p->text) : FAULT(-ENOMEM);

	return r ?: permits_item_json(ret, &item);
}

/* Could it cover anything that comes now?  One of a former life, of another vendor's days, of an approver who left covers
 * nothing; who signed that is nobody's business any more either. */
static bool
covers(struct request_site *s, const struct standing_permit *p, uint64_t now_us)
{
	char epoch[TEXT_MAX], site[TEXT_MAX], own[TEXT_MAX];

	(void)snprintf(own, sizeof(own), "%s (customer %s)", monitor_site(s->m), monitor_customer(s->m));
	return p->used < p->permit.uses && p->permit.expires > now_us &&
		strcmp(line_of(p->text, "epoch", epoch), monitor_epoch(s->m)) == 0 &&
		strcmp(line_of(p->text, "site", site), own) == 0 &&
		policy_find_approver(monitor_policy(s->m), p->permit.approver);
}

/* Those that count now; *ret_end is when the first of them ends, *ret_more how many there is no room for. */
static int
list(struct request_site *s, json_t **ret, uint64_t *ret_end_us, uint64_t *ret_more)
{
	SCOPED_JSON *items = json_array();
	uint64_t now_us = monitor_now_us(s->m);
	size_t bytes = 0;

	*ret_end_us = UINT64_MAX;
	*ret_more = 0;
	for (size_t i = 0; i < standing_count(s->standing); i++) {
		const struct standing_permit *p = standing_at(s->standing, i);
		json_t *one = NULL;
		int r = covers(s, p, now_us) ? request_site_told_item(&one, p) : 0;

		if (r)
			return r;
		if (!one)
			continue;
		if (p->permit.expires < *ret_end_us)
			*ret_end_us = p->permit.expires;
		bytes += json_dumpb(one, NULL, 0, JSON_COMPACT);
		if (bytes > PERMITS_BYTES_MAX) {
			json_decref(one);
			++*ret_more;
		} else if (json_array_append_new(items, one) < 0) {
			return FAULT(-ENOMEM);
		}
	}
	*ret = STEAL(items);
	return 0;
}

/* --- saying it -------------------------------------------------------------------------------------- */
static bool
may_say(struct request_site *s)
{
	return monitor_recorded(s->m) && monitor_switch_on(s->m, SWITCH_REMOTE) &&
		policy_class_of(monitor_policy(s->m), "result") == POLICY_SEND;
}

/* Counted before it is said: two that differ never bear one number. */
static int
make(struct request_site *s, json_t *items, uint64_t more, json_t **ret)
{
	const struct permits p = {
		.site = monitor_site(s->m),
		.epoch = monitor_epoch(s->m),
		.counter = s->told.counter + 1,
		.time_us = monitor_now_us(s->m),
		.more = more,
	};
	SCOPED_JSON *payload = NULL;
	int r = permits_json(&payload, &p, items);

	s->told.counter++;
	s->told.any |= json_array_size(items) > 0;
	r = r ?: save(s);
	return r ?: monitor_sign(s->m, MESSAGE_PERMITS, payload, ret);
}

static int
digest_of(const json_t *items, uint8_t ret[SHA256_LEN])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * PERMITS_BYTES_MAX);
	int r = json_canonical(&b, items);

	if (r)
		return FAULT(r);
	sha256_of(ret, b.data, b.len);
	return 0;
}

/* Returns 0 where the outbox has it, or there was nothing to say. */
static int
say(struct request_site *s)
{
	SCOPED_JSON *items = NULL, *envelope = NULL;
	uint8_t digest[SHA256_LEN];
	uint64_t more = 0;
	bool nothing;
	int r = list(s, &items, &s->told.end_us, &more);

	r = r ?: digest_of(items, digest);
	if (r)
		return r;
	nothing = json_array_size(items) == 0;
	/* Who never had one has nothing to say; who had says once that there is none any more. */
	if (nothing ? !s->told.any : memcmp(digest, s->told.said, sizeof(digest)) == 0)
		return 0;
	r = make(s, items, more, &envelope);
	r = r ?: request_site_post_permits(s->m, envelope);
	if (r)
		return r;
	memcpy(s->told.said, digest, sizeof(digest));
	if (!nothing)
		return 0;
	s->told.any = false;
	return save(s);
}

void
request_site_told_soon(struct request_site *s, bool again)
{
	s->told.due = true;
	if (again)
		memset(s->told.said, 0, sizeof(s->told.said));
}

void
request_site_told_tick(struct request_site *s, uint64_t now_us)
{
	int r;

	if (!s->told.due && monitor_now_us(s->m) < s->told.end_us)
		return;
	/* Of a clock that went back it waits as long at most. */
	if (!may_say(s) || (now_us < s->told.next_us && s->told.next_us - now_us <= RETRY_MS * CLOCK_US_PER_MS))
		return;
	r = say(s);
	if (r < 0)
		log_fault(r, "saying which standing permits there are");
	s->told.due = r != 0;
	s->told.next_us = now_us + (r ? RETRY_MS : GAP_MS) * CLOCK_US_PER_MS;
}

int
request_site_told_make(struct request_site *s, json_t **ret)
{
	SCOPED_JSON *items = NULL;
	uint64_t more = 0, end_us;
	int r = list(s, &items, &end_us, &more);

	*ret = NULL;
	if (r || (json_array_size(items) == 0 && !s->told.any))
		return r;
	return make(s, items, more, ret);
}
