#include "remote/desk/desk_trust.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/enrol/card.h"
#include "appliance/enrol/site_record.h"
#include "appliance/service/definition.h"
#include "appliance/tree/index.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/store.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_object.h"
#include "remote/desk/desk_permits.h"
#include "remote/desk/desk_pin.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_statement.h"
#include "remote/desk/desk_words.h"
#include "remote/request/permits.h"

enum { REQUEST_S = 20, SERVICES_MAX = 64 };

/* --- TUF -------------------------------------------------------------------------------------- */
static int
open_tuf(struct desk *d)
{
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	SCOPED(scope_close) int fd = -1;
	int r = fs_open_dir(&fd, d->dir_fd, "tuf", 0700);

	r = r ?: json_canonical(&root, d->card->root);
	return r ?: tuf_store_open(&d->tuf, fd, root.data, root.len, clock_now_us());
}

static int
save_tuf(struct desk *d)
{
	SCOPED(scope_close) int fd = -1;
	int r = fs_open_dir(&fd, d->dir_fd, "tuf", 0700);

	return r ?: tuf_store_save(d->tuf, fd);
}

/* Get whatever the client wants next, until it wants nothing. */
static int
feed(struct desk *d)
{
	struct tuf_want w;

	while (tuf_client_want(d->tuf, &w)) {
		SCOPED(buf_done) struct buf b = BUF_MAX(w.cap);
		char path[sizeof(w.file) + 8];
		int r;

		(void)snprintf(path, sizeof(path), "/tuf/%s", w.file);
		r = desk_client_fetch(d, path, w.cap, &b);
		if (r == REASON_NOT_FOUND)
			r = tuf_client_absent(d->tuf);
		else
			r = r ?: tuf_client_update(d->tuf, w.role, b.data, b.len);
		if (r)
			return r;
	}
	return tuf_client_current(d->tuf) ? save_tuf(d) : FAULT(-EPROTO);
}

static int
fetch_target(struct desk *d, const char *name, size_t max, struct buf *out)
{
	struct tuf_target t;
	char path[sizeof(t.file) + 16];
	int r;

	while ((r = tuf_client_target(d->tuf, name, &t)) == TUF_WANTS) {
		r = feed(d);
		if (r)
			return r;
	}
	if (r)
		return r;
	(void)snprintf(path, sizeof(path), "/tuf/targets/%s", t.file);
	r = desk_client_fetch(d, path, t.length < max ? (size_t)t.length : max, out);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, name, "the hub's repository does not have it");
	return r ?: tuf_target_check(&t, out->data, out->len);
}

int
desk_trust_refresh(struct desk *d)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	const char *keyid = sshkey_signer_public(d->signer)->keyid;
	int r = d->tuf ? 0 : open_tuf(d);

	r = r ?: feed(d);
	r = r ?: fetch_target(d, PEOPLE_TARGET, PEOPLE_BYTES_MAX, &b);
	r = r ?: save_tuf(d); /* the delegated role came with the target */
	if (r)
		return r;
	d->people = people_free(d->people);
	r = people_read(&d->people, b.data, b.len);
	r = r ?: people_check_life(d->people, clock_now_us());
	r = r ?: people_check_keys(d->people, json_object_get(tuf_client_signed(d->tuf, "root"), "keys"));
	if (r)
		return r;
	d->me = people_engineer_by_keyid(d->people, keyid);
	return d->me ? 0
		     : REFUSE(REASON_UNKNOWN_KEY, command_option(d->call, "key"),
			       "this key is no engineer's in people version %llu",
			       (unsigned long long)people_version(d->people));
}

/* --- a site ----------------------------------------------------------------------------------- */
void
desk_trust_site_done(struct desk_site *s)
{
	json_decref(s->record);
	json_decref(s->statement);
	json_decref(s->hub);
	permits_free(s->permits);
	*s = (struct desk_site){ 0 };
}

/* Whether the record's signer may enrol for that customer.  The document that a record was accepted
 * under may be older than ours; what counts is whether its signer is good today. */
static int
may_enrol(const struct sshkey_public *key, const char *engineer, const char *customer, void *arg)
{
	const struct people_engineer *who;
	struct desk *d = arg;
	int r = people_engineer_by_key(d->people, key, "enrol", customer, clock_now_us(), &who);

	if (r)
		return r;
	return strcmp(who->name, engineer) == 0
		? 0
		: REFUSE(REASON_UNKNOWN_KEY, engineer, "the record is signed by %s's key",
			  who->name);
}

static int
take_record(struct desk *d, const char *site, struct desk_site *s)
{
	SCOPED(site_record_done) struct site_record record = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	const json_t *envelope = json_object_get(s->hub, "record");
	int r = site_record_verify(&record, envelope, may_enrol, d);

	r = r ?: envelope_open_json(&e, MESSAGE_SITE, envelope);
	if (r)
		return r;
	if (strcmp(record.site, site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, site, "the hub shows the record of %s",
			record.site);
	(void)snprintf(s->customer, sizeof(s->customer), "%s", record.customer);
	memcpy(s->key, record.key, sizeof(s->key));
	s->record = json_incref(e->payload);
	return 0;
}

static int
take_statement(const char *site, struct desk_site *s)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	const char *named;
	int r = envelope_open_json(&e, MESSAGE_STATEMENT, json_object_get(s->hub, "statement"));

	r = r ?: envelope_verify_daemon(e, s->key);
	if (r)
		return r;
	named = json_string_value(json_object_get(e->payload, "site"));
	if (!named || strcmp(named, site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, site, "the hub shows a statement of %s",
			named ? named : "nobody");
	s->statement = json_incref(e->payload);
	return 0;
}

int
desk_trust_site(struct desk *d, const char *site, bool pending_too, struct desk_site *ret)
{
	SCOPED(desk_trust_site_done) struct desk_site s = { 0 };
	char path[128];
	int r;

	if (!token_name_ok(site))
		return REFUSE(REASON_USAGE, site, "no site's name");
	(void)snprintf(s.site, sizeof(s.site), "%s", site);
	(void)snprintf(path, sizeof(path), "/v1/fleet/sites/%s", site);
	r = desk_client_get(d, path, REQUEST_S, &s.hub);
	if (r)
		return r;
	if (json_is_object(json_object_get(s.hub, "record")))
		r = take_record(d, site, &s) ?: desk_pin_follow(&s) ?: desk_pin_key(d, &s);
	else if (!pending_too)
		r = REFUSE(REASON_NOT_APPROVED, site,
			"it has no record: an engineer with role enrol accepts it first");
	if (!r && s.record && json_is_object(json_object_get(s.hub, "statement")))
		r = take_statement(site, &s);
	if (!r && s.record)
		r = desk_statement_take(d, &s);
	if (!r && s.statement)
		r = desk_statement_seen(d, &s);
	if (!r && s.record)
		r = desk_permits_take(d, &s);
	if (r)
		return r;
	if (s.statement)
		desk_words_site(d, &s);
	*ret = s;
	s = (struct desk_site){ 0 };
	return 0;
}

/* --- a definition ----------------------------------------------------------------------------- */
static const char *
release_of(const struct desk_site *s, const char *service)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(s->statement, "services"), i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *release = json_string_value(json_object_get(item, "release"));

		if (name && release && *release && strcmp(name, service) == 0)
			return release;
	}
	return NULL;
}

int
desk_trust_heard(const struct desk_site *s)
{
	return s->statement ? 0 : REFUSE(REASON_NOT_FOUND, s->site, "it has not spoken yet");
}

bool
desk_trust_states(const struct desk_site *s, const char *service)
{
	return release_of(s, service) != NULL;
}

/* It states none of that name: which it states says the site, signed. */
static int
refuse_service(const struct desk_site *s, const char *service)
{
	const json_t *services = json_object_get(s->statement, "services"), *one;
	const char *names[SERVICES_MAX], *near;
	size_t i, n = 0;

	json_array_foreach(services, i, one)
		if (n < ARRAY_LEN(names))
			names[n++] = json_text(one, "name");
	near = nearest_word(service, names, n);
	return REFUSE(REASON_NOT_FOUND, service, "%s %s%s%s%s", s->site,
		s->statement ? "states no release of it" : "has not spoken yet", near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
}

/* The path of the target whose SHA-256 is the release. */
static const char *
target_of(struct desk *d, const char *release)
{
	json_t *targets = json_object_get(tuf_client_signed(d->tuf, "targets"), "targets");
	const char *path;
	json_t *target;

	json_object_foreach(targets, path, target) {
		const char *hash = json_string_value(
			json_object_get(json_object_get(target, "hashes"), "sha256"));

		if (hash && strcmp(hash, release) == 0)
			return path;
	}
	return NULL;
}

const char *
desk_trust_version(struct desk *d, const char *release, char out[DESK_TRUST_VERSION_MAX])
{
	const char *path = target_of(d, release), *at = path ? path + strlen(path) : NULL;

	/* services/NAME/VERSION/index.json */
	for (int i = 0; at && i < 2; i++)
		do
			at = at == path ? NULL : at - 1;
		while (at && *at != '/');
	(void)snprintf(out, DESK_TRUST_VERSION_MAX, "%.*s", at ? (int)strcspn(at + 1, "/") : 0, at ? at + 1 : "");
	return out;
}

static int
fetch_definition(struct desk *d, const uint8_t digest[32], struct definition **ret)
{
	SCOPED(buf_done) struct buf packed = BUF_MAX(DEFINITION_BYTES_MAX + 1024);
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	char hex[65], path[96];
	uint8_t found[SHA256_LEN];
	int r;

	hex_encode(hex, digest, 32);
	(void)snprintf(path, sizeof(path), "/objects/%.2s/%s.zst", hex, hex);
	r = desk_client_fetch(d, path, DEFINITION_BYTES_MAX + 1024, &packed);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, path, "the hub does not have the definition");
	r = r ?: desk_object_unpack(&b, packed.data, packed.len, path);
	if (r)
		return r;
	sha256_of(found, b.data, b.len);
	if (memcmp(found, digest, sizeof(found)) != 0)
		return REFUSE(REASON_HASH_MISMATCH, path, "the hub's bytes are others");
	return definition_read(ret, b.data, b.len);
}

int
desk_trust_definition(struct desk *d, const struct desk_site *s, const char *service,
	struct definition **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TREE_INDEX_BYTES_MAX);
	SCOPED(tree_index_freep) struct tree_index *index = NULL;
	const char *release = release_of(s, service), *path;
	int r;

	if (!release)
		return refuse_service(s, service);
	path = target_of(d, release);
	if (!path)
		return REFUSE(REASON_NOT_FOUND, service,
			"%s runs a release that the repository does not list: %s", s->site,
			release);
	r = fetch_target(d, path, TREE_INDEX_BYTES_MAX, &b);
	r = r ?: tree_index_read(&index, b.data, b.len);
	return r ?: fetch_definition(d, index->definition, ret);
}
