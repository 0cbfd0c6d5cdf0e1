/* The owners' part of a command: what they guard takes --key, --owner and --out.
 *
 *	--key F     sign here, with a key file or (F.pub) by ssh-agent; may be given more than once
 *	--owner F   what --out wrote, signed elsewhere in F.sig (ssh-keygen -Y sign -n owner@mainstay F); may be given
 *	            more than once, for each owner's copy
 *	--out F     write what is to be signed, and do nothing else
 *
 * Private keys stay in this process; what goes to the monitor is an envelope of signatures. */
#pragma once

#include "appliance/base/command.h"

struct buf;

#define OWNER_COMMAND_OPTIONS                                                                      \
	{ .name = "key",                                                                           \
		.value = "F",                                                                      \
		.repeated = true,                                                                  \
		.help = "an owner's SSH key, where the policy in force names owners" },            \
		{ .name = "owner",                                                                 \
			.value = "F",                                                              \
			.repeated = true,                                                          \
			.help = "what --out wrote, signed by an owner in F.sig" },                 \
	{                                                                                          \
		.name = "out", .value = "F",                                                       \
		.help = "write what the owners sign (ssh-keygen -Y sign -n owner@mainstay), "      \
			"and do nothing else"                                                      \
	}

/* kind is the statement's; about the digest ("sha256:HEX"), or "NAME on" of a switch. */

/* Sign and gather: append the envelope to out, nothing where neither --key nor --owner was given.  Returns 0; what
 * the files, the keys or the monitor refuse; REASON_ALTERED (logged) where two --owner are not the same statement; or
 * a fault.  Blocks on the monitor and the agent. */
int owner_command_sign(struct command_call *call, const char *kind, const char *about,
	struct buf *out);

/* --out: write the statement and say how it is signed.  Returns 0, or a reason or fault as above. */
int owner_command_write(struct command_call *call, const char *kind, const char *about);
