#include "remote/desk/desk_order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/people.h"

enum {
	STATEMENT_TRIES = 8, /* half a second apart */
	OPERANDS = 3,	     /* SITE SERVICE OPERATION, then ARG=V... */
};

void
desk_order_done(struct desk_order *o)
{
	json_decref(o->args);
	o->definition = definition_free(o->definition);
	desk_trust_site_done(&o->site);
	desk_session_done(&o->d);
}

/* --- from words to a request ------------------------------------------------------------------ */
static const struct definition_param *
find_param(const struct definition_operation *op, const char *name, size_t len)
{
	for (size_t i = 0; i < op->n_args; i++)
		if (strlen(op->args[i].name) == len && memcmp(op->args[i].name, name, len) == 0)
			return &op->args[i];
	return NULL;
}

/* It names those that there are, as an engineer at night does not know them by heart. */
static int
refuse_arg(const struct definition_operation *op, const char *word)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);

	for (size_t i = 0; i < op->n_args; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", op->args[i].name);
	return REFUSE(REASON_USAGE, word, "%s has no such argument; it has %s", op->name, b.len ? buf_text(&b) : "none");
}

static int
take_arg(struct desk_order *o, const char *word, json_t *given)
{
	const char *equals = strchr(word, '=');
	const struct definition_param *param;
	json_t *value;
	int r;

	if (!equals)
		return REFUSE(REASON_USAGE, word, "an argument is given as NAME=VALUE");
	param = find_param(o->operation, word, (size_t)(equals - word));
	if (!param)
		return refuse_arg(o->operation, word);
	if (json_object_get(given, param->name))
		return REFUSE(REASON_USAGE, word, "given twice");
	r = definition_parse_value(param, equals + 1, &value);
	if (r)
		return r;
	return json_object_set_new(given, param->name, value) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
take_args(struct desk_order *o)
{
	const struct command_call *call = o->d.call;
	SCOPED_JSON *given = json_object(), *checked = NULL;
	int r = given ? 0 : FAULT(-ENOMEM);

	for (size_t i = OPERANDS; !r && i < call->n_operands; i++)
		r = take_arg(o, call->operands[i], given);
	/* Checked here to spare a journey; what is sent is what was typed, the site fills in its
	 * defaults. */
	r = r ?: definition_check_args(o->operation, given, &checked);
	if (!r)
		o->args = STEAL(given);
	return r;
}

int
desk_order_operation(
	const struct definition *definition, const char *name, const struct definition_operation **ret)
{
	const char *names[DEFINITION_LIST_MAX] = { NULL }, *near;
	size_t n = definition->n_operations;

	*ret = definition_operation(definition, name);
	if (*ret)
		return 0;
	for (size_t i = 0; i < n && i < ARRAY_LEN(names); i++)
		names[i] = definition->operations[i].name;
	near = nearest_word(name, names, n < ARRAY_LEN(names) ? n : ARRAY_LEN(names));
	return REFUSE(REASON_NOT_FOUND, name, "%s %s has no such operation%s%s%s", definition->name,
		definition->version, near ? "; did you mean \"" : ": `mainstay-desk operations SITE SERVICE` lists them",
		near ?: "", near ? "\"?" : "");
}

static int
find_operation(struct desk_order *o)
{
	const struct command_call *call = o->d.call;
	int r = desk_trust_definition(&o->d, &o->site, call->operands[1], &o->definition);

	return r ?: desk_order_operation(o->definition, call->operands[2], &o->operation);
}

static int
fill_request(struct desk_order *o, uint64_t life_us)
{
	const char *epoch = json_string_value(json_object_get(o->site.statement, "epoch"));
	const struct command_call *call = o->d.call;
	uint64_t now = clock_now_us();
	struct request *q = &o->request;
	uint8_t number[8];

	*q = (struct request){
		.id = o->id,
		.site = o->site.site,
		.customer = o->site.customer,
		.service = call->operands[1],
		.instance = call->operands[1],
		.operation = o->operation->name,
		.args = o->args,
		.reason = command_option(call, "reason"),
		.ticket = command_option(call, "ticket"),
		.engineer = o->d.me->name,
		.people_version = people_version(o->d.people),
		.not_before_us = now - REQUEST_EARLY_S * CLOCK_US_PER_S,
	};
	q->expires_us = now + life_us;
	if (!epoch || !hex_decode(q->epoch, sizeof(q->epoch), epoch))
		return REFUSE(REASON_MALFORMED, o->site.site, "its statement names no epoch");
	fs_random(q->nonce, sizeof(q->nonce));
	fs_random(number, sizeof(number));
	(void)snprintf(o->id, sizeof(o->id), "r-");
	hex_encode(o->id + 2, number, sizeof(number));
	memcpy(q->definition, o->definition->digest, sizeof(q->definition));
	return 0;
}

/* What was installed a moment ago stands in the site's next statement, which is on its way. */
static int
find_site(struct desk_order *o)
{
	const struct timespec pause = { .tv_nsec = 500 * 1000 * 1000 };
	const char *site = o->d.call->operands[0], *service = o->d.call->operands[1];
	int r = desk_trust_site(&o->d, site, false, &o->site);

	for (int i = 0; !r && i < STATEMENT_TRIES && !desk_trust_states(&o->site, service); i++) {
		(void)nanosleep(&pause, NULL);
		desk_trust_site_done(&o->site);
		r = desk_trust_site(&o->d, site, false, &o->site);
	}
	return r;
}

int
desk_order_make(struct desk_order *o, struct command_call *call, uint64_t life_us)
{
	int r = desk_session_open(&o->d, call);

	r = r ?: desk_session_load(&o->d);
	r = r ?: desk_trust_refresh(&o->d);
	r = r ?: find_site(o);
	r = r ?: desk_trust_heard(&o->site);
	r = r ?: find_operation(o);
	r = r ?: take_args(o);
	return r ?: fill_request(o, life_us);
}

/* --- what will run ---------------------------------------------------------------------------- */
json_t *
desk_order_json(const struct desk_order *o)
{
	const struct definition_operation *op = o->operation;
	SCOPED_JSON *argv = json_array();

	for (size_t i = 0; argv && i < op->argv.n; i++)
		if (json_array_append_new(argv, json_string(op->argv.item[i])) < 0)
			return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:O}", "site", o->request.site,
		"customer", o->request.customer, "service", o->request.service, "release",
		o->definition->version, "operation", op->name, "risk",
		definition_risk_text(op->risk), "verb", definition_verb_text(op->verb), "argv",
		argv, "args", o->args);
}

void
desk_order_say(const struct desk_order *o)
{
	const struct definition_operation *op = o->operation;
	struct command_call *call = o->d.call;
	char *args = json_dumps(o->args, JSON_COMPACT | JSON_SORT_KEYS);

	command_say(call, "site       %s (customer %s)", o->request.site, o->request.customer);
	command_say(call, "service    %s %s", o->request.service, o->definition->version);
	command_say(call, "operation  %s (%s)%s%s", op->name, definition_risk_text(op->risk),
		*op->help ? ": " : "", op->help);
	if (args && json_object_size(o->args) > 0)
		command_say(call, "arguments  %s", args);
	free(args);
	if (op->verb != DEFINITION_VERB_NONE) {
		command_say(call, "does       %s", definition_verb_text(op->verb));
		return;
	}
	for (size_t i = 0; i < op->argv.n; i++)
		command_say(call, "%s    %s", i ? "       " : "runs   ", op->argv.item[i]);
	for (size_t i = 0; i < json_array_size(op->secrets); i++)
		command_say(call, "%s    %s", i ? "       " : "secrets",
			json_string_value(json_array_get(op->secrets, i)));
}

int
desk_order_seal(struct desk_order *o, enum message type, json_t **ret)
{
	SCOPED_JSON *payload = NULL;
	int r = request_json(&payload, &o->request);

	r = r ?: envelope_digest(o->request.digest, payload);
	return r ?: envelope_seal_person(ret, type, payload, o->d.signer);
}
