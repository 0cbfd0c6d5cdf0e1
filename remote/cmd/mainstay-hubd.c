/* The vendor's hub. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/enrol_routes.h"
#include "appliance/enrol/enrol_site.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/enrol/rotate_hub.h"
#include "appliance/loop/confine.h"
#include "appliance/serve/bearer.h"
#include "appliance/serve/hub_folder.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"
#include "remote/fleet/fleet.h"
#include "remote/hub/hub.h"
#include "remote/hub/hub_health.h"
#include "remote/hub/hub_state.h"
#include "remote/mailbox/mailbox_hub.h"
#include "telemetry/alert/alert_inbox.h"
#include "telemetry/alert/notify_child.h"
#include "telemetry/alert/notify_commands.h"
#include "telemetry/ingest/ingest.h"
#include "telemetry/inventory/inventory_hub.h"
#include "telemetry/store/log_store.h"
#include "telemetry/store/store.h"
#include "updater/rollout/director.h"

/* Every room of the hub: its routes, tables and jobs. */
static const struct serve_module *const modules[] = {
	&hub_health_module,
	&enrol_routes_module,
	&ingest_module,
	&store_module,
	&log_store_module,
	&inventory_hub_module,
	&alert_inbox_module,
	&notify_child_module,
	&mailbox_hub_module,
	&fleet_module,
	&director_module,
	NULL,
};

static int
write_facts(const char *file, const struct buf *facts)
{
	const char *slash = strrchr(file, '/');
	SCOPED(scope_free) char *dir = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
	SCOPED(scope_close) int fd = -1;
	int r;

	if (!dir)
		return FAULT(-ENOMEM);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, file, "its folder does not exist");
	r = fs_replace(fd, slash ? slash + 1 : file, facts->data, facts->len, 0644);
	return FAULT(r);
}

static int
run_init(struct command_call *call)
{
	SCOPED(buf_done) struct buf facts = BUF_MAX(16 * 1024);
	const char *out = command_option(call, "facts");
	const char *state;
	int r;

	r = hub_folder_find(call, &state);
	r = r ? r : hub_state_init(state, command_option(call, "name"), command_option(call, "listen"),
			    command_option(call, "repo"), &facts);
	hub_folder_leave();
	r = r ? r : write_facts(out, &facts);
	if (r != 0)
		return FAULT(r);
	command_say(call, "%s", buf_text(&facts));
	return 0;
}

static int
run_run(struct command_call *call)
{
	const char *fd_text = command_option(call, "ready-fd");
	const char *state;
	uint64_t fd = 0;
	int r;

	r = hub_folder_find(call, &state);
	if (r == 0 && fd_text && number_u64(&fd, fd_text, 1 << 20) != 0)
		r = REFUSE(REASON_USAGE, fd_text, "is no descriptor");
	r = r ? r : hub_folder_stay();
	if (r != 0)
		return r;
	log_quiet_refusals(false);
	return hub_run(state, modules, fd_text ? (int)fd : -1);
}

/* --- tokens ------------------------------------------------------------------------------------------- */
static int
mint_bearer(const struct command_call *call, const struct hub_state *hub, uint64_t now_us, uint64_t expires_us)
{
	SCOPED(db_closep) struct db *fleet = NULL;
	char text[BEARER_TEXT_MAX];
	int r;

	r = serve_open_fleet(&fleet, hub->dir, modules);
	r = r ? r : bearer_mint(fleet, command_option(call, "customer"), command_option(call, "site"), now_us,
			    expires_us, text);
	if (r != 0)
		return FAULT(r);
	(void)puts(text);
	explicit_bzero(text, sizeof(text));
	return 0;
}

/* The fleet's file of the hub that --state names. */
static int
open_fleet(const struct command_call *call, struct db **ret)
{
	SCOPED(hub_state_done) struct hub_state hub = { .dir_fd = -1, .lock_fd = -1 };
	const char *state;
	int r;

	r = hub_folder_find(call, &state);
	r = r ? r : hub_state_open(&hub, state);
	r = r ? r : serve_open_fleet(ret, hub.dir, modules);
	return FAULT(r);
}

static int
list_bearer(const struct bearer *b, void *arg)
{
	uint64_t now_us = clock_now_us();
	json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "id", b->id, "customer", b->customer, "site", b->site, "state",
		b->revoked_us			? "revoked"
			: b->expires_us <= now_us ? "expired"
						  : "good");

	if (!o || json_put_time(o, "created", b->created_us) < 0 || json_put_time(o, "expires", b->expires_us) < 0 ||
		json_array_append(arg, o) < 0) {
		json_decref(o);
		return FAULT(-ENOMEM);
	}
	json_decref(o);
	return 0;
}

/* --- routes ------------------------------------------------------------------------------------------- */
static json_t *
route_json(const struct route *route)
{
	static const char *const who[] = { [ROUTE_OPEN] = "open", [ROUTE_SITE] = "site", [ROUTE_ENGINEER] = "engineer" };

	return json_pack("{s:s, s:s, s:s, s:I, s:b, s:b, s:b, s:b, s:b}", "method", route->method, "path", route->pattern,
		"who", who[route->who], "body_max", (json_int_t)route->body_max, "otlp",
		(route->flags & ROUTE_OTLP) != 0, "local", (route->flags & ROUTE_LOCAL) != 0, "poll",
		(route->flags & ROUTE_POLL) != 0, "pending", (route->flags & ROUTE_PENDING) != 0, "bearer", (route->flags & ROUTE_BEARER) != 0);
}

static int
run_routes(struct command_call *call)
{
	static const char *const columns[] = { "method", "path", "who", "body_max", NULL };
	const struct route *routes[SERVE_ROUTES_MAX];
	size_t n = serve_routes(modules, routes, SERVE_ROUTES_MAX);
	SCOPED_JSON *items = json_array();

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(items, route_json(routes[i])) < 0)
			return FAULT(-ENOMEM);
	return command_print_items(call, "Routes", STEAL(items), columns);
}

/* --- tokens of other senders ----------------------------------------------------------------------------- */
static int
run_senders(struct command_call *call)
{
	static const char *const columns[] = { "id", "customer", "site", "state", "expires", NULL };
	SCOPED(db_closep) struct db *fleet = NULL;
	SCOPED_JSON *items = json_array();
	int r = items ? open_fleet(call, &fleet) : -ENOMEM;

	r = r ? r : bearer_each(fleet, list_bearer, items);
	return r ? FAULT(r) : command_print_items(call, "Senders", STEAL(items), columns);
}

static int
run_revoke(struct command_call *call)
{
	SCOPED(db_closep) struct db *fleet = NULL;
	int r = open_fleet(call, &fleet);

	r = r ? r : bearer_revoke(fleet, call->operands[0], clock_now_us());
	if (r != 0)
		return FAULT(r);
	command_say(call, "%s is refused from now on", call->operands[0]);
	return call->json ? command_print_json("Sender", json_pack("{s:s, s:s}", "id", call->operands[0], "state",
								 "revoked"))
			  : 0;
}

static int
run_token(struct command_call *call)
{
	SCOPED(db_closep) struct db *fleet = NULL;
	SCOPED(hub_state_done) struct hub_state hub = { .dir_fd = -1, .lock_fd = -1 };
	SCOPED(buf_wipe) struct buf text = BUF_MAX(TOKEN_FILE_MAX);
	const char *expires = command_option(call, "expires");
	uint64_t span_us, now_us = clock_now_us();
	struct token token;
	const char *state;
	int r;

	r = hub_folder_find(call, &state);
	if (r == 0 && clock_parse_span(&span_us, expires) != 0)
		r = REFUSE(REASON_USAGE, expires, "is no span of time (90s, 1h, 2d)");
	r = r ? r : hub_state_open(&hub, state);
	if (r == 0 && command_option(call, "otlp"))
		return mint_bearer(call, &hub, now_us, now_us + span_us);
	r = r ? r : token_mint(&token, command_option(call, "site"), command_option(call, "customer"), now_us + span_us);
	if (r != 0)
		return FAULT(r);
	r = serve_open_fleet(&fleet, hub.dir, modules);
	r = r ? r : enrol_routes_mint(fleet, &token, now_us);
	r = r ? r : token_text(&text, &token);
	token_wipe(&token);
	if (r != 0)
		return FAULT(r);
	/* The line is the token in either form of output. */
	(void)fputs(buf_text(&text), stdout);
	return 0;
}

/* --- enrolment by file ------------------------------------------------------------------------------------ */
/* A rotation travels the same way as an enrolment: what it is, its one member of that name says. */
static int
decide(struct databases *d, const struct buf *request, json_t **ret_answer)
{
	SCOPED_JSON *doc = NULL;
	int r = json_read(&doc, request->data, request->len, ENROL_WIRE_BODY_MAX, "request");

	if (r != 0)
		return r;
	return json_object_get(doc, "rotation") ? rotate_hub_take(d, request->data, request->len, ret_answer)
						: enrol_routes_take(d, request->data, request->len, ret_answer);
}

/* As the hub would have answered over the network, and as `mainstay enrol --answer` reads it. */
static int
write_answer(struct buf *out, const json_t *answer, const struct buf *request, const struct ed25519 *reply)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	SCOPED(scope_free) char *body = json_dumps(answer, JSON_COMPACT);
	const struct httpsig_message m = { .status = 200 };
	char nonce[ENROL_SITE_NONCE_MAX];
	uint8_t digest[SHA256_LEN];
	int r;

	if (!body)
		return FAULT(-ENOMEM);
	sha256_of(digest, body, strlen(body));
	r = httpsig_sign_reply(&f, &m, digest, enrol_site_nonce(nonce, request->data, request->len), reply, clock_now_us());
	if (r != 0)
		return FAULT(r);
	buf_printf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Digest: %s\r\n", f.digest);
	buf_printf(out, "Signature-Input: %s\r\nSignature: %s\r\n\r\n%s", f.input, f.signature, body);
	return FAULT(buf_error(out));
}

static int
run_enrol(struct command_call *call)
{
	SCOPED(hub_state_done) struct hub_state hub = { .dir_fd = -1, .lock_fd = -1 };
	SCOPED(databases_closep) struct databases *d = NULL;
	SCOPED(buf_done) struct buf request = BUF_MAX(ENROL_WIRE_BODY_MAX), out = BUF_MAX(2 * ENROL_WIRE_REPLY_MAX);
	const char *file = command_option(call, "answer");
	SCOPED_JSON *answer = NULL;
	const char *state;
	int r;

	r = command_read_file(command_option(call, "request"), ENROL_WIRE_BODY_MAX, &request);
	r = r ? r : hub_folder_find(call, &state);
	r = r ? r : hub_state_open(&hub, state);
	r = r ? r : serve_open_databases(&d, hub.dir, modules);
	r = r ? r : decide(d, &request, &answer);
	r = r ? r : write_answer(&out, answer, &request, hub.reply);
	hub_folder_leave();
	r = r ? r : fs_replace_path(file, out.data, out.len, 0600);
	if (r != 0)
		return FAULT(r);
	command_say(call, "%s: the hub's signed answer; there: mainstay enrol --answer %s (for another key: with --rotate)",
		file, file);
	return call->json ? command_print_json("EnrolmentAnswer",
				    json_pack("{s:s, s:s}", "site", json_text(answer, "site"), "file", file))
			  : 0;
}

static const struct command_option enrol_options[] = {
	{ "request", "FILE", "what mainstay enrol --file wrote (or enrol --rotate --file)", true, false },
	{ "answer", "OUT", "the signed answer, for mainstay enrol --answer", true, false },
	{ 0 },
};

static const struct command_option init_options[] = {
	{ "name", "NAME", "the hub's name; it stands in cosignatures and logins", true, false },
	{ "listen", "ADDR:PORT", "where it listens; port 0 picks a free one and keeps it", true, false },
	{ "repo", "REPO", "the folder of the release repository, served as it is", true, false },
	{ "facts", "FILE", "what the vendor card is to say of this hub", true, false },
	{ 0 },
};

static const struct command_option run_options[] = {
	{ "ready-fd", "N", "write READY to this descriptor once it answers", false, false },
	{ 0 },
};

static const struct command_option token_options[] = {
	{ "customer", "CUSTOMER", "whose site it is", true, false },
	{ "site", "SITE", "the site's id", true, false },
	{ "expires", "SPAN", "for how long the token is good (1h, 2d)", true, false },
	{ "otlp", NULL, "a bearer token for another OTLP sender of an enrolled site: /v1/metrics and /v1/logs alone", false,
		false },
	{ 0 },
};

static const struct command commands[] = {
	{ .name = "init", .summary = "make a hub's state folder: keys, certificates, port", .options = init_options,
		.examples = "mainstay-hubd init --state /var/lib/hub --name example-hub --listen 127.0.0.1:0 "
			    "--repo /srv/repo --facts facts.json",
		.run = run_init },
	{ .name = "run", .summary = "run the hub and its front until SIGTERM", .options = run_options,
		.examples = "mainstay-hubd run --state /var/lib/hub", .run = run_run },
	{ .name = "token", .summary = "print a token with which one site may enrol", .options = token_options,
		.details = "With --otlp: a bearer token instead, with which machines of an enrolled site that run no Mainstay\n"
			   "send OTLP/HTTP (protobuf; \"Authorization: Bearer TOKEN\").  What they send is listed under\n"
			   "services named otlp:NAME.  The hub keeps the token's hash; nobody can print it again.",
		.examples = "mainstay-hubd token --state /var/lib/hub --customer acme --site acme-1 --expires 1h > token\n"
			    "mainstay-hubd token --state /var/lib/hub --customer acme --site acme-1 --expires 90d --otlp",
		.run = run_token },
	{ .name = "enrol", .summary = "answer a site's request that came as a file; also beside a running hub",
		.options = enrol_options,
		.examples = "mainstay-hubd enrol --state /var/lib/hub --request request --answer answer", .run = run_enrol },
	{ .name = "senders", .summary = "list the bearer tokens of other OTLP senders",
		.examples = "mainstay-hubd senders --state /var/lib/hub", .run = run_senders },
	{ .name = "routes", .summary = "list what the hub answers: method, path, who may call, how big a body may be",
		.details = "who: open (anybody; the call carries its own proof, or tells nothing), site (signed by the courier of\n"
			   "a site), engineer (signed by the key of a login).  Needs no state.",
		.examples = "mainstay-hubd routes --json", .run = run_routes },
	{ .name = "revoke", .args = "ID", .min = 1, .max = 1, .summary = "refuse a bearer token from now on",
		.examples = "mainstay-hubd revoke --state /var/lib/hub 0123456789abcdef", .run = run_revoke },
	{ 0 },
};

int
main(int argc, char **argv)
{
	static const struct command_program program = {
		.name = "mainstay-hubd",
		.summary = "the vendor's hub: sites enrol, telemetry and results come in, requests go out",
		.tables = { commands, notify_commands },
	};
	int r;

	/* It reads private keys: they are not to end in a core file. */
	r = confine_dumpable();
	return r ? command_report(program.name, false, r) : command_main(&program, argc, argv);
}
