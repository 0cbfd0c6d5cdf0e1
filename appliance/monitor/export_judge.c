#include "appliance/monitor/export_judge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/audit/export.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"

#define FOLDER "people/"
#define ROLE "support"

struct judging {
	const json_t *files, *entries;
	struct people *people; /* NULL: not judged */
};

/* One request of the export. */
struct subject {
	const char *name; /* its file */
	json_t *doc;
	struct envelope *request, *plan; /* plan NULL: it was never planned */
	struct sshkey_public key;
};

static void
judging_done(struct judging *j)
{
	people_free(j->people);
}

static void
subject_done(struct subject *s)
{
	envelope_free(s->request);
	envelope_free(s->plan);
	json_decref(s->doc);
}

static const char *
file_of(const json_t *files, const char *name)
{
	return json_string_value(json_object_get(files, name));
}

/* --- the log ---------------------------------------------------------------------------------------- */
/* The leaf of that kind about id; actor NULL: anybody's. */
static const json_t *
find_leaf(const json_t *entries, const char *kind, const char *id, const char *actor)
{
	const json_t *e;
	size_t i;

	json_array_foreach(entries, i, e)
		if (strcmp(json_text(e, "kind"), kind) == 0 &&
			strcmp(json_text(e, "object"), id) == 0 &&
			(!actor || strcmp(json_text(e, "actor"), actor) == 0))
			return e;
	return NULL;
}

/* When the first of the leaves was written. */
static uint64_t
first_time(const json_t *entries)
{
	uint64_t first = UINT64_MAX, us;
	const json_t *e;
	size_t i;

	json_array_foreach(entries, i, e)
		if (clock_parse(&us, json_text(e, "time")) == 0 && us < first)
			first = us;
	return first;
}

/* --- who is an engineer ------------------------------------------------------------------------------ */
/* Has the client another root to come before the one that is here?  Then others lay between, which nobody kept. */
static int
feed_root(struct tuf_client *c, const struct tuf_want *w, const char *text)
{
	SCOPED_JSON *doc = NULL;
	unsigned long long version, wanted = 0;
	int r = json_read(&doc, text, strlen(text), w->cap, FOLDER "root.json");

	if (r)
		return r;
	version = (unsigned long long)
		json_integer_value(json_object_get(json_object_get(doc, "signed"), "version"));
	if (sscanf(w->file, "%llu.root.json", &wanted) != 1 || version < wanted)
		return tuf_client_absent(c);
	if (version > wanted)
		return REFUSE(REASON_NOT_FOUND, FOLDER "root.json",
			"is root %llu, and what leads there from the card's is not in the export: "
			"take a newer card",
			version);
	return tuf_client_update(c, w->role, text, strlen(text));
}

static int
feed(struct tuf_client *c, const json_t *files)
{
	struct tuf_want w;
	int r = 0;

	while (r == 0 && tuf_client_want(c, &w)) {
		char name[EXPORT_NAME_MAX];
		const char *text;

		(void)snprintf(name, sizeof(name), FOLDER "%s.json", w.role);
		text = file_of(files, name);
		if (!text)
			return REFUSE(REASON_NOT_FOUND, name, "the export does not hold it");
		if (strlen(text) > w.cap)
			return REFUSE(REASON_TOO_LARGE, name, "over %zu bytes", w.cap);
		r = strcmp(w.role, "root") == 0 ? feed_root(c, &w, text)
						: tuf_client_update(c, w.role, text, strlen(text));
	}
	return r;
}

static int
read_people(struct judging *j, const struct card *card)
{
	const char *text = file_of(j->files, FOLDER "document.json");
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED(buf_done) struct buf root = BUF_MAX(CARD_MAX);
	struct tuf_target target;
	int r;

	if (!text)
		return REFUSE(REASON_NOT_FOUND, FOLDER "document.json",
			"the site had no people document: whose keys these are cannot be judged");
	r = json_canonical(&root, card->root);
	r = r ?: tuf_client_new(&c, root.data, root.len, first_time(j->entries));
	r = r ?: feed(c, j->files);
	while (r == 0 && (r = tuf_client_target(c, PEOPLE_TARGET, &target)) == TUF_WANTS)
		r = feed(c, j->files);
	r = r ?: tuf_target_check(&target, text, strlen(text));
	r = r ?: people_read(&j->people, text, strlen(text));
	return r
		?: people_check_keys(j->people,
			   json_object_get(tuf_client_signed(c, "root"), "keys"));
}

static int
judge_engineer(const struct judging *j, const struct subject *s, json_t *out)
{
	const json_t *p = s->request->payload,
		     *leaf = find_leaf(j->entries, "request", json_text(p, "id"), NULL);
	const struct people_engineer *e = NULL;
	char words[128];
	uint64_t us = 0;
	int r;

	if (!j->people)
		return json_put_text(out, "people", "not judged: no card was given");
	if (!leaf || clock_parse(&us, json_text(leaf, "time")) != 0)
		return json_put_text(out, "people",
			"not judged: it was refused before that was asked");
	r = people_engineer_listed(j->people, &s->key, ROLE, json_text(p, "customer"), us, &e);
	if (r)
		return r;
	if (strcmp(e->name, json_text(p, "engineer")) != 0)
		return REFUSE(REASON_ALTERED, s->name, "is signed with the key of %s", e->name);
	(void)snprintf(words, sizeof(words), "an engineer's then, by people document %llu",
		(unsigned long long)people_version(j->people));
	return json_put_text(out, "people", words);
}

/* --- who allowed it ---------------------------------------------------------------------------------- */
/* A permit of its own is over this plan and this request; a standing one was given over an earlier one. */
static int
check_about(const struct subject *s, const struct permit *p, const char *text, size_t plan_len,
	bool standing)
{
	const char *plan = json_text(s->doc, "plan_text");

	if (standing)
		return p->uses > 1
			? 0
			: REFUSE(REASON_ALTERED, s->name,
				  "permit %s was good for one request, and not for this", p->id);
	if (!s->plan || strlen(plan) != plan_len || memcmp(plan, text, plan_len) != 0)
		return REFUSE(REASON_ALTERED, s->name, "permit %s is over another plan text",
			p->id);
	if (memcmp(p->request, s->request->sha256, sizeof(p->request)) != 0 ||
		memcmp(p->plan, s->plan->sha256, sizeof(p->plan)) != 0)
		return REFUSE(REASON_ALTERED, s->name, "permit %s is of another request", p->id);
	return 0;
}

static int
judge_permit(const struct judging *j, const struct subject *s, const json_t *item,
	json_t *approvers)
{
	const char *text = json_text(item, "text"), *sig = json_text(item, "sig"),
		   *id = json_text(s->request->payload, "id");
	bool standing = json_object_get(item, "standing") != NULL;
	struct sshkey_public key;
	struct permit p;
	size_t plan_len = 0;
	int r = permit_split(&p, &plan_len, text, strlen(text));

	r = r ?: check_about(s, &p, text, plan_len, standing);
	r = r ?: permit_signer(&key, text, strlen(text), sig, strlen(sig));
	if (r)
		return r;
	if (!find_leaf(j->entries, p.allow ? "permit" : "deny", id, p.approver))
		return REFUSE(REASON_ALTERED, s->name, "no leaf of the log tells of permit %s",
			p.id);
	return json_array_append_new(approvers,
		       json_pack("{s:s, s:s, s:s, s:b}", "name", p.approver, "key", key.keyid,
			       "decision", p.allow ? "allow" : "deny", "standing", standing)) < 0
		? FAULT(-ENOMEM)
		: 0;
}

/* --- one request ------------------------------------------------------------------------------------- */
static int
open_subject(struct subject *s, const char *name, const char *text)
{
	const json_t *envelopes, *plan;
	int r = json_read(&s->doc, text, strlen(text), EXPORT_BYTES_MAX, name);

	s->name = name;
	envelopes = json_object_get(s->doc, "envelopes");
	plan = json_object_get(envelopes, "plan");
	r = r
		?: envelope_open_json(&s->request, MESSAGE_REQUEST,
			   json_object_get(envelopes, "request"));
	r = r ?: envelope_claimed_key(s->request, 0, &s->key);
	if (r == 0 && plan)
		r = envelope_open_json(&s->plan, MESSAGE_PLAN, plan);
	return r;
}

static int
judge_one(const struct judging *j, const char *name, const char *text, json_t *list)
{
	SCOPED(subject_done) struct subject s = { 0 };
	SCOPED_JSON *out = json_object(), *approvers = json_array();
	const json_t *item;
	size_t i;
	int r = open_subject(&s, name, text);

	r = r ?: json_put_text(out, "id", json_text(s.request->payload, "id"));
	r = r ?: json_put_text(out, "engineer", json_text(s.request->payload, "engineer"));
	r = r ?: json_put_text(out, "key", s.key.keyid);
	r = r ?: judge_engineer(j, &s, out);
	json_array_foreach(json_object_get(s.doc, "permits"), i, item)
		r = r ?: judge_permit(j, &s, item, approvers);
	if (r == 0 &&
		(json_object_set(out, "approvers", approvers) < 0 ||
			json_array_append(list, out) < 0))
		r = FAULT(-ENOMEM);
	return r;
}

static bool
is_request(const char *name)
{
	size_t len = strlen(name);

	return strncmp(name, "requests/", 9) == 0 && len > 5 &&
		strcmp(name + len - 5, ".json") == 0;
}

int
export_judge(json_t **ret, const json_t *doc, const json_t *entries, const struct card *card)
{
	SCOPED(judging_done)
	struct judging j = { .files = json_object_get(doc, "files"), .entries = entries };
	SCOPED_JSON *list = json_array();
	const char *name;
	json_t *file;
	int r = card ? read_people(&j, card) : 0;

	json_object_foreach((json_t *)(uintptr_t)j.files, name, file)
		if (r == 0 && is_request(name))
			r = judge_one(&j, name, json_string_value(file), list);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(list);
	return 0;
}
