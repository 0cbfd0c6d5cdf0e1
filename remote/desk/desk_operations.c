/* What an engineer can ask a site to do: the operations in the definitions of the releases that its own statement names.
 * Whether the customer's ceiling lets one run is theirs, and shown by the plan. */
#include <errno.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/service/definition.h"
#include "remote/desk/desk_actions.h"
#include "remote/desk/desk_order.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/desk/desk_words.h"

enum { TEXT_MAX = 16 * 1024 };

/* "count=N [name=TEXT]": what has a default may be left out. */
static void
usage_text(struct buf *out, const struct definition_operation *op)
{
	for (size_t i = 0; i < op->n_args; i++) {
		const struct definition_param *p = &op->args[i];

		buf_printf(out, p->fallback ? "%s[%s=V]" : "%s%s=V", out->len ? " " : "", p->name);
	}
}

static json_t *
row(const struct definition *definition, const struct definition_operation *op)
{
	SCOPED(buf_done) struct buf arguments = BUF_MAX(TEXT_MAX);

	usage_text(&arguments, op);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "service", definition->name, "release", definition->version,
		"operation", op->name, "risk", definition_risk_text(op->risk), "arguments", buf_text(&arguments), "help",
		op->help, "definition", op->json);
}

/* --- one, whole ------------------------------------------------------------------------------- */
static void
say_member(struct command_call *call, const char *label, const json_t *of, const char *name)
{
	const json_t *v = json_object_get(of, name);
	char *text = v && !json_is_string(v) ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (v)
		command_say(call, "%s%s", label, text ?: json_string_value(v));
	free(text);
}

static void
say_argument(struct command_call *call, const struct definition_operation *op, const struct definition_param *p)
{
	const json_t *block = json_object_get(json_object_get(op->json, "args"), p->name);

	command_say(call, "argument   %s%s%s", p->name, *p->help ? ": " : "", p->help);
	say_member(call, "             type ", block, "type");
	say_member(call, "             from ", block, "min");
	say_member(call, "             to ", block, "max");
	say_member(call, "             one of ", block, "enum");
	say_member(call, "             matches ", block, "pattern");
	say_member(call, "             where it is left out: ", block, "default");
}

static void
say(struct command_call *call, const struct definition *definition, const struct definition_operation *op)
{
	command_say(call, "service    %s %s", definition->name, definition->version);
	command_say(call, "operation  %s (%s)%s%s", op->name, definition_risk_text(op->risk), *op->help ? ": " : "", op->help);
	for (size_t i = 0; i < op->n_args; i++)
		say_argument(call, op, &op->args[i]);
	if (op->verb != DEFINITION_VERB_NONE)
		command_say(call, "does       %s", definition_verb_text(op->verb));
	for (size_t i = 0; i < op->argv.n; i++)
		command_say(call, "%s    %s", i ? "       " : "runs   ", op->argv.item[i]);
	for (size_t i = 0; i < op->dry_run.n; i++)
		command_say(call, "%s    %s", i ? "       " : "dry run", op->dry_run.item[i]);
	say_member(call, "secrets    ", op->json, "secrets");
	say_member(call, "downtime   ", op->json, "downtime");
	say_member(call, "undo       ", op->json, "undo");
}

/* --- the command ------------------------------------------------------------------------------ */
static int
one(struct command_call *call, const struct definition *definition, const char *name)
{
	const struct definition_operation *op;
	int r = desk_order_operation(definition, name, &op);

	if (r)
		return r;
	if (call->json)
		return command_print_json("Operation", row(definition, op));
	say(call, definition, op);
	return 0;
}

static int
add_service(struct desk *d, const struct desk_site *s, const char *service, json_t *items)
{
	SCOPED(definition_freep) struct definition *definition = NULL;
	int r = desk_trust_definition(d, s, service, &definition);

	if (r)
		return r;
	desk_words_definition(d, s, service, definition);
	for (size_t i = 0; i < definition->n_operations; i++)
		if (json_array_append_new(items, row(definition, &definition->operations[i])) < 0)
			return FAULT(-ENOMEM);
	return 0;
}

/* Of one service or, without its name, of all that the site's statement names. */
static int
list(struct desk *d, const struct desk_site *s, const char *service)
{
	static const char *const columns[] = { "service", "operation", "risk", "arguments", "help", NULL };
	const json_t *services = json_object_get(s->statement, "services"), *item;
	SCOPED_JSON *items = json_array();
	size_t i;
	int r = items ? 0 : FAULT(-ENOMEM);

	if (!r && service)
		r = add_service(d, s, service, items);
	else
		json_array_foreach(services, i, item)
			r = r ?: add_service(d, s, json_text(item, "name"), items);
	if (r)
		return r;
	r = command_print_items(d->call, "OperationList", STEAL(items), columns);
	command_say(d->call, "(one of them, whole: mainstay-desk operations %s SERVICE OPERATION)", s->site);
	return r;
}

int
desk_operations(struct command_call *call)
{
	SCOPED(desk_session_done) struct desk d;
	SCOPED(desk_trust_site_done) struct desk_site site = { 0 };
	SCOPED(definition_freep) struct definition *definition = NULL;
	const char *service = call->n_operands > 1 ? call->operands[1] : NULL;
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	r = r ?: desk_trust_refresh(&d);
	r = r ?: desk_trust_site(&d, call->operands[0], false, &site);
	r = r ?: desk_trust_heard(&site);
	if (r)
		return r;
	desk_words_site(&d, &site);
	if (call->n_operands < 3)
		return list(&d, &site, service);
	r = desk_trust_definition(&d, &site, service, &definition);
	return r ?: one(call, definition, call->operands[2]);
}
