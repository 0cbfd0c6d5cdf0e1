/* The commands of mainstay-release. */
#pragma once

#include "appliance/base/command.h"

extern const struct command release_commands[];

/* Of these, kept in a file of their own. */
extern const struct command_option release_commands_people_set_options[];
extern const struct command_option release_commands_people_sign_options[];
extern const struct command_option release_commands_card_options[];
int release_commands_people_set(struct command_call *call);
int release_commands_people_sign(struct command_call *call);
int release_commands_card(struct command_call *call);

/* --- shared by both, not for others --------------------------------------------------------------- */
struct release_keys;
struct release_repo;

#define KEYS_OPTION                                                                                \
	{                                                                                          \
		.name = "keys", .value = "DIR",                                                    \
		.help = "folder of key files (else $MAINSTAY_KEYS, \"keys\" beside REPO, "         \
			"\"keys\" here)"                                                           \
	}

/* The keys of --keys, or of where they are looked for without it. */
int release_commands_keys(
	const struct command_call *call, const char *repo, struct release_keys *keys);
int release_commands_open(
	const struct command_call *call, const char *repo, struct release_repo **ret);

