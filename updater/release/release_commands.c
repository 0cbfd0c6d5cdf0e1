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
#include "appliance/tuf/metadata.h"
#include "updater/release/release_build.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_lint.h"
#include "updater/release/release_publish.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_verify.h"

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

static int
parse_count(const char *text, unsigned *ret, const char *option)
{
	char end;

	if (sscanf(text, "%2u%c", ret, &end) != 1 || *ret < 1 || *ret > 20)
		return REFUSE(REASON_USAGE, option, "must be a number from 1 to 20");
	return 0;
}

int
release_commands_keys(const struct command_call *call, const char *repo, struct release_keys *keys)
{
	char dir[PATH_MAX];

	return release_keys_load(
		keys, release_keys_dir(dir, sizeof(dir), command_option(call, "keys"), repo));
}

int
release_commands_open(const struct command_call *call, const char *repo, struct release_repo **ret)
{
	(void)call;
	return release_repo_open(ret, repo, clock_now_us(), false);
}

/* --- keys, init ---------------------------------------------------------------------------------- */
static const struct command_option keys_options[] = {
	{ .name = "dir", .value = "DIR", .help = "where to put them", .required = true },
	{ .name = "root", .value = "N", .help = "how many root keys (3)" },
	{ .name = "officers", .value = "N", .help = "how many officers' keys (3)" },
	{ 0 },
};

static int
run_keys(struct command_call *call)
{
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	SCOPED_JSON *items = json_array();
	unsigned root = 0, officers = 0;
	int r;

	r = parse_count(command_option(call, "root") ?: "3", &root, "--root");
	r = r ?: parse_count(command_option(call, "officers") ?: "3", &officers, "--officers");
	r = r ?: release_keys_make(&keys, command_option(call, "dir"), root, officers);
	if (r)
		return r;
	for (size_t i = 0; i < keys.n; i++) {
		const char *name = keys.name[i];
		const char *keep = !strncmp(name, "root", 4) ? "offline, each with another person"
			: !strncmp(name, "officer", 7)	     ? "offline, with that officer"
			: !strcmp(name, "timestamp")	     ? "on the release host"
							     : "offline, with the release engineer";

		(void)json_array_append_new(items,
			json_pack("{s:s, s:s, s:s}", "key", name, "public",
				ed25519_public_hex(keys.key[i]), "keep", keep));
	}
	return command_print_items(
		call, "Keys", STEAL(items), (const char *const[]){ "key", "public", "keep", NULL });
}

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
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	const char *repo = call->operands[0];
	unsigned m = 0, n = 0, om = 0, on = 0;
	int r;

	r = parse_of(command_option(call, "root-keys"), &m, &n, "--root-keys");
	r = r ?: parse_of(command_option(call, "officers") ?: "2of3", &om, &on, "--officers");
	r = r ?: release_commands_keys(call, repo, &keys);
	r = r ?: release_repo_init(repo, &keys, m, n, om, on, clock_now_us());
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
	{ .name = "o", .value = "DIR", .help = "where the release goes", .required = true },
	{ .name = "platform", .value = "P", .help = "whom it is for (this machine's)" },
	{ .name = "channel", .value = "C", .help = "stable, or another (stable)" },
	{ .name = "class", .value = "core|service", .help = "what it is (service)" },
	{ .name = "builder", .value = "URI", .help = "who builds, for the provenance (urn:mainstay:builder:unnamed)" },
	{ 0 },
};

static int
run_build(struct command_call *call)
{
	struct release_options o = {
		.platform = command_option(call, "platform") ?: platform_text(),
		.channel = command_option(call, "channel") ?: "stable",
		.class = command_option(call, "class") ?: "service",
		.builder = command_option(call, "builder") ?: "urn:mainstay:builder:unnamed",
	};
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct release_summary s = { .files = 0 };
	int r;

	if (strcmp(o.class, "core") != 0 && strcmp(o.class, "service") != 0)
		return REFUSE(REASON_USAGE, "--class", "must be core or service");
	if (!strchr(o.builder, ':'))
		return REFUSE(REASON_USAGE, "--builder", "must be a URI, like https://build.example.com/1");
	if (epoch && number_u64(&o.epoch_us, epoch, UINT64_C(253402300799)) != 0)
		return REFUSE(REASON_USAGE, "SOURCE_DATE_EPOCH", "must be seconds since 1970");
	o.epoch_us *= CLOCK_US_PER_S;
	r = release_build(call->operands[0], command_option(call, "o"), &o, &s);
	return r ?: print_release(call, "built", &s);
}

static const struct command_option sign_options[] = {
	{ .name = "key", .value = "FILE", .help = "a key of the targets role", .required = true },
	{ 0 },
};

static int
run_sign(struct command_call *call)
{
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	struct release_summary s = { .files = 0 };
	int r;

	r = release_keys_add(&keys, command_option(call, "key"));
	r = r ?: release_sign(call->operands[0], keys.key[0], &s);
	return r ?: print_release(call, "signed", &s);
}

static const struct command_option publish_options[] = {
	{ .name = "to", .value = "REPO", .help = "the repository", .required = true },
	KEYS_OPTION,
	{ 0 },
};

static int
run_publish(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	const char *to = command_option(call, "to");
	char target[256];
	uint64_t counter = 0;
	int r;

	r = release_commands_open(call, to, &repo);
	r = r ?: release_commands_keys(call, to, &keys);
	r = r ?: release_publish(repo, &keys, call->operands[0], &counter, target);
	if (r)
		return r;
	command_say(call, "published %s, counter %llu", target, (unsigned long long)counter);
	return call->json
		? command_print_json("Published",
			  json_pack("{s:s, s:I}", "target", target, "counter", (json_int_t)counter))
		: 0;
}

/* --- verify, refresh ----------------------------------------------------------------------------- */
static int
run_verify(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	struct release_verified v = { .root = 0 };
	int r;

	r = release_repo_open(&repo, call->operands[0], clock_now_us(), true);
	r = r ?: release_verify(repo, &v);
	if (r)
		return r;
	command_say(call,
		"root %llu, timestamp %llu, snapshot %llu, targets %llu, people %llu\n"
		"good: %zu releases, %zu objects, %zu files",
		(unsigned long long)v.root, (unsigned long long)v.timestamp,
		(unsigned long long)v.snapshot, (unsigned long long)v.targets,
		(unsigned long long)v.people, v.releases, v.objects, v.files);
	return call->json
		? command_print_json("Verified",
			  json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "root",
				  (json_int_t)v.root, "timestamp", (json_int_t)v.timestamp,
				  "snapshot", (json_int_t)v.snapshot, "targets",
				  (json_int_t)v.targets, "people", (json_int_t)v.people, "releases",
				  (json_int_t)v.releases, "objects", (json_int_t)v.objects, "files",
				  (json_int_t)v.files))
		: 0;
}

static const struct command_option refresh_options[] = {
	{ .name = "valid", .value = "SPAN", .help = "how long the timestamp is good (7d)" },
	KEYS_OPTION,
	{ 0 },
};

static int
run_refresh(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	const char *valid = command_option(call, "valid");
	uint64_t version;
	int r;

	r = release_commands_open(call, call->operands[0], &repo);
	if (!r && valid && clock_parse_span(&repo->timestamp_life_us, valid) != 0)
		return REFUSE(REASON_USAGE, "--valid", "must be a span like 7d");
	r = r ?: release_commands_keys(call, call->operands[0], &keys);
	r = r ?: release_repo_commit(repo, &keys, NULL, 0, NULL, 0);
	if (r)
		return r;
	version = tuf_version(release_repo_signed(repo, "timestamp")) + 1;
	command_say(call, "timestamp %llu", (unsigned long long)version);
	return call->json ? command_print_json(
				    "Timestamp", json_pack("{s:I}", "version", (json_int_t)version))
			  : 0;
}

const struct command release_commands[] = {
	{ .name = "keys new",
		.summary = "make the vendor's signing keys",
		.details = "Makes root-1..N, targets, snapshot, timestamp and officer-1..N as "
			   "Ed25519 key files, readable\n"
			   "by you alone, and says where each is to be kept.  Keys that are there "
			   "are never replaced.",
		.examples = "mainstay-release keys new --dir keys",
		.options = keys_options,
		.run = run_keys },
	{ .name = "init",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "make a repository",
		.details = "REPO/tuf and REPO/objects are static files for any web server.  The "
			   "root role is MofN of the\n"
			   "root keys; who is an engineer is signed by officers, who hold no other "
			   "power.",
		.examples = "mainstay-release init repo --root-keys 2of3 --keys keys",
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
			   "fingerprint by another way than the card.",
		.examples =
			"mainstay-release card repo --hub facts.json -o vendor.card --keys keys",
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
		.examples = "mainstay-release build packaging/services/redis -o built",
		.options = build_options,
		.run = run_build },
	{ .name = "sign",
		.args = "DIR",
		.min = 1,
		.max = 1,
		.summary = "sign a built release",
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
			   "repository or the new one, never something between.",
		.examples = "mainstay-release publish built --to repo --keys keys",
		.options = publish_options,
		.run = run_publish },
	{ .name = "verify",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "check every file of a repository, as a site would and beyond",
		.examples = "mainstay-release verify repo",
		.run = run_verify },
	{ .name = "refresh",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "sign a new snapshot and timestamp",
		.details = "Run it daily: sites refuse metadata whose timestamp has expired.",
		.examples = "mainstay-release refresh repo --keys keys",
		.options = refresh_options,
		.run = run_refresh },
	{ 0 },
};
