#include "updater/release/release_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/platform.h"
#include "updater/release/release_build.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_lint.h"
#include "updater/release/release_publish.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_reproduce.h"

/* --- options ------------------------------------------------------------------------------------- */
/* "2of3", "2-of-3": m of n, both from 1. */
static int
parse_of(const char *text, unsigned *ret_m, unsigned *ret_n, const char *option)
{
	unsigned m, n;
	char end;

	if (sscanf(text, "%2uof%2u%c", &m, &n, &end) != 2 || m < 1 || m > n || n > 20)
		return REFUSE(REASON_USAGE, option, "must be like 2of3");
	*ret_m = m;
	*ret_n = n;
	return 0;
}

const struct command_option release_commands_options[] = {
	{ .name = "passphrase-file", .value = "FILE", .help = "passphrase of the keys: its first line (0600)" },
	{ .name = "passphrase-fd", .value = "N", .help = "the same from an open descriptor" },
	{ 0 },
};

int
release_commands_passphrase(const struct command_call *call, struct release_passphrase **ret)
{
	return release_passphrase_new(ret, command_option(call, "passphrase-file"), command_option(call, "passphrase-fd"));
}

int
release_commands_keys(const struct command_call *call, const char *repo, struct release_keys *keys)
{
	char dir[PATH_MAX];

	return release_keys_load(
		keys, release_keys_dir(dir, sizeof(dir), command_option(call, "keys"), repo));
}

int
release_commands_signers(const struct command_call *call, const char *repo, struct release_passphrase **ret,
	struct release_keys *keys)
{
	char dir[PATH_MAX];
	int r = release_commands_passphrase(call, ret);

	if (r)
		return r;
	keys->passphrase = *ret;
	(void)release_keys_dir(dir, sizeof(dir), command_option(call, "keys"), repo);
	if (command_option(call, "out") && !command_option(call, "keys") && access(dir, F_OK) != 0)
		return 0;
	return release_keys_load(keys, dir);
}

int
release_commands_open(const struct command_call *call, const char *repo, struct release_repo **ret)
{
	(void)call;
	return release_repo_open(ret, repo, clock_now_us(), false);
}

int
release_commands_told(int r, const char *folder)
{
	if (r == -ENOSPC || r == -EDQUOT)
		return REFUSE(REASON_NO_SPACE, folder, "its disk is full; what readers see is as it was: make room, run it again");
	if (r == -EROFS || r == -EACCES || r == -EPERM)
		return REFUSE(REASON_DENIED, folder, "cannot be written (%s); what readers see is as it was", strerror(-r));
	return r;
}

/* --- init ---------------------------------------------------------------------------------------- */
static const struct command_option init_options[] = {
	{ .name = "root-keys",
		.value = "MofN",
		.help = "threshold and number of root keys",
		.required = true },
	{ .name = "officers", .value = "MofN", .help = "the same for who signs people (2of3)" },
	KEYS_OPTION,
	{ 0 },
};

static int
run_init(struct command_call *call)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	const char *repo = call->operands[0];
	unsigned m = 0, n = 0, om = 0, on = 0;
	int r;

	r = parse_of(command_option(call, "root-keys"), &m, &n, "--root-keys");
	r = r ?: parse_of(command_option(call, "officers") ?: "2of3", &om, &on, "--officers");
	r = r ?: release_commands_signers(call, repo, &passphrase, &keys);
	r = r ?: release_commands_told(release_repo_init(repo, &keys, m, n, om, on, clock_now_us()), repo);
	if (r)
		return r;
	command_say(call, "%s: root %u of %u, people %u of %u; serve %s/tuf and %s/objects", repo,
		m, n, om, on, repo, repo);
	return call->json
		? command_print_json("Repository", json_pack("{s:s, s:i}", "repo", repo, "root", 1))
		: 0;
}

/* --- build, sign, publish ------------------------------------------------------------------------ */
static int
print_release(struct command_call *call, const char *verb, const struct release_summary *s)
{
	command_say(call, "%s %s %s: %s, %zu files, %llu bytes", verb, s->service, s->version,
		s->digest, s->files, (unsigned long long)s->bytes);
	return call->json
		? command_print_json("Release",
			  json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "service", s->service,
				  "version", s->version, "target", s->target, "digest", s->digest,
				  "files", (json_int_t)s->files, "bytes", (json_int_t)s->bytes))
		: 0;
}

/* "FILE:LINE:COL: OPERAND: text [reason]", as compilers print it. */
static int
run_lint(struct command_call *call)
{
	const char *folder = call->operands[0];
	SCOPED_JSON *items = NULL;
	size_t errors = 0, all;
	int r = release_lint(folder, &items, &errors);

	if (r)
		return r;
	all = json_array_size(items);
	for (size_t i = 0; i < all; i++) {
		const json_t *one = json_array_get(items, i);
		const char *reason = json_text(one, "reason"), *operand = json_text(one, "operand");

		command_say(call, "%s: %s%s%s%s%s%s%s", json_text(one, "where"), *reason ? "" : "warning: ",
			operand, *operand ? ": " : "", json_text(one, "text"), *reason ? " [" : "", reason,
			*reason ? "]" : "");
	}
	if (!errors)
		command_say(call, "%s: no errors, %zu warnings", folder, all);
	if (call->json)
		r = command_print_items(call, "Lint", json_incref(items), (const char *const[]){ "where", "text", NULL });
	if (r || !errors)
		return r;
	return REFUSE(REASON_MALFORMED, folder, "%zu errors, %zu warnings", errors, all - errors);
}

static const struct command_option build_options[] = {
	{ .name = "o", .value = "DIR", .help = "where the release goes" },
	{ .name = "check", .value = "BUILT", .help = "build it anew and say what differs from BUILT" },
	{ .name = "platform", .value = "P", .help = "whom it is for (this machine's)" },
	{ .name = "channel", .value = "C", .help = "stable, or another (stable)" },
	{ .name = "class", .value = "core|service", .help = "what it is (as service.yaml says)" },
	{ .name = "builder", .value = "URI", .help = "who builds, for the provenance (urn:mainstay:builder:unnamed)" },
	{ 0 },
};

/* Nothing is kept: only whether this machine makes the same. */
static int
run_build_check(struct command_call *call, const char *built)
{
	SCOPED_JSON *items = NULL;
	size_t n;
	int r;

	if (command_option(call, "o"))
		return REFUSE(REASON_USAGE, "--check", "compares and keeps nothing: leave out -o");
	r = release_reproduce(call->operands[0], built, &items);
	if (r)
		return r;
	n = json_array_size(items);
	if (!n)
		command_say(call, "%s: this machine builds it byte for byte", built);
	if (n || call->json)
		r = command_print_items(call, "Differences", json_incref(items),
			(const char *const[]){ "what", "built", "here", NULL });
	return r || !n ? r : REFUSE(REASON_ALTERED, built, "this machine builds another: %zu differences", n);
}

static int
run_build(struct command_call *call)
{
	struct release_options o = {
		.platform = command_option(call, "platform") ?: platform_text(),
		.channel = command_option(call, "channel") ?: "stable",
		.class = command_option(call, "class"),
		.builder = command_option(call, "builder") ?: "urn:mainstay:builder:unnamed",
	};
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct release_summary s = { .files = 0 };
	const char *check = command_option(call, "check"), *out = command_option(call, "o");
	int r;

	if (check)
		return run_build_check(call, check);
	if (!out)
		return REFUSE(REASON_USAGE, "-o", "is missing: where the release goes");
	if (o.class && strcmp(o.class, "core") != 0 && strcmp(o.class, "service") != 0)
		return REFUSE(REASON_USAGE, "--class", "must be core or service");
	if (!strchr(o.builder, ':'))
		return REFUSE(REASON_USAGE, "--builder", "must be a URI, like https://build.example.com/1");
	if (epoch && number_u64(&o.epoch_us, epoch, UINT64_C(253402300799)) != 0)
		return REFUSE(REASON_USAGE, "SOURCE_DATE_EPOCH", "must be seconds since 1970");
	o.epoch_us *= CLOCK_US_PER_S;
	r = release_commands_told(release_build(call->operands[0], out, &o, &s), out);
	return r ?: print_release(call, "built", &s);
}

static const struct command_option sign_options[] = {
	{ .name = "key", .value = "FILE", .help = "a key of the role that releases it", .required = true },
	{ 0 },
};

static int
run_sign(struct command_call *call)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	struct release_summary s = { .files = 0 };
	const struct ed25519 *key;
	int r;

	r = release_commands_passphrase(call, &passphrase);
	keys.passphrase = passphrase;
	r = r ?: release_keys_add(&keys, command_option(call, "key"));
	r = r ?: release_keys_open(&keys, 0, &key);
	r = r ?: release_sign(call->operands[0], key, &s);
	return r ?: print_release(call, "signed", &s);
}

static const struct command_option publish_options[] = {
	{ .name = "to", .value = "REPO", .help = "the repository", .required = true },
	{ .name = "out", .value = "DRAFT", .help = "write a draft for those whose keys are elsewhere" },
	KEYS_OPTION,
	{ 0 },
};

static int
run_publish(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	SCOPED_JSON *next = NULL;
	const char *to = command_option(call, "to");
	char target[256];
	uint64_t counter = 0;
	bool published = true;
	int r;

	r = release_commands_open(call, to, &repo);
	r = r ?: release_commands_signers(call, to, &passphrase, &keys);
	r = r ?: release_publish(repo, call->operands[0], command_option(call, "out") ? NULL : &keys, &counter, target,
		       &next);
	if (!r && next)
		r = release_commands_finish(call, repo, &keys, next, &published);
	r = release_commands_told(r, to);
	if (r || !published)
		return r;
	command_say(call, next ? "published %s, counter %llu" : "%s is published already, counter %llu: nothing changed",
		target, (unsigned long long)counter);
	return call->json
		? command_print_json("Published",
			  json_pack("{s:s, s:I, s:b}", "target", target, "counter", (json_int_t)counter, "changed",
				  next != NULL))
		: 0;
}

const struct command release_commands[] = {
	{ .name = "init",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "make a repository",
		.details = "REPO/tuf and REPO/objects are static files for any web server.  The "
			   "root role is MofN of the\n"
			   "root keys; who is an engineer is signed by officers, who hold no other "
			   "power.\n"
			   "It signs, so the keys are read here.  Where they are never to lie together, begin with one of "
			   "each, and\n"
			   "add the others' public halves before the first card is made: root draft --add, delegate people "
			   "--add.",
		.examples = "mainstay-release init repo --root-keys 2of3 --keys keys\n"
			    "mainstay-release init repo --root-keys 1of1 --officers 1of1 --keys keys",
		.options = init_options,
		.run = run_init },
	{ .name = "people set",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "add, change or revoke an engineer in the draft",
		.details =
			"Changes only what is named.  Signatures on an earlier draft are dropped.",
		.examples = "mainstay-release people set repo --name ada --key ada.pub --roles "
			    "support,enrol "
			    "--customers acme\n"
			    "mainstay-release people set repo --name ada --revoke --reason "
			    "\"laptop stolen\"",
		.options = release_commands_people_set_options,
		.run = release_commands_people_set },
	{ .name = "people sign",
		.args = "REPO|DRAFT",
		.min = 1,
		.max = 1,
		.summary = "sign the draft as an officer; published once enough have",
		.details = "Without a draft the published document is signed anew, for it expires "
			   "within 30 days.\n"
			   "Officers need no repository: --out writes the draft into a file, which each "
			   "signs in turn\n"
			   "on a machine of their own (people sign FILE --key KEY shows who is in it); --in "
			   "takes the\n"
			   "signatures back.  Who the officers are is signed by the targets key, never here.",
		.examples = "mainstay-release people sign repo --key officer-1.key --key "
			    "officer-2.key\n"
			    "mainstay-release people sign repo --keys keys\n"
			    "mainstay-release people sign repo --out draft.json\n"
			    "mainstay-release people sign draft.json --key officer-2.key\n"
			    "mainstay-release people sign repo --in draft.json",
		.options = release_commands_people_sign_options,
		.run = release_commands_people_sign },
	{ .name = "card",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "make the trust card that customers enrol with",
		.details = "Signed by the root role over the root document and the hub's facts.  "
			   "Give customers its\n"
			   "fingerprint by another way than the card.  Where the root's keys are on other machines, --out\n"
			   "writes a draft: card sign, there, and card join.",
		.examples =
			"mainstay-release card repo --hub facts.json -o vendor.card --keys keys\n"
			"mainstay-release card repo --hub facts.json --out card.json",
		.options = release_commands_card_options,
		.run = release_commands_card },
	{ .name = "lint",
		.args = "FOLDER",
		.min = 1,
		.max = 1,
		.summary = "look through a service's folder for everything that is wrong or poor",
		.details = "All faults of service.yaml at once, each with its place, what the payload lacks, and "
			   "advice: operations\n"
			   "without help, alerts that can never fire, knobs that turn nothing, secrets in argv.  Ends with "
			   "1 where\n"
			   "there are errors; warnings are yours to judge.",
		.examples = "mainstay-release lint packaging/services/redis\n"
			    "mainstay-release lint packaging/services/redis --json",
		.run = run_lint },
	{ .name = "build",
		.args = "FOLDER",
		.min = 1,
		.max = 1,
		.summary = "make a release from a service's folder",
		.details = "FOLDER/service.yaml is compiled; what its payload names is gathered.  "
			   "The same input gives the\n"
			   "same bytes: objects, index, SBOM (SPDX), provenance (SLSA; with a time only where\n"
			   "SOURCE_DATE_EPOCH says it).  Trees with set-user-id files, devices, file capabilities "
			   "or links that lead out\n"
			   "are refused.",
		.examples = "mainstay-release build packaging/services/redis -o built\n"
			    "mainstay-release build packaging/services/redis --check built",
		.options = build_options,
		.run = run_build },
	{ .name = "sign",
		.args = "DIR",
		.min = 1,
		.max = 1,
		.summary = "sign a built release",
		.details = "With more than one signer the folder goes on to the next: signatures gather in release.json.",
		.examples = "mainstay-release sign built --key keys/targets.key",
		.options = sign_options,
		.run = run_sign },
	{ .name = "publish",
		.args = "DIR",
		.min = 1,
		.max = 1,
		.summary = "put a signed release into a repository",
		.details = "Refused unless the repository's targets role signed exactly this "
			   "release.  Readers see the old\n"
			   "repository or the new one, never something between.  A release of a delegated service is "
			   "signed by\n"
			   "that role's keys.  Where not enough of them are here, --out writes a draft: draft sign, draft "
			   "publish.",
		.examples = "mainstay-release publish built --to repo --keys keys\n"
			    "mainstay-release publish built --to repo --out publish.json",
		.options = publish_options,
		.run = run_publish },
	{ 0 },
};
