/* The commands of mainstay-release. */
#pragma once

#include "appliance/base/command.h"

extern const struct command release_commands[];
extern const struct command release_commands_card_all[];
extern const struct command release_commands_drafts_all[];
extern const struct command release_commands_keys_all[];
extern const struct command release_commands_roles_all[];
extern const struct command release_commands_expiry_all[];

/* All of them, as a program's tables. */
#define RELEASE_COMMANDS_TABLES                                                                     \
	{ release_commands, release_commands_expiry_all, release_commands_keys_all, \
		release_commands_card_all, release_commands_roles_all, release_commands_drafts_all }

/* Of every command: where passphrases come from. */
extern const struct command_option release_commands_options[];

/* Of these, kept in a file of their own. */
extern const struct command_option release_commands_people_set_options[];
extern const struct command_option release_commands_people_sign_options[];
extern const struct command_option release_commands_card_options[];
int release_commands_people_set(struct command_call *call);
int release_commands_people_sign(struct command_call *call);
int release_commands_card(struct command_call *call);

/* --- shared by both, not for others --------------------------------------------------------------- */
struct release_ceremony;
struct release_keys;
struct release_passphrase;
struct release_repo;

#define KEYS_OPTION                                                                                \
	{                                                                                          \
		.name = "keys", .value = "DIR",                                                    \
		.help = "folder of key files (else $MAINSTAY_KEYS, \"keys\" beside REPO, "         \
			"\"keys\" here)"                                                           \
	}

#define OUT_OPTION                                                                                 \
	{                                                                                          \
		.name = "out", .value = "DRAFT", .help = "write a draft for those whose keys are elsewhere" \
	}
#define TO_OPTION                                                                                  \
	{                                                                                          \
		.name = "to", .value = "REPO", .help = "the repository", .required = true          \
	}
#define KNOWN_OPTION                                                                               \
	{                                                                                          \
		.name = "known", .value = "FILE", .help = "a root document or trust card that you hold, to compare with" \
	}

/* --passphrase-file or --passphrase-fd, else the terminal. */
int release_commands_passphrase(const struct command_call *call, struct release_passphrase **ret);

/* The keys of --keys, or of where they are looked for without it. */
int release_commands_keys(
	const struct command_call *call, const char *repo, struct release_keys *keys);
/* The same, and with their passphrase; with --out none are needed. */
int release_commands_signers(const struct command_call *call, const char *repo, struct release_passphrase **ret,
	struct release_keys *keys);
/* Sign next (release_ceremony_new()) with keys and publish it; or, with --out, write the draft and say so
 * (*ret_published: false). */
int release_commands_finish(struct command_call *call, struct release_repo *repo, const struct release_keys *keys,
	const json_t *next, bool *ret_published);
/* The same for commands that have nothing more to say than which roles are new: with the keys of --keys, into --to. */
int release_commands_change(struct command_call *call, struct release_repo *repo, json_t *take_next);
/* The draft at out, and in words what it changes. */
int release_commands_write_draft(struct command_call *call, const struct release_ceremony *c, const char *out);
/* A fault in words, where it is the disk's: REASON_NO_SPACE where it is full, REASON_DENIED where folder cannot be written
 * (both logged); else r as it is. */
int release_commands_told(int r, const char *folder);
int release_commands_open(
	const struct command_call *call, const char *repo, struct release_repo **ret);

