#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/enrol/card.h"
#include "appliance/enrol/card_show.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/enrol/token.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/commands_hub.h"
#include "appliance/monitor/commands_record.h"
#include "appliance/monitor/commands_rotate.h"
#include "appliance/monitor/floor.h"
#include "appliance/monitor/proxy.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

enum {
	ASK_MS = 30 * 1000,
	PAUSE_MS = 500,
	BUSY_TRIES = 40,  /* while the courier comes up */
	FAR_MS = 3600 * 1000,
};

const struct command_option commands_enrol_options[] = {
	{ .name = "card", .value = "FILE", .help = "the vendor's card" },
	{ .name = "token-file", .value = "F", .help = "the enrolment token; - is stdin" },
	{ .name = "show", .help = "print what would be agreed to; nothing is sent" },
	{ .name = "accept",
		.value = "sha256:HEX",
		.help = "agree to the card with this fingerprint" },
	{ .name = "proxy",
		.value = "URL",
		.help = "the way out, http://[NAME:PASSWORD@]HOST:PORT, kept in etc/proxy; - is stdin" },
	{ .name = "ca",
		.value = "FILE",
		.help = "the CA of the hub or of a TLS-opening proxy (PEM), kept for later" },
	{ .name = "file", .value = "OUT", .help = "write the request instead of sending it" },
	{ .name = "answer",
		.value = "IN",
		.help = "the hub's answer to such a request, as curl -i prints it" },
	{ .name = "record",
		.value = "F",
		.help = "the engineer's word for this site, as mainstay-desk accept --out wrote it" },
	{ .name = "rotate", .help = "give this site another key, signed by the old one and the new one" },
	{ 0 },
};

struct enrolling {
	struct command_call *call;
	struct card *card;
	struct token token;
	char accept[SHA256_TEXT_MAX]; /* the fingerprint, in its one form */
	char proxy[PROXY_MAX];
	const char *ca; /* path, or NULL for the system's */
	char ca_kept[COMMANDS_HUB_CA_MAX];
};

/* --- reading what the person gives --------------------------------------------------------------- */
static int
read_card(struct enrolling *e, struct buf *bytes)
{
	const char *file = command_option(e->call, "card");
	int r;

	if (!file)
		return REFUSE(REASON_USAGE, "--card", "is needed");
	r = command_read_file(file, CARD_MAX, bytes);
	return r ?: card_read(&e->card, bytes->data, bytes->len);
}

static int
read_token(struct enrolling *e, bool needed)
{
	const char *file = command_option(e->call, "token-file");
	SCOPED(buf_wipe) struct buf b = BUF_MAX(TOKEN_FILE_MAX);
	int r;

	if (!file)
		return needed ? REFUSE(REASON_USAGE, "--token-file", "is needed") : 0;
	r = command_read_file(file, TOKEN_FILE_MAX, &b);
	return r ?: token_parse(&e->token, b.data, b.len);
}

static int
show(struct enrolling *e)
{
	const struct token *token = command_option(e->call, "token-file") ? &e->token : NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(64 * 1024);
	json_t *doc = NULL;
	int r;

	if (e->call->json) {
		r = card_show_json(&doc, e->card, token);
		return r ? FAULT(r) : command_print_json("Card", doc);
	}
	r = card_show_text(&text, e->card, token,
		&(struct card_given){ command_option(e->call, "card"), command_option(e->call, "token-file"),
			command_option(e->call, "ca"), command_option(e->call, "proxy") != NULL });
	if (r)
		return FAULT(r);
	command_say(e->call, "%s", buf_text(&text));
	return 0;
}

/* --- the monitor --------------------------------------------------------------------------------- */
static int
begin_once(struct enrolling *e, const struct buf *card, const char *offset_ms, json_t **ret)
{
	struct call_request *req = call_new("enrol.begin");
	char secret[2 * TOKEN_SECRET + 1], expires[CLOCK_TEXT_MAX];

	call_param(req, "site", e->token.site);
	call_param(req, "customer", e->token.customer);
	call_param(req, "secret", hex_encode(secret, e->token.secret, TOKEN_SECRET));
	call_param(req, "expires", clock_format(expires, e->token.expires_us));
	call_param(req, "accept", e->accept);
	call_param(req, "proxy", e->proxy);
	if (offset_ms)
		call_param(req, "offset_ms", offset_ms);
	call_body(req, card->data, card->len);
	return ask_monitor(e->call, req, ASK_MS, ret);
}

/* Right after a start the courier may not have told its key yet. */
static int
begin(struct enrolling *e, const struct buf *card, const char *offset_ms, json_t **ret)
{
	int r = begin_once(e, card, offset_ms, ret);

	for (unsigned i = 0; r == REASON_BUSY && i < BUSY_TRIES; i++) {
		(void)poll(NULL, 0, PAUSE_MS);
		r = begin_once(e, card, offset_ms, ret);
	}
	return r;
}

static int
print_outcome(struct enrolling *e, json_t *take_answer, const char *proxy)
{
	SCOPED_JSON *answer = take_answer;
	bool accepted = strcmp(json_text(answer, "status"), "accepted") == 0;
	bool recorded = json_is_true(json_object_get(answer, "recorded"));

	/* Without it the courier brings the metadata later; nothing is lost but time. */
	if (accepted && !recorded && proxy)
		recorded = commands_record_fetch(e->call, e->card->hub.url, e->ca, proxy);
	(void)json_object_set_new(answer, "recorded", json_boolean(recorded));
	if (e->call->json)
		return command_print_json("Enrolment", STEAL(answer));
	command_say(e->call, "%s of %s: %s", json_text(answer, "site"),
		json_text(answer, "customer"),
		recorded	   ? "enrolled, and an engineer of the vendor vouches for it"
			: accepted ? "accepted; the site record will be checked once the vendor's "
				     "metadata is here"
				   : "enrolled; an engineer of the vendor has to accept it now");
	command_say(e->call, "This site's key has the fingerprint %s; the vendor's engineer may ask you for it.",
		json_text(answer, "fingerprint"));
	command_say(e->call, "All three switches are as they were; see mainstay status.");
	return 0;
}

static struct commands_hub
hub_of(const struct enrolling *e)
{
	return (struct commands_hub){ .call = e->call, .verb = "enrol.finish", .again = "", .ca = e->ca };
}

static int
take_answer(struct enrolling *e, const char *file)
{
	const struct commands_hub hub = hub_of(e);
	json_t *answer = NULL;
	int r = commands_hub_answer(&hub, file, &answer);

	return r ?: print_outcome(e, answer, NULL);
}

static bool
clocks_are_apart(const struct commands_hub *hub)
{
	return hub->heard && (hub->offset_ms > FAR_MS || hub->offset_ms < -FAR_MS);
}

/* --- the command --------------------------------------------------------------------------------- */
static int
accept_card(struct enrolling *e, const struct buf *card)
{
	const char *out = command_option(e->call, "file");
	SCOPED_JSON *begun = NULL;
	struct commands_hub hub;
	json_t *answer = NULL;
	uint8_t fingerprint[SHA256_LEN];
	char text[SHA256_TEXT_MAX];
	int r;

	if (!command_option(e->call, "accept"))
		return REFUSE(REASON_USAGE, "--accept",
			"is needed: look with --show, compare the fingerprint, then accept it");
	r = card_fingerprint_parse(fingerprint, command_option(e->call, "accept"), "--accept");
	if (r)
		return r;
	(void)sha256_text(e->accept, fingerprint);
	/* The monitor compares again: this is for whoever mistyped, before anything is touched. */
	if (!sha256_same(fingerprint, e->card->fingerprint, sizeof(fingerprint)))
		return REFUSE(REASON_ALTERED, "--accept", "is not this card's fingerprint; it has %s",
			sha256_text(text, e->card->fingerprint));
	r = commands_hub_ca(e->call, e->ca_kept, &e->ca);
	r = r ?: proxy_option(e->proxy, e->call->paths.etc, command_option(e->call, "proxy"));
	r = r ?: begin(e, card, NULL, &begun);
	if (r)
		return r;
	hub = hub_of(e);
	memcpy(hub.reply, e->card->hub.reply, sizeof(hub.reply));
	if (out)
		return commands_hub_write(&hub, begun, out);
	r = commands_hub_post(&hub, begun, &answer);
	if (r > 0 && clocks_are_apart(&hub)) {
		char offset[COMMANDS_HUB_OFFSET_MAX];

		/* The courier's key, for one, ends by a time that the hub judges: once more, by its clock. */
		json_decref(begun);
		begun = NULL;
		r = begin(e, card, commands_hub_offset(offset, &hub), &begun);
		r = r ?: commands_hub_post(&hub, begun, &answer);
	}
	return r ?: print_outcome(e, answer, json_text(begun, "proxy"));
}

int
commands_enrol(struct command_call *call)
{
	SCOPED(buf_done) struct buf card = BUF_MAX(CARD_MAX);
	const char *answer = command_option(call, "answer");
	struct enrolling e = { .call = call };
	bool is_show = command_option(call, "show") != NULL;
	int r;

	if (command_option(call, "record"))
		return commands_record_take(call, command_option(call, "record"));
	if (command_option(call, "rotate"))
		return commands_rotate(call);
	if (answer)
		return take_answer(&e, answer);
	r = read_card(&e, &card);
	r = r ?: read_token(&e, !is_show);
	if (r == 0)
		r = is_show ? show(&e) : accept_card(&e, &card);
	token_wipe(&e.token);
	card_free(e.card);
	return r;
}
