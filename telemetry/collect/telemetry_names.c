#include "telemetry/collect/telemetry_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/pseudonym.h"

enum { LOOK_MS = 200, WAIT_MAX_S = 45 }; /* the collector looks once a period, 15 s */

static int
open_dir(const struct command_call *call, int *ret_fd)
{
	char path[sizeof(call->paths.lib) + 32];

	(void)snprintf(path, sizeof(path), "%s/telemetry", call->paths.lib);
	*ret_fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0 && errno == ENOENT)
		return REFUSE(REASON_UNREACHABLE, "collector", "has never run here (no %s)", path);
	return *ret_fd < 0 ? FAULT(-errno) : 0;
}

/* --- reveal ------------------------------------------------------------------------------------------------- */
/* "<ip:7f3a09c2e1b4>", or without the brackets that a shell would take for its own. */
static const char *
as_token(char out[PSEUDONYM_TOKEN_MAX + 2], const char *text)
{
	(void)snprintf(out, PSEUDONYM_TOKEN_MAX + 2, "%s%s%s", *text == '<' ? "" : "<", text, *text == '<' ? "" : ">");
	return out;
}

int
telemetry_names_reveal(struct command_call *call)
{
	static const char *const columns[] = { "token", "original", NULL };
	SCOPED(pseudonym_freep) struct pseudonym *p = NULL;
	SCOPED_JSON *items = json_array();
	SCOPED(scope_close) int fd = -1;
	char token[PSEUDONYM_TOKEN_MAX + 2];
	size_t i;
	int r = open_dir(call, &fd);

	r = r ?: pseudonym_open(&p, fd, false);
	if (r == 0 && !items)
		r = -ENOMEM;
	for (i = 0; r == 0 && i < call->n_operands; i++) {
		const char *original = pseudonym_reveal(p, as_token(token, call->operands[i]));

		if (!original && pseudonym_kept(p) < PSEUDONYM_KEPT)
			return REFUSE(REASON_NOT_FOUND, call->operands[i],
				"was not made here: it is none of the %zu pseudonyms that this site made so far", pseudonym_kept(p));
		if (!original)
			return REFUSE(REASON_NOT_FOUND, call->operands[i],
				"was made before the last %d pseudonyms of this site, which it keeps, or was not made here",
				(int)PSEUDONYM_KEPT);
		errno = 0;
		if (json_array_append_new(items, json_pack("{s:s, s:s}", "token", token, "original", original)) < 0)
			r = errno == ENOMEM
				? -ENOMEM
				: REFUSE(REASON_MALFORMED, call->operands[i], "stands for what is no text");
	}
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return command_print_items(call, "Revealed", STEAL(items), columns);
}

/* --- rotate ------------------------------------------------------------------------------------------------- */
/* The collector makes the next key once the old one is gone: not where there is no room for it. */
static int
need_room(int dir_fd)
{
	static const char name[] = FS_PASSING "room";
	static const char as_large[128]; /* as a key is, or larger */
	int r = fs_replace(dir_fd, name, as_large, sizeof(as_large), 0600);

	(void)unlinkat(dir_fd, name, 0); /* where it is left it is swept */
	return FAULT(r);
}

int
telemetry_names_rotate(struct command_call *call)
{
	SCOPED(scope_close) int fd = -1;
	uint64_t until_us = clock_mono_us() + WAIT_MAX_S * CLOCK_US_PER_S;
	struct stat st;
	int r;

	if (strcmp(call->operands[0], "rotate") != 0)
		return REFUSE(REASON_USAGE, call->operands[0], "can only be rotate");
	r = open_dir(call, &fd);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	r = need_room(fd);
	if (r < 0)
		return FAULT(r);
	if (unlinkat(fd, PSEUDONYM_KEY_NAME, 0) < 0)
		return errno == ENOENT ? REFUSE(REASON_NOT_FOUND, PSEUDONYM_KEY_NAME,
						 "is not there: the collector makes one when it starts")
				       : FAULT(-errno);
	while (fstatat(fd, PSEUDONYM_KEY_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (clock_mono_us() > until_us) {
			command_say(call, "the old key is gone; the collector makes another when it runs");
			return command_later();
		}
		(void)usleep(LOOK_MS * 1000);
	}
	command_say(call, "pseudonyms are made with another key from now on; the old ones can still be revealed");
	return call->json ? command_print_json("PseudonymsRotated", json_object()) : 0;
}
