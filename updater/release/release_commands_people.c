/* The commands that say who may do what: people and the trust card. */
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshkey.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "appliance/tuf/people.h"
#include "updater/release/release_commands.h"
#include "updater/release/release_draft.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_people.h"
#include "updater/release/release_repo.h"

/* --- people -------------------------------------------------------------------------------------- */
const struct command_option release_commands_people_set_options[] = {
	{ .name = "name", .value = "NAME", .help = "the engineer", .required = true },
	{ .name = "key", .value = "FILE.pub", .help = "OpenSSH public key" },
	{ .name = "roles", .value = "R,...", .help = "support, enrol, rollout" },
	{ .name = "customers", .value = "C,...|*", .help = "for which customers" },
	{ .name = "until", .value = "TIME|SPAN", .help = "when the key ends (a year from now)" },
	{ .name = "revoke", .help = "remove the engineer and revoke the key" },
	{ .name = "reason", .value = "TEXT", .help = "why, with --revoke" },
	KEYS_OPTION,
	{ 0 },
};

int
release_commands_people_set(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	const char *until = command_option(call, "until");
	struct release_person p = {
		.name = command_option(call, "name"),
		.key_file = command_option(call, "key"),
		.roles = command_option(call, "roles"),
		.customers = command_option(call, "customers"),
	};
	uint64_t span;
	int r;

	if (command_option(call, "revoke"))
		p.revoke = command_option(call, "reason") ?: "revoked";
	r = release_commands_open(call, call->operands[0], &repo);
	if (!r && until && clock_parse(&p.not_after_us, until) != 0) {
		if (clock_parse_span(&span, until) != 0)
			return REFUSE(REASON_USAGE, "--until",
				"must be a time like 2027-01-31T00:00:00Z or a span like 90d");
		p.not_after_us = repo->now_us + span;
	}
	r = r ?: release_commands_told(release_people_set(repo, &p), call->operands[0]);
	if (r)
		return r;
	command_say(call, "draft: %s %s; officers sign it with people sign", p.name,
		p.revoke ? "is revoked" : "is set");
	return call->json ? command_print_json("PeopleDraft", json_pack("{s:s}", "name", p.name))
			  : 0;
}

const struct command_option release_commands_people_sign_options[] = {
	{ .name = "key",
		.value = "FILE",
		.help = "an officer's key (else those in --keys)",
		.repeated = true },
	{ .name = "out", .value = "DRAFT", .help = "write the draft into a file for officers elsewhere" },
	{ .name = "in", .value = "DRAFT", .help = "take the signatures from such a file" },
	KEYS_OPTION,
	{ 0 },
};

static int
say_state(const struct command_call *call, const struct release_people_state *s)
{
	if (s->version)
		command_say(call, "people version %llu is published, signed by %zu officers",
			(unsigned long long)s->version, s->have);
	else
		command_say(call, "%zu of %zu officers have signed", s->have, s->need);
	return call->json
		? command_print_json("People",
			  json_pack("{s:I, s:I, s:I}", "signed", (json_int_t)s->have, "needed",
				  (json_int_t)s->need, "published", (json_int_t)s->version))
		: 0;
}

enum { CELL = 1024 };

/* "support,enrol", as one harmless line, like everything here: whoever wrote the draft may want it to be misread. */
static const char *
words(char out[CELL], const json_t *list)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);

	for (size_t i = 0; i < json_array_size(list); i++)
		buf_printf(&b, "%s%s", i ? "," : "", json_string_value(json_array_get(list, i)));
	return log_escape(out, CELL, buf_error(&b) ? "(more than can be shown)" : buf_text(&b));
}

static void
say_engineer(const struct command_call *call, const struct people_engineer *e)
{
	char name[CELL], roles[CELL], customers[CELL], from[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX];

	command_say(call, "%-16s %s for %s from %s until %s\n%-16s key %s", log_escape(name, sizeof(name), e->name),
		words(roles, e->roles), words(customers, e->customers), clock_format_s(from, e->not_before_us),
		clock_format_s(until, e->not_after_us), "", e->key.keyid);
}

static void
say_revoked(const struct command_call *call, const json_t *one)
{
	char reason[CELL], time[CELL];
	struct sshkey_public key;

	if (sshkey_parse(&key, json_text(one, "key"), "revoked") == 0)
		command_say(call, "%-16s %s: %s\n%-16s key %s", "revoked", log_escape(time, sizeof(time), json_text(one, "time")),
			log_escape(reason, sizeof(reason), json_text(one, "reason")), "", key.keyid);
}

/* What an officer is about to sign, whole: there is nobody behind them who reads it again. */
static int
show_draft(const struct command_call *call, const struct release_draft *d)
{
	SCOPED(people_freep) struct people *people = NULL;
	SCOPED_JSON *doc = NULL, *role = NULL;
	const json_t *list, *one;
	char until[CLOCK_TEXT_MAX], name[CELL];
	int r = people_read(&people, d->document.data, d->document.len);
	size_t i;

	r = r ?: json_read(&doc, d->document.data, d->document.len, PEOPLE_BYTES_MAX, "people");
	r = r ?: json_read(&role, d->role.data, d->role.len, TUF_TARGETS_MAX, "people");
	if (r)
		return r;
	command_say(call, "people version %llu, until %s", (unsigned long long)people_version(people),
		clock_format_s(until, people_expires_us(people)));
	command_say(call, "its signatures: version %llu, until %s",
		(unsigned long long)tuf_version(json_object_get(role, "signed")),
		clock_format_s(until, tuf_expires_us(json_object_get(role, "signed"))));
	for (i = 0; i < people_engineers(people); i++)
		say_engineer(call, people_engineer_at(people, i));
	list = json_object_get(doc, "revoked");
	json_array_foreach(list, i, one)
		say_revoked(call, one);
	list = json_object_get(doc, "officers");
	json_array_foreach(list, i, one)
		command_say(call, "%-16s officer, key %s", log_escape(name, sizeof(name), json_text(one, "name")),
			json_text(one, "key"));
	return 0;
}

/* On an officer's machine: a draft, a key, and nothing else. */
static int
sign_draft(struct command_call *call, const char *file, const struct release_keys *given)
{
	SCOPED(release_draft_done) struct release_draft d;
	const struct ed25519 *signers[RELEASE_KEYS_MAX];
	int r;

	release_draft_init(&d);
	if (!given->n)
		return REFUSE(REASON_USAGE, "--key", "name the officer's key that signs the draft");
	r = release_draft_read(&d, file);
	r = r ?: show_draft(call, &d);
	for (size_t i = 0; !r && i < given->n; i++)
		r = release_keys_open(given, i, &signers[i]);
	r = r ?: release_draft_sign(&d, signers, given->n);
	r = r ?: release_draft_write(&d, file);
	if (r)
		return r;
	command_say(call, "%s is signed; it goes on to the next officer, or back: people sign REPO --in %s", file,
		file);
	return call->json ? command_print_json("PeopleDraft", json_pack("{s:s, s:I}", "file", file, "signed",
						  (json_int_t)given->n))
			  : 0;
}

static int
write_draft(struct command_call *call, struct release_repo *repo, const char *file)
{
	int r = release_people_write(repo, file);

	if (r)
		return r;
	command_say(call, "%s: each officer signs it with people sign %s --key KEY", file, file);
	return call->json ? command_print_json("PeopleDraft", json_pack("{s:s}", "file", file)) : 0;
}

int
release_commands_people_sign(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys online = { .n = 0 };
	SCOPED(release_keys_done) struct release_keys given = { .n = 0 };
	const char *out = command_option(call, "out"), *in = command_option(call, "in");
	struct release_people_state state = { 0 };
	size_t n = command_option_n(call, "key");
	int r = 0;

	if ((out != NULL) + (in != NULL) + (n > 0) > 1)
		return REFUSE(REASON_USAGE, "people sign", "one of --key, --out and --in at a time");
	r = release_commands_passphrase(call, &passphrase);
	given.passphrase = online.passphrase = passphrase;
	for (size_t i = 0; !r && i < n; i++)
		r = release_keys_add(&given, command_option_at(call, "key", i));
	if (!r && release_draft_is(call->operands[0]))
		return sign_draft(call, call->operands[0], &given);
	r = r ?: release_commands_open(call, call->operands[0], &repo);
	if (!r && out)
		return write_draft(call, repo, out);
	r = r ?: release_commands_keys(call, call->operands[0], &online);
	/* An officer elsewhere has only the own key: what is missing is said once it is needed. */
	if (r == REASON_NOT_FOUND && n && !command_option(call, "keys"))
		r = 0;
	if (!r && in)
		r = release_people_take(repo, in, &online, &state);
	else
		r = r ?: release_people_sign(repo, n ? &given : &online, &online, &state);
	r = release_commands_told(r, call->operands[0]);
	return r ?: say_state(call, &state);
}

/* --- card ---------------------------------------------------------------------------------------- */
const struct command_option release_commands_card_options[] = {
	{ .name = "hub",
		.value = "FACTS",
		.help = "what mainstay-hubd init wrote",
		.required = true },
	{ .name = "o", .value = "FILE", .help = "the card" },
	{ .name = "out", .value = "DRAFT", .help = "instead: a draft for those whose root keys are elsewhere (card sign)" },
	{ .name = "name", .value = "NAME", .help = "the vendor's name (the hub's)" },
	{ .name = "witness",
		.value = "\"NAME KEY [URL]\"",
		.help = "a further witness of audit logs: its name, key (hex) and address",
		.repeated = true },
	KEYS_OPTION,
	{ 0 },
};

static int
read_witnesses(const struct command_call *call, struct card_witness *ret, size_t *ret_n)
{
	size_t n = command_option_n(call, "witness");
	int r = 0;

	if (n > CARD_WITNESSES_MAX)
		return REFUSE(REASON_TOO_LARGE, "--witness", "at most %d", CARD_WITNESSES_MAX);
	for (*ret_n = 0; *ret_n < n && r == 0; (*ret_n)++)
		r = card_witness_parse(&ret[*ret_n], command_option_at(call, "witness", *ret_n));
	return r;
}

static int
make_card(const struct command_call *call, const struct release_repo *repo,
	const struct release_keys *keys, struct buf *out, uint8_t fingerprint[SHA256_LEN])
{
	const json_t *root = release_repo_signed(repo, "root"), *people_keys,
		     *people = release_repo_people(repo, &people_keys),
		     *role = json_object_get(json_object_get(root, "roles"), "root");
	SCOPED(buf_done)
	struct buf facts_bytes = BUF_MAX(64 * 1024),
		   root_bytes = BUF_MAX(TUF_ROOT_MAX), canonical = BUF_MAX(CARD_MAX);
	SCOPED_JSON *facts = NULL, *whole_root = NULL, *signed_ = NULL;
	const struct ed25519 *signers[RELEASE_KEYS_MAX];
	size_t n = 0;
	struct card_witness further[CARD_WITNESSES_MAX];
	size_t n_further = 0;
	struct card_hub hub;
	char file[32];
	int r = release_keys_of(keys, role, signers, &n);

	if (r)
		return r;
	if (!command_option(call, "out") && n < (size_t)json_integer_value(json_object_get(role, "threshold")))
		return REFUSE(REASON_THRESHOLD, "root",
			"%zu of its keys are here, too few to sign; --out writes a draft for the others", n);
	(void)snprintf(file, sizeof(file), "%llu.root.json", (unsigned long long)tuf_version(root));
	r = command_read_file(command_option(call, "hub"), 64 * 1024, &facts_bytes);
	r = r ?: card_facts(&hub, &facts, facts_bytes.data, facts_bytes.len);
	r = r ?: fs_read(repo->tuf_fd, file, TUF_ROOT_MAX, &root_bytes);
	r = r ?: json_read(&whole_root, root_bytes.data, root_bytes.len, TUF_ROOT_MAX, file);
	r = r
		?: read_witnesses(call, further, &n_further);
	r = r
		?: card_build(&signed_,
			   &(struct card_parts){
				   .name = command_option(call, "name") ?: hub.name,
				   .root = whole_root,
				   .facts = facts,
				   .officers_keys = json_array_size(json_object_get(people, "keyids")),
				   .officers_threshold = (uint64_t)json_integer_value(
					   json_object_get(people, "threshold")),
				   .further = further,
				   .n_further = n_further });
	r = r ?: json_canonical(&canonical, signed_);
	r = r ?: tuf_repo_sign(out, signed_, signers, n);
	if (r)
		return r < 0 ? FAULT(r) : r;
	sha256_of(fingerprint, canonical.data, canonical.len);
	return 0;
}

int
release_commands_card(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	SCOPED(buf_done) struct buf b = BUF_MAX(CARD_MAX);
	const char *out = command_option(call, "o"), *draft = command_option(call, "out");
	char text[SHA256_TEXT_MAX];
	uint8_t fingerprint[SHA256_LEN];
	int r;

	if (!out == !draft)
		return REFUSE(REASON_USAGE, "card", "needs one of -o FILE and --out DRAFT");
	r = release_commands_open(call, call->operands[0], &repo);
	r = r ?: release_commands_signers(call, call->operands[0], &passphrase, &keys);
	r = r ?: make_card(call, repo, &keys, &b, fingerprint);
	if (!r)
		r = FAULT(fs_replace_path(out ?: draft, b.data, b.len, 0644));
	if (r)
		return r;
	command_say(call, "%s: fingerprint %s", out ?: draft, sha256_text(text, fingerprint));
	if (draft)
		command_say(call, "each signs it with card sign %s --key KEY; copies come together with card join", draft);
	return call->json ? command_print_json("Card",
				    json_pack("{s:s, s:s}", "file", out ?: draft, "fingerprint",
					    sha256_text(text, fingerprint)))
			  : 0;
}
