/* The commands about what a repository holds: whether it is whole, what ends when, and what a host renews daily. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/metadata.h"
#include "updater/release/release_commands.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_expiry.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_verify.h"

/* --- expiry --------------------------------------------------------------------------------------- */
static const struct command_option expiry_options[] = {
	{ .name = "within", .value = "SPAN", .help = "exit 1 where something ends within it (14d)" },
	{ 0 },
};

static int
parse_within(const struct command_call *call, uint64_t *ret_us)
{
	if (clock_parse_span(ret_us, command_option(call, "within") ?: "14d") != 0)
		return REFUSE(REASON_USAGE, "--within", "must be a span like 14d");
	return 0;
}

/* Refuse where the first of items ends within the span, naming who renews it. */
static int
refuse_ending(const json_t *first, uint64_t now_us)
{
	uint64_t ends_us = 0;

	(void)clock_parse(&ends_us, json_text(first, "expires"));
	return REFUSE(REASON_EXPIRED, json_text(first, "role"), "%s %s; %lld of its %lld keys renew it: mainstay-release %s",
		ends_us <= now_us ? "ended" : "ends", json_text(first, "expires"),
		(long long)json_integer_value(json_object_get(first, "threshold")),
		(long long)json_integer_value(json_object_get(first, "signers")), json_text(first, "renew"));
}

static int
run_expiry(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED_JSON *items = NULL, *soon = NULL;
	uint64_t within_us = 0;
	int r = parse_within(call, &within_us);

	r = r ?: release_commands_open(call, call->operands[0], &repo);
	r = r ?: release_expiry(repo, &items);
	r = r ?: command_print_items(call, "Expiry", json_incref(items),
		       (const char *const[]){ "role", "version", "expires", "threshold", "signers", "renew", NULL });
	r = r ?: release_expiry_within(items, repo->now_us, within_us, &soon);
	if (!r && json_array_size(soon))
		r = refuse_ending(json_array_get(soon, 0), repo->now_us);
	return r;
}

/* --- refresh -------------------------------------------------------------------------------------- */
static const struct command_option refresh_options[] = {
	{ .name = "valid", .value = "SPAN", .help = "how long the timestamp is good (7d)" },
	{ .name = "within", .value = "SPAN", .help = "say what else ends within it (14d)" },
	KEYS_OPTION,
	{ 0 },
};

/* What a fresh timestamp does not mend is not hidden by it: said, and refused once it is too late. */
static int
say_refreshed(struct command_call *call, struct release_repo *repo, uint64_t within_us)
{
	SCOPED_JSON *items = NULL, *soon = NULL, *ended = NULL;
	const json_t *own = release_repo_signed(repo, "timestamp");
	int r = release_expiry(repo, &items);

	if (r)
		return r;
	/* The timestamp is what was renewed now. */
	for (size_t i = json_array_size(items); i-- > 0;)
		if (!strcmp(json_text(json_array_get(items, i), "role"), "timestamp"))
			(void)json_array_remove(items, i);
	command_say(call, "timestamp %llu, snapshot %llu", (unsigned long long)tuf_version(own),
		(unsigned long long)tuf_version(release_repo_signed(repo, "snapshot")));
	r = release_expiry_within(items, repo->now_us, within_us, &soon);
	r = r ?: release_expiry_within(items, repo->now_us, 0, &ended);
	for (size_t i = 0; !r && i < json_array_size(soon); i++) {
		const json_t *item = json_array_get(soon, i);

		command_say(call, "%s ends %s: mainstay-release %s", json_text(item, "role"), json_text(item, "expires"),
			json_text(item, "renew"));
	}
	if (!r && call->json)
		r = command_print_json("Timestamp", json_pack("{s:I, s:I, s:O}", "version", (json_int_t)tuf_version(own),
							    "snapshot",
							    (json_int_t)tuf_version(release_repo_signed(repo, "snapshot")),
							    "ending", soon));
	if (!r && json_array_size(ended))
		r = refuse_ending(json_array_get(ended, 0), repo->now_us);
	return r;
}

/* A clock that was set back would replace a timestamp that is good by one that ends too early, for every site at once. */
static int
check_clock(const struct release_repo *repo)
{
	enum { TOLERANCE_S = 600 };
	uint64_t lasts_us = tuf_expires_us(release_repo_signed(repo, "timestamp")),
		 would_us = repo->now_us + RELEASE_TIMESTAMP_LIFE_S * CLOCK_US_PER_S;
	char now[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX];

	if (lasts_us <= would_us + TOLERANCE_S * CLOCK_US_PER_S)
		return 0;
	return REFUSE(REASON_ROLLBACK, "timestamp",
		"lasts until %s, longer than a new one would: it is %s by this machine's clock; is it right? Then say --valid",
		clock_format_s(until, lasts_us), clock_format_s(now, repo->now_us));
}

static int
run_refresh(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	const char *valid = command_option(call, "valid");
	uint64_t within_us = 0;
	int r = parse_within(call, &within_us);

	r = r ?: release_commands_open(call, call->operands[0], &repo);
	if (!r && valid && clock_parse_span(&repo->timestamp_life_us, valid) != 0)
		return REFUSE(REASON_USAGE, "--valid", "must be a span like 7d");
	if (!r && !valid)
		r = check_clock(repo);
	r = r ?: release_commands_signers(call, call->operands[0], &passphrase, &keys);
	r = r ?: release_commands_told(release_commit(repo, &keys, NULL), call->operands[0]);
	return r ?: say_refreshed(call, repo, within_us);
}

/* --- verify --------------------------------------------------------------------------------------- */
/* Keys that lie about, where they are to be seen from here: said, not refused, for a key is no part of a repository. */
static void
say_plain_keys(const struct command_call *call, const struct release_repo *repo)
{
	static const char *const roles[] = { "root", "targets", "snapshot" };
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	char dir[PATH_MAX];

	(void)release_keys_dir(dir, sizeof(dir), command_option(call, "keys"), call->operands[0]);
	if (access(dir, R_OK) != 0 || release_keys_load(&keys, dir) != 0)
		return;
	for (size_t i = 0; i < keys.n; i++)
		for (size_t j = 0; keys.key[i]->file.plain && j < ARRAY_LEN(roles); j++) {
			const json_t *all, *of = release_repo_role(repo, roles[j], &all);

			if (release_keys_is_of(keys.key[i], of))
				(void)fprintf(stderr, "%s: a %s key WITHOUT A PASSPHRASE: whoever copies it signs as you do\n",
					keys.key[i]->name, roles[j]);
		}
}

static const struct command_option verify_options[] = { KEYS_OPTION, { 0 } };

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
	say_plain_keys(call, repo);
	command_say(call,
		"root %llu, timestamp %llu, snapshot %llu, targets %llu, people %llu\n"
		"good: %zu releases, %zu objects, %zu files, %zu delegated roles",
		(unsigned long long)v.root, (unsigned long long)v.timestamp,
		(unsigned long long)v.snapshot, (unsigned long long)v.targets,
		(unsigned long long)v.people, v.releases, v.objects, v.files, v.delegated);
	return call->json
		? command_print_json("Verified",
			  json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "root",
				  (json_int_t)v.root, "timestamp", (json_int_t)v.timestamp,
				  "snapshot", (json_int_t)v.snapshot, "targets",
				  (json_int_t)v.targets, "people", (json_int_t)v.people, "releases",
				  (json_int_t)v.releases, "objects", (json_int_t)v.objects, "files",
				  (json_int_t)v.files, "delegated", (json_int_t)v.delegated))
		: 0;
}

const struct command release_commands_expiry_all[] = {
	{ .name = "verify",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "check every file of a repository, as a site would and beyond",
		.details = "Of every time: roots, roles and delegated roles, releases, objects, patches and packs.  Says "
			   "which keys\n"
			   "of --keys have no passphrase.",
		.examples = "mainstay-release verify repo",
		.options = verify_options,
		.run = run_verify },
	{ .name = "expiry",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "say what ends when, and whose keys renew it",
		.details = "Exit 1 where something ends within the span; the timestamp, which refresh makes anew daily, counts\n"
			   "in its last two days.  Needs no key.",
		.examples = "mainstay-release expiry repo --within 30d",
		.options = expiry_options,
		.run = run_expiry },
	{ .name = "refresh",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "sign a new timestamp, and a new snapshot where its key is here",
		.details = "Run it daily: sites refuse metadata whose timestamp has expired.  The timestamp's key alone is "
			   "enough\n"
			   "while the snapshot lasts.  Says what else ends soon; exit 1 where something has ended that this "
			   "cannot\n"
			   "renew.",
		.examples = "mainstay-release refresh repo --keys keys",
		.options = refresh_options,
		.run = run_refresh },
	{ 0 },
};
