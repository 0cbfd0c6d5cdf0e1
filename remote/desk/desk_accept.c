#include "remote/desk/desk_actions.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/record_file.h"
#include "appliance/enrol/site_record.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_metadata.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"

static int
record_of(struct desk *d, const struct desk_site *s, struct site_record *ret)
{
	struct members {
		const char *customer, *platform;
		uint8_t key[32];
	} m = { 0 };
	const char *key = json_string_value(json_object_get(s->hub, "key"));
	const char *customer = json_string_value(json_object_get(s->hub, "customer"));
	const char *platform = json_string_value(json_object_get(s->hub, "platform"));
	SCOPED_JSON *seen = json_pack("{s:s?, s:s?, s:s?}", "customer", customer, "platform",
		platform, "key", key);
	static const struct json_field fields[] = {
		{ .name = "customer",
			.kind = JSON_KIND_TEXT,
			.offset = offsetof(struct members, customer),
			.max = TOKEN_NAME_MAX - 1 },
		{ .name = "platform",
			.kind = JSON_KIND_TEXT,
			.offset = offsetof(struct members, platform),
			.max = sizeof(((struct site_record *)0)->platform) - 1 },
		{ .name = "key", .kind = JSON_KIND_KEY, .offset = offsetof(struct members, key) },
	};
	int r = json_members(seen, fields, ARRAY_LEN(fields), &m, s->site);

	r = r ?: ed25519_check_public(m.key, s->site);
	if (r)
		return r;
	*ret = (struct site_record){ .time_us = clock_now_us() };
	memcpy(ret->key, m.key, sizeof(ret->key));
	(void)snprintf(ret->site, sizeof(ret->site), "%s", s->site);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", s->site);
	(void)snprintf(ret->customer, sizeof(ret->customer), "%s", m.customer);
	(void)snprintf(ret->platform, sizeof(ret->platform), "%s", m.platform);
	(void)snprintf(ret->engineer, sizeof(ret->engineer), "%s", d->me->name);
	return 0;
}

/* The key came from the hub alone: only the customer can say that it is theirs. */
static int
compare(struct command_call *call, const struct site_record *record)
{
	const char *expected = command_option(call, "fingerprint");
	uint8_t digest[SHA256_LEN], want[SHA256_LEN];
	char text[SHA256_TEXT_MAX];

	sha256_of(digest, record->key, sizeof(record->key));
	command_say(call, "site         %s", record->site);
	command_say(call, "customer     %s", record->customer);
	command_say(call, "platform     %s", record->platform);
	command_say(call, "fingerprint  %s", sha256_text(text, digest));
	if (!expected)
		return 0;
	if (!sha256_parse(want, expected))
		return REFUSE(REASON_USAGE, "--fingerprint", "must be sha256:HEX");
	if (!sha256_same(want, digest, sizeof(want)))
		return REFUSE(REASON_HASH_MISMATCH, record->site,
			"the hub shows a site key with the fingerprint %s", text);
	return 0;
}

/* For a site that no network reaches: mainstay enrol --record F. */
static int
write_record(struct desk *d, const json_t *envelope)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RECORD_FILE_MAX + 1);
	const char *out = command_option(d->call, "out");
	char until[CLOCK_TEXT_MAX];
	SCOPED_JSON *metadata = NULL;
	uint64_t until_us;
	int r;

	if (!out)
		return 0;
	r = desk_metadata_collect(d, &metadata, &until_us);
	r = r ?: record_file_write(&b, envelope, metadata);
	r = r ?: fs_replace_path(out, b.data, b.len, 0644);
	if (r)
		return r < 0 ? FAULT(r) : r;
	command_say(d->call, "At the site, before %s: mainstay enrol --record %s", clock_format(until, until_us), out);
	return 0;
}

int
desk_accept(struct command_call *call)
{
	SCOPED(desk_session_done) struct desk d;
	SCOPED(desk_trust_site_done) struct desk_site s = { 0 };
	SCOPED(site_record_done) struct site_record record = { 0 };
	SCOPED_JSON *envelope = NULL, *out = NULL;
	char path[160];
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	r = r ?: desk_trust_refresh(&d);
	r = r ?: desk_trust_site(&d, call->operands[0], true, &s);
	r = r ?: record_of(&d, &s, &record);
	r = r ?: compare(call, &record);
	r = r ?: site_record_seal(&envelope, &record, d.signer);
	if (r)
		return r;
	(void)snprintf(path, sizeof(path), "/v1/fleet/sites/%s/record", s.site);
	r = desk_client_post(&d, path, envelope, NULL);
	r = r ?: write_record(&d, envelope);
	if (r)
		return r;
	if (call->json) {
		out = json_pack("{s:s, s:s, s:s, s:s}", "site", record.site, "customer",
			record.customer, "platform", record.platform, "engineer", record.engineer);
		r = out ? json_put_hex(out, "key", record.key, sizeof(record.key)) : FAULT(-ENOMEM);
		return r ?: command_print_json("SiteRecord", STEAL(out));
	}
	command_say(call, "%s is accepted: the record says that this key is its own", record.site);
	return 0;
}
