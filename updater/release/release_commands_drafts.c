/* The commands of a ceremony: drafts that travel, and how every change of roles ends. */
#include <errno.h>
#include <limits.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/metadata.h"
#include "updater/release/release_ceremony.h"
#include "updater/release/release_commands.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_role.h"
#include "updater/release/release_words.h"

/* --- the end of all of them ----------------------------------------------------------------------- */
static json_t *
versions(const struct release_repo *repo, const struct release_ceremony *c)
{
	json_t *obj = json_object(), *is;
	const char *role;

	json_object_foreach(c->is, role, is)
	{
		const json_t *now = release_repo_signed(repo, role);

		(void)json_put_u64(obj, role, now ? tuf_version(now) : 0);
	}
	return obj;
}

/* What the repository holds now. */
static int
say_published(struct command_call *call, const struct release_repo *repo, const struct release_ceremony *c)
{
	SCOPED_JSON *obj = versions(repo, c);
	const char *role;
	json_t *v;

	json_object_foreach(obj, role, v)
		command_say(call, "%s: version %lld is published", role, (long long)json_integer_value(v));
	return call->json ? command_print_json("Published", json_pack("{s:O, s:b}", "roles", obj, "published", 1)) : 0;
}

static int
say_words(struct command_call *call, const struct release_ceremony *c)
{
	SCOPED_JSON *lines = release_words(c);

	for (size_t i = 0; i < json_array_size(lines); i++)
		command_say(call, "%s", json_string_value(json_array_get(lines, i)));
	(void)fflush(stdout);
	return lines ? 0 : FAULT(-ENOMEM);
}

/* Words about a draft that follows from itself alone are its writer's words. */
static void
say_unknown(struct command_call *call)
{
	if (!command_option(call, "known"))
		command_say(call, "! compared with nothing that you hold: name a root.json or the trust card with --known");
	(void)fflush(stdout);
}

int
release_commands_write_draft(struct command_call *call, const struct release_ceremony *c, const char *out)
{
	SCOPED_JSON *lines = release_words(c);
	int r = release_commands_told(release_ceremony_write(c, out), out);

	r = r ?: say_words(call, c);
	if (r)
		return r;
	command_say(call, "%s: each signs it with draft sign %s --key KEY; then draft publish %s --to REPO", out, out, out);
	return call->json ? command_print_json("Draft", json_pack("{s:s, s:O, s:b}", "file", out, "changes", lines,
						 "published", 0))
			  : 0;
}

int
release_commands_finish(struct command_call *call, struct release_repo *repo, const struct release_keys *keys,
	const json_t *next, bool *ret_published)
{
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	const char *out = command_option(call, "out");
	size_t n = 0;
	int r = release_ceremony_new(&c, repo, next);

	*ret_published = !out;
	r = r ?: release_ceremony_sign(&c, keys, false, &n);
	if (r)
		return r;
	if (out)
		return release_commands_write_draft(call, &c, out);
	return release_commands_told(release_ceremony_publish(&c, repo, keys), command_option(call, "to"));
}

/* For commands that have nothing more to say than which roles are new. */
int
release_commands_change(struct command_call *call, struct release_repo *repo, json_t *take_next)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	SCOPED_JSON *next = take_next;
	bool published = false;
	int r = release_commands_signers(call, command_option(call, "to"), &passphrase, &keys);

	r = r ?: release_ceremony_new(&c, repo, next);
	r = r ?: release_commands_finish(call, repo, &keys, next, &published);
	return r || !published ? r : say_published(call, repo, &c);
}

/* --- draft sign, show, publish -------------------------------------------------------------------- */
static const struct command_option draft_show_options[] = { KNOWN_OPTION, { 0 } };

static int
run_draft_show(struct command_call *call)
{
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	SCOPED_JSON *lines = NULL;
	int r = release_ceremony_read(&c, call->operands[0], command_option(call, "known"), clock_now_us());

	r = r ?: say_words(call, &c);
	if (r)
		return r;
	say_unknown(call);
	if (!call->json)
		return 0;
	lines = release_words(&c);
	return command_print_json("Draft", json_pack("{s:s, s:O}", "file", call->operands[0], "changes", lines));
}

static const struct command_option draft_sign_options[] = {
	{ .name = "key", .value = "FILE", .help = "the key that signs", .repeated = true, .required = true },
	KNOWN_OPTION,
	{ 0 },
};

static int
run_draft_sign(struct command_call *call)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	const char *file = call->operands[0];
	size_t n = 0;
	int r = release_commands_passphrase(call, &passphrase);

	keys.passphrase = passphrase;
	for (size_t i = 0; !r && i < command_option_n(call, "key"); i++)
		r = release_keys_add(&keys, command_option_at(call, "key", i));
	r = r ?: release_ceremony_read(&c, file, command_option(call, "known"), clock_now_us());
	/* In words first: then comes the passphrase, or not. */
	r = r ?: say_words(call, &c);
	if (!r)
		say_unknown(call);
	r = r ?: release_ceremony_sign(&c, &keys, true, &n);
	r = r ?: release_ceremony_write(&c, file);
	if (r)
		return r;
	command_say(call, "%s is signed; it goes on to the next, or back: draft publish %s --to REPO", file, file);
	return call->json ? command_print_json("Draft", json_pack("{s:s, s:I}", "file", file, "signatures", (json_int_t)n))
			  : 0;
}

static const struct command_option draft_publish_options[] = { TO_OPTION, KEYS_OPTION, { 0 } };

static int
read_drafts(struct command_call *call, struct release_ceremony *c)
{
	int r = release_ceremony_read(c, call->operands[0], NULL, clock_now_us());

	for (size_t i = 1; !r && i < call->n_operands; i++) {
		SCOPED(release_ceremony_done) struct release_ceremony more = { .roots = NULL };

		r = release_ceremony_read(&more, call->operands[i], NULL, clock_now_us());
		r = r ?: release_ceremony_merge(c, &more);
	}
	return r;
}

static int
run_draft_publish(struct command_call *call)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	const char *to = command_option(call, "to");
	int r = release_commands_open(call, to, &repo);

	r = r ?: read_drafts(call, &c);
	r = r ?: release_commands_signers(call, to, &passphrase, &keys);
	r = r ?: release_commands_told(release_ceremony_publish(&c, repo, &keys), to);
	if (r)
		return r;
	(void)say_words(call, &c);
	return say_published(call, repo, &c);
}

#define SIGN_DETAILS                                                                               \
	"On a signer's machine: a draft, a key and nothing else.  Says in words what would change (+ comes,\n" \
	"- goes, ! look twice), having checked that the draft follows from the root in --known (a root.json\n" \
	"or a trust card), before it asks for the passphrase."
#define PUBLISH_DETAILS                                                                            \
	"Refused unless every threshold is met, for a root those of the old and of the new one; says whose\n" \
	"signatures are missing.  More than one file: copies of one draft, signed apart.  Snapshot and\n" \
	"timestamp are signed anew by the keys here, with the new root's where that changes them; readers see\n" \
	"the old repository or the new one, never something between."

const struct command release_commands_drafts_all[] = {
	{ .name = "root sign",
		.args = "DRAFT",
		.min = 1,
		.max = 1,
		.summary = "sign a draft, after seeing what it changes",
		.details = SIGN_DETAILS,
		.examples = "mainstay-release root sign root2.json --key root-1.key --known vendor.card",
		.options = draft_sign_options,
		.run = run_draft_sign },
	{ .name = "root publish",
		.args = "DRAFT...",
		.min = 1,
		.max = 20,
		.summary = "publish a draft that enough have signed",
		.details = PUBLISH_DETAILS,
		.examples = "mainstay-release root publish root2.json --to repo --keys keys",
		.options = draft_publish_options,
		.run = run_draft_publish },
	{ .name = "draft show",
		.args = "DRAFT",
		.min = 1,
		.max = 1,
		.summary = "say in words what a draft changes",
		.examples = "mainstay-release draft show root2.json --known vendor.card",
		.options = draft_show_options,
		.run = run_draft_show },
	{ .name = "draft sign",
		.args = "DRAFT",
		.min = 1,
		.max = 1,
		.summary = "sign a draft of any role, after seeing what it changes",
		.details = SIGN_DETAILS,
		.examples = "mainstay-release draft sign publish.json --key targets-2.key",
		.options = draft_sign_options,
		.run = run_draft_sign },
	{ .name = "draft publish",
		.args = "DRAFT...",
		.min = 1,
		.max = 20,
		.summary = "publish a draft of any role that enough have signed",
		.details = PUBLISH_DETAILS,
		.examples = "mainstay-release draft publish a.json b.json --to repo --keys keys",
		.options = draft_publish_options,
		.run = run_draft_publish },
	{ 0 },
};
