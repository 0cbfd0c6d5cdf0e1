/* The commands that change roles: who signs what, what counts, until when. */
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

/* --- root draft ----------------------------------------------------------------------------------- */
static const struct command_option root_draft_options[] = {
	{ .name = "out", .value = "DRAFT", .help = "the file that travels", .required = true },
	{ .name = "add", .value = "ROLE=KEY", .help = "one more key: the 64 digits that keys new says, or a key file", .repeated = true },
	{ .name = "remove", .value = "ROLE=KEY", .help = "one key less: as above, or its id", .repeated = true },
	{ .name = "threshold", .value = "ROLE=N", .help = "how many must sign", .repeated = true },
	{ .name = "valid", .value = "SPAN", .help = "how long the new root is good (365d)" },
	{ 0 },
};

struct edits {
	struct release_role_edit list[4];
	char names[4][32];
	size_t n;
};

/* The edit of ROLE in "ROLE=X"; *ret_value is X. */
static int
edit_of(struct edits *e, const char *text, const char *option, struct release_role_edit **ret, const char **ret_value)
{
	size_t len = strcspn(text, "=");

	if (!text[len] || !len || len >= sizeof(e->names[0]))
		return REFUSE(REASON_USAGE, option, "must be like root=KEY");
	*ret_value = text + len + 1;
	for (size_t i = 0; i < e->n; i++)
		if (strlen(e->names[i]) == len && !strncmp(e->names[i], text, len)) {
			*ret = &e->list[i];
			return 0;
		}
	if (e->n == ARRAY_LEN(e->list))
		return REFUSE(REASON_USAGE, option, "root names four roles");
	(void)snprintf(e->names[e->n], sizeof(e->names[0]), "%.*s", (int)len, text);
	*ret = &e->list[e->n];
	**ret = (struct release_role_edit){ .role = e->names[e->n] };
	e->n++;
	return 0;
}

static int
put_key(const char *list[16], size_t *n, const char *value, const char *option)
{
	if (*n == 16)
		return REFUSE(REASON_USAGE, option, "at most 16 at once");
	list[(*n)++] = value;
	return 0;
}

static int
parse_threshold(unsigned *ret, const char *text)
{
	uint64_t n = 0;

	if (number_u64(&n, text, 20) != 0 || n < 1)
		return REFUSE(REASON_USAGE, "--threshold", "must be a number from 1 to 20");
	*ret = (unsigned)n;
	return 0;
}

static int
read_edits(const struct command_call *call, struct edits *e)
{
	static const char *const options[] = { "add", "remove", "threshold" };

	for (size_t o = 0; o < ARRAY_LEN(options); o++)
		for (size_t i = 0; i < command_option_n(call, options[o]); i++) {
			struct release_role_edit *of = NULL;
			const char *value = NULL;
			int r = edit_of(e, command_option_at(call, options[o], i), options[o], &of, &value);

			if (!r && o == 0)
				r = put_key(of->add, &of->n_add, value, "--add");
			else if (!r && o == 1)
				r = put_key(of->remove, &of->n_remove, value, "--remove");
			r = r ?: o == 2 ? parse_threshold(&of->threshold, value) : 0;
			if (r)
				return r;
		}
	return 0;
}

static int
run_root_draft(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	SCOPED_JSON *next = NULL;
	const char *valid = command_option(call, "valid");
	struct edits edits = { .n = 0 };
	uint64_t life_us = RELEASE_ROOT_LIFE_S * CLOCK_US_PER_S;
	int r = read_edits(call, &edits);

	if (!r && valid && clock_parse_span(&life_us, valid) != 0)
		return REFUSE(REASON_USAGE, "--valid", "must be a span like 365d");
	r = r ?: release_commands_open(call, call->operands[0], &repo);
	r = r ?: release_role_root(repo, edits.list, edits.n, life_us, &next);
	r = r ?: release_ceremony_new(&c, repo, next);
	return r ?: release_commands_write_draft(call, &c, command_option(call, "out"));
}

/* --- delegate ------------------------------------------------------------------------------------- */
static const struct command_option delegate_options[] = {
	TO_OPTION,
	{ .name = "add", .value = "KEY", .help = "one more key: the 64 digits that keys new says, or a key file", .repeated = true },
	{ .name = "remove", .value = "KEY", .help = "one key less: as above, or its id", .repeated = true },
	{ .name = "threshold", .value = "N", .help = "how many must sign (1)" },
	{ .name = "path", .value = "PATH", .help = "what they vouch for (services/NAME/*/*)", .repeated = true },
	{ .name = "revoke", .help = "take the delegation back" },
	{ .name = "adopt", .help = "with --revoke: its releases stay, vouched for by targets (else they are withdrawn)" },
	OUT_OPTION,
	KEYS_OPTION,
	{ 0 },
};

static int
read_delegation(const struct command_call *call, struct release_role_edit *e, const char *paths[16], size_t *n_paths)
{
	const char *threshold = command_option(call, "threshold");
	int r = threshold ? parse_threshold(&e->threshold, threshold) : 0;

	for (size_t i = 0; !r && i < command_option_n(call, "add"); i++)
		r = put_key(e->add, &e->n_add, command_option_at(call, "add", i), "--add");
	for (size_t i = 0; !r && i < command_option_n(call, "remove"); i++)
		r = put_key(e->remove, &e->n_remove, command_option_at(call, "remove", i), "--remove");
	for (size_t i = 0; !r && i < command_option_n(call, "path"); i++)
		r = put_key(paths, n_paths, command_option_at(call, "path", i), "--path");
	return r;
}

static int
take_back(struct command_call *call, struct release_repo *repo)
{
	SCOPED_JSON *releases = NULL;
	bool adopt = command_option(call, "adopt"), draft = command_option(call, "out");
	json_t *next = NULL;
	int r = release_role_revoke(repo, call->operands[0], adopt, &next, &releases);

	r = r ?: release_commands_change(call, repo, next);
	for (size_t i = 0; !r && i < json_array_size(releases); i++)
		command_say(call, "%s: %s", json_string_value(json_array_get(releases, i)),
			!draft ? adopt ? "vouched for by targets now" : "withdrawn"
			       : adopt ? "vouched for by targets, once the draft is published"
				       : "withdrawn, once the draft is published");
	return r;
}

static int
run_delegate(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	struct release_role_edit e = { .role = call->operands[0] };
	const char *paths[16];
	size_t n_paths = 0;
	json_t *next = NULL;
	int r = read_delegation(call, &e, paths, &n_paths);

	if (!r && command_option(call, "adopt") && !command_option(call, "revoke"))
		r = REFUSE(REASON_USAGE, "--adopt", "goes with --revoke");
	r = r ?: release_commands_open(call, command_option(call, "to"), &repo);
	if (!r && command_option(call, "revoke"))
		return take_back(call, repo);
	r = r ?: release_role_delegate(repo, &e, paths, n_paths, &next);
	return r ?: release_commands_change(call, repo, next);
}

/* --- floor, withdraw, renew ----------------------------------------------------------------------- */
static const struct command_option change_options[] = { TO_OPTION, OUT_OPTION, KEYS_OPTION, { 0 } };

static int
run_floor(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	json_t *next = NULL;
	uint64_t counter = 0;
	int r;

	if (number_u64(&counter, call->operands[1], INT64_C(1) << 53) != 0 || !counter)
		return REFUSE(REASON_USAGE, call->operands[1], "a counter is a number from 1");
	r = release_commands_open(call, command_option(call, "to"), &repo);
	r = r ?: release_role_floor(repo, call->operands[0], counter, &next);
	return r ?: release_commands_change(call, repo, next);
}

static const struct command_option withdraw_options[] = {
	TO_OPTION,
	{ .name = "reason", .value = "TEXT", .help = "why; it is published", .required = true },
	OUT_OPTION,
	KEYS_OPTION,
	{ 0 },
};

static int
run_withdraw(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	json_t *next = NULL;
	int r = release_commands_open(call, command_option(call, "to"), &repo);

	r = r ?: release_role_withdraw(repo, call->operands[0], call->operands[1], command_option(call, "reason"), &next);
	return r ?: release_commands_change(call, repo, next);
}

static int
run_renew(struct command_call *call)
{
	SCOPED(release_repo_closep) struct release_repo *repo = NULL;
	SCOPED_JSON *signed_ = NULL;
	json_t *next;
	int r = release_commands_open(call, command_option(call, "to"), &repo);

	if (!r && !strcmp(call->operands[0], RELEASE_PEOPLE_ROLE))
		r = REFUSE(REASON_USAGE, call->operands[0], "officers renew it: people sign");
	r = r ?: release_role_renew(repo, call->operands[0], &signed_);
	if (r)
		return r;
	next = json_pack("{s:O}", call->operands[0], signed_);
	return next ? release_commands_change(call, repo, next) : FAULT(-ENOMEM);
}

const struct command release_commands_roles_all[] = {
	{ .name = "root draft",
		.args = "REPO",
		.min = 1,
		.max = 1,
		.summary = "draft a new root: other keys, other thresholds, a new end",
		.details = "ROLE is root, targets, snapshot or timestamp.  Nothing changes until the draft is signed and "
			   "published.\n"
			   "Where targets get other keys, all that they list is in the draft too, to be vouched for anew; "
			   "withdraw\n"
			   "first what is not to be.",
		.examples = "mainstay-release root draft repo --out root2.json --add timestamp=host/timestamp.key \\\n"
			    "    --remove timestamp=keys/timestamp.key\n"
			    "mainstay-release root draft repo --out root2.json --add root=HEX64 --threshold root=3",
		.options = root_draft_options,
		.run = run_root_draft },
	{ .name = "delegate",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "let a service's own people sign its releases, or change who they are",
		.details = "Signed by targets.  NAME is the role, and the service unless --path says more; people are the "
			   "officers.\n"
			   "Where a role's own document was signed by keys that go, it is in the draft, too.",
		.examples = "mainstay-release delegate redis --to repo --add HEX64 --add redis-2.key --threshold 2\n"
			    "mainstay-release delegate people --to repo --add officer-4.key --remove officer-1.key --out d.json\n"
			    "mainstay-release delegate redis --to repo --revoke --adopt",
		.options = delegate_options,
		.run = run_delegate },
	{ .name = "floor",
		.args = "SERVICE COUNTER",
		.min = 2,
		.max = 2,
		.summary = "no site takes a release of the service below this counter",
		.details = "Signed by targets.  A floor never falls, and never stands above the newest release.",
		.examples = "mainstay-release floor redis 7 --to repo",
		.options = change_options,
		.run = run_floor },
	{ .name = "withdraw",
		.args = "SERVICE VERSION",
		.min = 2,
		.max = 2,
		.summary = "no longer offer a release",
		.details = "Sites that run it go on; that version is never published again.",
		.examples = "mainstay-release withdraw redis 7.0.15 --reason \"CVE-2026-0001\" --to repo",
		.options = withdraw_options,
		.run = run_withdraw },
	{ .name = "renew",
		.args = "ROLE",
		.min = 1,
		.max = 1,
		.summary = "sign targets or a delegated role anew before it ends",
		.examples = "mainstay-release renew targets --to repo --keys keys",
		.options = change_options,
		.run = run_renew },
	{ 0 },
};
