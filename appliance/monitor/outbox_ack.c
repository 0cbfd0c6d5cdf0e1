#include "appliance/monitor/outbox_ack.h"

#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ledger.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/outbox.h"
#include "appliance/trust/sha256.h"

enum { ACK_MAX = 4096 };

/* What the hub says that it committed. */
struct ack {
	uint64_t v, sequence;
	const char *site, *stream;
	uint8_t sha256[SHA256_LEN];
	json_t *clone;
};

static const struct json_field ack_fields[] = {
	{ "v", JSON_KIND_U64, .offset = offsetof(struct ack, v), .max = 1 },
	{ "site", JSON_KIND_TEXT, .offset = offsetof(struct ack, site), .max = 64 },
	{ "stream", JSON_KIND_TEXT, .offset = offsetof(struct ack, stream),
		.max = LEDGER_STREAM_MAX },
	{ "sequence", JSON_KIND_U64, .offset = offsetof(struct ack, sequence), .max = INT64_MAX },
	{ "sha256", JSON_KIND_SHA256, .offset = offsetof(struct ack, sha256), .optional = true },
	{ "clone", JSON_KIND_OBJECT, .offset = offsetof(struct ack, clone), .max = 8,
		.optional = true },
};

int
outbox_ack_judge(struct monitor *m, const char *stream, uint64_t sequence, const void *body, size_t len,
	enum outbox_ack_verdict *ret)
{
	static const uint8_t none[SHA256_LEN];
	uint8_t digest[SHA256_LEN];
	SCOPED_JSON *doc = NULL;
	struct ack ack = { 0 };
	int r = json_read(&doc, body, len, ACK_MAX, "acknowledgement");

	r = r ?: json_members(doc, ack_fields, ARRAY_LEN(ack_fields), &ack, "acknowledgement");
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (strcmp(ack.site, monitor_site(m)) != 0 || strcmp(ack.stream, stream) != 0 ||
		ack.sequence != sequence)
		return REFUSE(REASON_WRONG_ADDRESSEE, stream,
			"the acknowledgement is of %s %llu of %s, not of %llu", ack.stream,
			(unsigned long long)ack.sequence, ack.site, (unsigned long long)sequence);
	r = ack.clone ? clone_hub_says(m, ack.clone) : 0;
	r = r ?: outbox_digest(m->outbox, stream, sequence, digest);
	if (r && r != REASON_NOT_FOUND)
		return r < 0 ? FAULT(r) : r;
	if (r == REASON_NOT_FOUND)
		*ret = OUTBOX_ACK_GONE;
	else if (memcmp(ack.sha256, none, sizeof(none)) == 0)
		*ret = OUTBOX_ACK_UNKNOWN;
	else
		*ret = memcmp(ack.sha256, digest, sizeof(digest)) == 0 ? OUTBOX_ACK_TAKEN
								       : OUTBOX_ACK_ANOTHER;
	return 0;
}

int
outbox_ack_another(struct monitor *m, const char *stream, uint64_t sequence)
{
	int r = clone_notice(m, "hub",
		"the hub has another record under a number that this site gave", REASON_CONFLICT);

	if (r < 0)
		return FAULT(r);
	return REFUSE(REASON_CONFLICT, stream,
		"the hub has another record under %llu than this site (a second site with its "
		"key?)",
		(unsigned long long)sequence);
}
