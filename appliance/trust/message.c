#include "appliance/trust/message.h"

#include "appliance/base/scope.h"

enum { KIB = 1024, SIGS_ROOM = 16 * KIB };

static const struct {
	const char *word;
	const char *name_space;
	size_t max;
} messages[MESSAGE_MAX] = {
	[MESSAGE_REQUEST] = { "request", "request@mainstay", 32 * KIB },
	[MESSAGE_PERMIT] = { "permit", "permit@mainstay", 8 * KIB },
	[MESSAGE_OWNER] = { "owner", "owner@mainstay", 8 * KIB },
	[MESSAGE_SITE] = { "site", "site@mainstay", 16 * KIB },
	[MESSAGE_LOGIN] = { "login", "login@mainstay", 16 * KIB },
	[MESSAGE_ROLLOUT] = { "rollout", "rollout@mainstay", 64 * KIB },
	[MESSAGE_STATEMENT] = { "statement", "statement@mainstay", 64 * KIB },
	/* stdout and stderr stand in it: megabytes, base64 in base64 */
	[MESSAGE_RESULT] = { "result", "result@mainstay", 4096 * KIB },
	[MESSAGE_PLAN] = { "plan", "plan@mainstay", 256 * KIB },
	[MESSAGE_DAEMON] = { "daemon", "daemon@mainstay", 4 * KIB },
	[MESSAGE_ENROL] = { "enrol", "enrol@mainstay", 16 * KIB },
	[MESSAGE_ASSIGNMENT] = { "assignment", "assignment@mainstay", 64 * KIB },
	[MESSAGE_ROTATE] = { "rotate", "rotate@mainstay", 4 * KIB },
	[MESSAGE_GOODBYE] = { "goodbye", "goodbye@mainstay", 4 * KIB },
	[MESSAGE_DRY_RUN] = { "dry-run", "dry-run@mainstay", 32 * KIB },
	[MESSAGE_CANCEL] = { "cancel", "cancel@mainstay", 8 * KIB },
	/* its text of 32 KiB at most, of which a byte may take two as JSON */
	[MESSAGE_PROGRESS] = { "progress", "progress@mainstay", 72 * KIB },
	[MESSAGE_PERMITS] = { "permits", "permits@mainstay", 256 * KIB },
};

const char *
message_namespace(enum message m)
{
	return messages[m].name_space;
}

enum message
message_of(const char *name_space)
{
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		if (!strcmp(messages[i].name_space, name_space))
			return (enum message)i;
	}
	return MESSAGE_MAX;
}

const char *
message_word(enum message m)
{
	return messages[m].word;
}

size_t
message_payload_max(enum message m)
{
	return messages[m].max;
}

size_t
message_envelope_max(enum message m)
{
	return (messages[m].max + 2) / 3 * 4 + SIGS_ROOM;
}
