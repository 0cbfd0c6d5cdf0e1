#include "updater/activate/assignment.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/message.h"

#define FILE_NAME "assignment.json"
#define OPERAND   "assignment"

enum { BYTES_MAX = 64 * 1024, SIGNED_MAX = BYTES_MAX + 64 };

/* --- signature ------------------------------------------------------------------------------------------------ */
static int
check_signature(const void *payload, size_t len, const json_t *sigs, const uint8_t director[32])
{
	SCOPED(buf_done) struct buf base = BUF_MAX(SIGNED_MAX);
	char keyid[ED25519_KEYID_MAX];
	uint8_t sig[ED25519_SIG_LEN];
	const json_t *entry;
	size_t i;

	ed25519_keyid_of(keyid, director);
	buf_puts(&base, message_namespace(MESSAGE_ASSIGNMENT));
	buf_u8(&base, 0);
	buf_put(&base, payload, len);
	if (buf_error(&base) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (buf_error(&base))
		return REFUSE(REASON_TOO_LARGE, OPERAND, "%zu bytes", len);
	json_array_foreach (sigs, i, entry) {
		const char *by = json_string_value(json_object_get(entry, "keyid"));
		const char *text = json_string_value(json_object_get(entry, "sig"));

		if (!by || strcmp(by, keyid) != 0)
			continue;
		errno = 0;
		if (!text || !hex_decode(sig, sizeof(sig), text) ||
			!ed25519_verify(director, base.data, base.len, sig))
			return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_BAD_SIGNATURE, OPERAND, "the director's signature is wrong");
		return 0;
	}
	return REFUSE(REASON_UNKNOWN_KEY, OPERAND, "not signed by the director of the trust card");
}

/* --- form ----------------------------------------------------------------------------------------------------- */
struct row {
	uint64_t v, counter, not_before, not_after;
	const char *site;
	json_t *releases;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct row, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct row, site), 64 },
	{ "counter", JSON_KIND_U64, false, offsetof(struct row, counter), 0 },
	{ "releases", JSON_KIND_ARRAY, false, offsetof(struct row, releases), ASSIGNMENT_RELEASES_MAX },
	{ "not_before", JSON_KIND_TIME, false, offsetof(struct row, not_before), 0 },
	{ "not_after", JSON_KIND_TIME, false, offsetof(struct row, not_after), 0 },
};

struct release_row {
	const char *service, *target;
	uint8_t sha256[32];
};

static const struct json_field release_fields[] = {
	{ "service", JSON_KIND_TEXT, false, offsetof(struct release_row, service), 64 },
	{ "target", JSON_KIND_TEXT, false, offsetof(struct release_row, target), ASSIGNMENT_TARGET_MAX },
	{ "sha256", JSON_KIND_SHA256, false, offsetof(struct release_row, sha256), 0 },
};

static int
read_payload(struct assignment *ret, const void *payload, size_t len, char site[65])
{
	SCOPED_JSON *doc = NULL;
	struct row row = { 0 };
	const json_t *item;
	size_t i;
	int r;

	r = json_read(&doc, payload, len, BYTES_MAX, OPERAND);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &row, OPERAND);
	if (r != 0)
		return r;
	*ret = (struct assignment){ .counter = row.counter, .not_before_us = row.not_before,
		.not_after_us = row.not_after };
	snprintf(site, 65, "%s", row.site);
	json_array_foreach (row.releases, i, item) {
		struct release_row one = { 0 };
		struct assignment_release *to = &ret->releases[ret->n];

		r = json_members(item, release_fields, ARRAY_LEN(release_fields), &one, "assignment.releases");
		if (r != 0)
			return r;
		if (assignment_find(ret, one.service))
			return REFUSE(REASON_MALFORMED, OPERAND, "service \"%s\" stands twice", one.service);
		snprintf(to->service, sizeof(to->service), "%s", one.service);
		snprintf(to->target, sizeof(to->target), "%s", one.target);
		memcpy(to->sha256, one.sha256, sizeof(to->sha256));
		ret->n++;
	}
	return 0;
}

const struct assignment_release *
assignment_find(const struct assignment *a, const char *service)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->releases[i].service, service) == 0)
			return &a->releases[i];
	return NULL;
}

int
assignment_check(struct assignment *ret, const void *payload, size_t len, const json_t *sigs,
	const struct assignment_facts *facts)
{
	struct assignment a;
	char site[65];
	int r;

	r = check_signature(payload, len, sigs, facts->director);
	r = r ?: read_payload(&a, payload, len, site);
	if (r != 0)
		return r;
	if (a.not_after_us < a.not_before_us ||
		a.not_after_us - a.not_before_us > (uint64_t)ASSIGNMENT_LIFE_MAX_S * CLOCK_US_PER_S)
		return REFUSE(REASON_MALFORMED, OPERAND, "it is to be good for longer than %d days",
			ASSIGNMENT_LIFE_MAX_S / (24 * 60 * 60));
	if (strcmp(site, facts->site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, OPERAND, "it is for site \"%s\"", site);
	if (!facts->clock_doubtful && facts->now_us < a.not_before_us)
		return REFUSE(REASON_NOT_YET_VALID, OPERAND, "counter %llu is not valid yet",
			(unsigned long long)a.counter);
	if (!facts->clock_doubtful && facts->now_us > a.not_after_us)
		return REFUSE(REASON_EXPIRED, OPERAND, "counter %llu has expired", (unsigned long long)a.counter);
	if (a.counter < facts->counter)
		return REFUSE(REASON_ROLLBACK, OPERAND, "counter %llu is below %llu, which was taken before",
			(unsigned long long)a.counter, (unsigned long long)facts->counter);
	*ret = a;
	return 0;
}

/* --- keeping ---------------------------------------------------------------------------------------------------- */
int
assignment_save(const struct assignment *a, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * BYTES_MAX);
	SCOPED_JSON *doc = json_object();
	json_t *releases = json_array();
	int r;

	r = json_object_set_new(doc, "releases", releases);
	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "site", "-"); /* the file never leaves the site */
	r = r ?: json_put_u64(doc, "counter", a->counter);
	r = r ?: json_put_time(doc, "not_before", a->not_before_us);
	r = r ?: json_put_time(doc, "not_after", a->not_after_us);
	for (size_t i = 0; i < a->n && r == 0; i++) {
		SCOPED_JSON *one = json_object();

		r = json_put_text(one, "service", a->releases[i].service);
		r = r ?: json_put_text(one, "target", a->releases[i].target);
		r = r ?: json_put_sha256(one, "sha256", a->releases[i].sha256);
		r = r ?: json_array_append(releases, one);
	}
	if (r != 0)
		return FAULT(-ENOMEM);
	r = json_canonical(&b, doc);
	r = r ?: fs_replace(dir_fd, FILE_NAME, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}

int
assignment_load(struct assignment *ret, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * BYTES_MAX);
	struct assignment a;
	char site[65];
	int r;

	r = fs_read(dir_fd, FILE_NAME, 2 * BYTES_MAX, &b);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	r = read_payload(&a, b.data, b.len, site);
	if (r == 0)
		*ret = a;
	return r;
}
