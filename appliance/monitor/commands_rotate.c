#include "appliance/monitor/commands_rotate.h"

#include <errno.h>

#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands_hub.h"
#include "appliance/trust/sha256.h"

enum { ASK_MS = 30 * 1000 };

static int
print_rotated(struct command_call *call, json_t *take_answer)
{
	SCOPED_JSON *answer = take_answer;
	uint8_t key[32], digest[SHA256_LEN];
	char text[SHA256_TEXT_MAX];

	if (!hex_decode(key, sizeof(key), json_text(answer, "key")))
		return FAULT(-EPROTO);
	sha256_of(digest, key, sizeof(key));
	if (json_put_sha256(answer, "fingerprint", digest) < 0)
		return FAULT(-ENOMEM);
	if (call->json)
		return command_print_json("Rotation", STEAL(answer));
	command_say(call, "%s has another key; its fingerprint is", json_text(answer, "site"));
	command_say(call, "  %s", sha256_text(text, digest));
	command_say(call, "The old one counts no more. The audit key stays: the log goes on.");
	return 0;
}

static int
by_network(struct commands_hub *hub, const json_t *begun)
{
	json_t *answer = NULL;
	int r = commands_hub_post(hub, begun, &answer);

	if (r == REASON_UNREACHABLE && !hub->call->json)
		command_say(hub->call,
			"The old key stays until the hub has answered; run this again, or leave it to "
			"the courier.");
	return r ?: print_rotated(hub->call, answer);
}

int
commands_rotate(struct command_call *call)
{
	const char *out = command_option(call, "file"), *in = command_option(call, "answer");
	struct commands_hub hub = { .call = call, .verb = "rotate.finish", .again = " --rotate" };
	char kept[COMMANDS_HUB_CA_MAX];
	SCOPED_JSON *begun = NULL;
	json_t *answer = NULL;
	int r = commands_hub_ca(call, kept, &hub.ca);

	if (r == 0 && in) {
		r = commands_hub_answer(&hub, in, &answer);
		return r ?: print_rotated(call, answer);
	}
	r = r ?: ask_monitor(call, call_new("rotate.begin"), ASK_MS, &begun);
	if (r)
		return r;
	if (!hex_decode(hub.reply, sizeof(hub.reply), json_text(begun, "reply")))
		return FAULT(-EPROTO);
	return out ? commands_hub_write(&hub, begun, out) : by_network(&hub, begun);
}
