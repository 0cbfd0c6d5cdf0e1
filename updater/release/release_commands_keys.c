/* The commands about key files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "updater/release/release_commands.h"
#include "updater/release/release_keys.h"

/* --- new ------------------------------------------------------------------------------------------ */
static const struct command_option new_options[] = {
	{ .name = "dir", .value = "DIR", .help = "where to put them", .required = true },
	{ .name = "root", .value = "N", .help = "how many root keys (3)" },
	{ .name = "officers", .value = "N", .help = "how many officers' keys (3)" },
	{ .name = "name", .value = "NAME", .help = "make this one alone (root-4, redis-1)", .repeated = true },
	{ .name = "cost", .value = "N", .help = "2^N scrypt steps a try, 10 to 20 (16)" },
	{ .name = "no-passphrase", .help = "for a host that signs alone: the timestamp's key, no other" },
	{ 0 },
};

static int
parse_count(const char *text, unsigned *ret, const char *option)
{
	uint64_t n = 0;

	if (number_u64(&n, text, 20) != 0 || n < 1)
		return REFUSE(REASON_USAGE, option, "must be a number from 1 to 20");
	*ret = (unsigned)n;
	return 0;
}

static int
parse_cost(const char *text, unsigned *ret)
{
	uint64_t n = 0;

	if (text && (number_u64(&n, text, RELEASE_KEYFILE_COST_MAX) != 0 || n < RELEASE_KEYFILE_COST_MIN))
		return REFUSE(REASON_USAGE, "--cost", "must be a number from %d to %d", RELEASE_KEYFILE_COST_MIN,
			RELEASE_KEYFILE_COST_MAX);
	*ret = (unsigned)n;
	return 0;
}

static const char *
keep(const char *name)
{
	return !strncmp(name, "root", 4)	? "offline, each with another person"
		: !strncmp(name, "officer", 7)	? "offline, with that officer"
		: !strcmp(name, "timestamp")	? "on the release host"
		: !strcmp(name, "targets") ||
			!strcmp(name, "snapshot") ? "offline, with the release engineer"
						  : "offline, with who signs";
}

static const char *
protection(const struct release_key *key)
{
	return key->file.plain				     ? "NO PASSPHRASE"
		: key->file.cost < RELEASE_KEYFILE_COST_WEAK ? "WEAK: quickly tried"
							     : "passphrase";
}

static int
print_keys(struct command_call *call, const struct release_keys *keys, bool new)
{
	SCOPED_JSON *items = json_array();

	for (size_t i = 0; i < keys->n; i++) {
		const struct release_key *key = keys->key[i];
		SCOPED_JSON *item = json_pack("{s:s, s:s, s:I}", "key", key->name, "protection", protection(key), "cost",
			(json_int_t)key->file.cost);
		char id[65];
		int r = release_keys_id(id, key->file.public);

		r = r ?: json_put_hex(item, "public", key->file.public, sizeof(key->file.public));
		r = r ?: json_put_text(item, "id", id);
		r = r ?: json_put_text(item, "keep", keep(key->name));
		if (r || json_array_append(items, item) < 0)
			return FAULT(r ?: -ENOMEM);
		if (key->file.plain && strcmp(key->name, "timestamp") != 0)
			(void)fprintf(stderr, "%s: has NO PASSPHRASE: whoever copies the file signs as you do\n", key->name);
	}
	return command_print_items(call, "Keys", STEAL(items),
		new ? (const char *const[]){ "key", "public", "keep", NULL }
		    : (const char *const[]){ "key", "public", "id", "protection", NULL });
}

static int
run_new(struct command_call *call)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	const char *names[RELEASE_KEYS_MAX];
	struct release_keys_plan plan = { .names = names, .n_names = command_option_n(call, "name"),
		.plain = command_option(call, "no-passphrase") != NULL };
	int r;

	_Static_assert(ARRAY_LEN(names) >= COMMAND_OPERANDS_MAX, "no command line has more options than that");
	for (size_t i = 0; i < plan.n_names; i++)
		names[i] = command_option_at(call, "name", i);
	if (plan.plain && !plan.n_names)
		return REFUSE(REASON_USAGE, "--no-passphrase", "is for keys that are named: --name timestamp");
	r = parse_count(command_option(call, "root") ?: "3", &plan.n_root, "--root");
	r = r ?: parse_count(command_option(call, "officers") ?: "3", &plan.n_officers, "--officers");
	r = r ?: parse_cost(command_option(call, "cost"), &plan.cost);
	r = r ?: release_commands_passphrase(call, &passphrase);
	keys.passphrase = passphrase;
	r = r ?: release_keys_make(&keys, command_option(call, "dir"), &plan);
	return r ?: print_keys(call, &keys, true);
}

/* --- list ----------------------------------------------------------------------------------------- */
static const struct command_option list_options[] = { KEYS_OPTION, { 0 } };

static int
run_list(struct command_call *call)
{
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	int r = release_commands_keys(call, NULL, &keys);

	return r ?: print_keys(call, &keys, false);
}

/* --- passphrase ----------------------------------------------------------------------------------- */
static const struct command_option passphrase_options[] = {
	{ .name = "new-passphrase-file", .value = "FILE", .help = "the new one is the first line of it" },
	{ .name = "new-passphrase-fd", .value = "N", .help = "the new one comes from this descriptor" },
	{ .name = "cost", .value = "N", .help = "2^N scrypt steps a try, 10 to 20 (16)" },
	{ .name = "no-passphrase", .help = "take it away: the timestamp's key, no other" },
	{ 0 },
};

static int
open_seed(struct release_passphrase *old, const struct release_keyfile *f, const char *file, uint8_t seed[32])
{
	for (bool wrong = false;; wrong = true) {
		const char *pass = NULL;
		size_t len = 0;
		int r = f->plain || f->former ? 0 : release_passphrase_get(old, file, wrong, &pass, &len);

		if (r)
			return r;
		r = release_keyfile_open(f, file, pass, len, seed);
		if (r != REASON_DENIED)
			return r;
	}
}

static int
change(struct command_call *call, const char *file, const uint8_t seed[32])
{
	SCOPED(release_passphrase_freep) struct release_passphrase *new = NULL;
	bool plain = command_option(call, "no-passphrase");
	const char *pass = NULL;
	size_t len = 0;
	unsigned cost = 0;
	int r = parse_cost(command_option(call, "cost"), &cost);

	r = r ?: release_passphrase_new(&new, command_option(call, "new-passphrase-file"),
		       command_option(call, "new-passphrase-fd"));
	if (!r && !plain)
		r = release_passphrase_make(new, file, &pass, &len);
	return r ?: release_keyfile_write(AT_FDCWD, file, seed, pass, len, cost ?: RELEASE_KEYFILE_COST);
}

static int
run_passphrase(struct command_call *call)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *old = NULL;
	SCOPED(release_keyfile_done) struct release_keyfile f = { .plain = false };
	SCOPED(release_keys_done) struct release_keys now = { .n = 0 };
	const char *file = call->operands[0];
	uint8_t seed[32];
	int r = release_keyfile_read(&f, AT_FDCWD, file);

	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, file, "there is no such key file");
	r = r ?: release_commands_passphrase(call, &old);
	r = r ?: open_seed(old, &f, file, seed);
	r = r ?: change(call, file, seed);
	sha256_wipe(seed, sizeof(seed));
	r = r ?: release_keys_add(&now, file);
	if (r)
		return r;
	command_say(call, "%s: %s", file, protection(now.key[0]));
	return call->json ? command_print_json("Key", json_pack("{s:s, s:s, s:I}", "file", file, "protection",
						 protection(now.key[0]), "cost", (json_int_t)now.key[0]->file.cost))
			  : 0;
}

const struct command release_commands_keys_all[] = {
	{ .name = "keys new",
		.summary = "make the vendor's signing keys",
		.details = "Makes root-1..N, targets, snapshot, timestamp and officer-1..N as Ed25519 keys under a "
			   "passphrase\n"
			   "(PKCS#8, which openssl pkey reads), each readable by you alone, and says where each is to be "
			   "kept.\n"
			   "Keys that are there are never replaced.  The passphrase is asked for, or comes from\n"
			   "--passphrase-file (0600) or --passphrase-fd; never from argv or the environment.",
		.examples = "mainstay-release keys new --dir keys\n"
			    "mainstay-release keys new --dir keys --name root-4\n"
			    "mainstay-release keys new --dir host --name timestamp --no-passphrase",
		.options = new_options,
		.run = run_new },
	{ .name = "keys list",
		.summary = "show keys, their public halves and how they are protected",
		.details = "Needs no passphrase.  ID is what drafts and refusals call a key.",
		.examples = "mainstay-release keys list --keys keys",
		.options = list_options,
		.run = run_list },
	{ .name = "keys passphrase",
		.args = "FILE",
		.min = 1,
		.max = 1,
		.summary = "give a key file another passphrase",
		.details = "Also gives one to a key that has none, as files of an earlier form (\"ed25519:HEX\") do.",
		.examples = "mainstay-release keys passphrase keys/root-1.key",
		.options = passphrase_options,
		.run = run_passphrase },
	{ 0 },
};
