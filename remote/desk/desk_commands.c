#include "remote/desk/desk.h"
#include "remote/desk/desk_actions.h"
#include "remote/request/request_wire.h"

const struct command_option desk_options[] = {
	{ .name = "card", .value = "FILE", .help = "the vendor card: whom this desk believes" },
	{ .name = "key",
		.value = "FILE",
		.help = "your SSH key, or its .pub for ssh-agent (default: the agent's only key)" },
	{ .name = "ca",
		.value = "FILE",
		.help = "CA certificates for the hub's TLS (default: the system's)" },
	{ 0 },
};

static const struct command_option accept_options[] = {
	{ .name = "fingerprint",
		.value = "sha256:HEX",
		.help = "of the site's key as the customer reads it out; anything else is "
			"refused" },
	{ .name = "out",
		.value = "F",
		.help = "also write the record, and the signed list of people that it is checked against, into F, "
			"for a site without a network: mainstay enrol --record F" },
	{ 0 },
};

static const struct command_option run_options[] = {
	{ .name = "reason",
		.value = "TEXT",
		.help = "why, for the customer to read",
		.required = true },
	{ .name = "ticket", .value = "TEXT", .help = "the case it belongs to", .required = true },
	{ .name = "plan", .help = "let the site plan it, and a dry run look what it would touch; nothing is run" },
	{ .name = "offline", .help = "show what would be asked for, as this desk knows it; nothing is sent" },
	{ .name = "wait",
		.value = "SPAN",
		.help = "for the result, at most (default 10m, with --plan 1m; 0: not at all)" },
	{ 0 },
};

static const struct command_option request_options[] = {
	{ .name = "file", .value = "F", .help = "what to write: the signed request", .required = true },
	{ .name = "reason", .value = "TEXT", .help = "why, for the customer to read", .required = true },
	{ .name = "ticket", .value = "TEXT", .help = "the case it belongs to", .required = true },
	{ .name = "for", .value = "SPAN", .help = "how long it is good (default, and at most: 14 days)" },
	{ 0 },
};

static const struct command_option cancel_options[] = {
	{ .name = "reason", .value = "TEXT", .help = "why, for the customer to read", .required = true },
	{ .name = "wait", .value = "SPAN", .help = "for the site's answer, at most (default 30s; 0: not at all)" },
	{ .name = "file", .value = "F", .help = "sent nowhere: what to write, to be brought to the site by hand" },
	{ .name = "of", .value = "REQUEST", .help = "with --file: the request's own file, where the hub never had it" },
	{ 0 },
};

static const struct command_option audit_options[] = {
	{ .name = "policy", .value = "F", .help = "who must have cosigned (c2sp.org/tlog-policy)" },
	{ 0 },
};

const struct command desk_commands[] = {
	{ .name = "login",
		.summary = "prove who you are to the hub, for eight hours",
		.run = desk_login },
	{ .name = "accept",
		.args = "SITE",
		.min = 1,
		.max = 1,
		.summary = "sign the record that says which key is this site",
		.details = "The site's key comes from the hub. Have the customer read its "
			   "fingerprint to "
			   "you, or give it with --fingerprint.",
		.examples = "mainstay-desk accept site1 --fingerprint sha256:HEX\n"
			    "mainstay-desk accept site1 --fingerprint sha256:HEX --out site1.record",
		.options = accept_options,
		.run = desk_accept },
	{ .name = "fleet", .summary = "all sites", .run = desk_fleet_list },
	{ .name = "show",
		.args = "SITE",
		.min = 1,
		.max = 1,
		.summary = "one site on one screen",
		.run = desk_fleet_show },
	{ .name = "operations",
		.args = "SITE [SERVICE] [OPERATION]",
		.min = 1,
		.max = 3,
		.summary = "what its services' releases can be asked to do; of one, its arguments and what it runs",
		.details = "From the signed definitions of the releases that the site says it runs. Whether the customer lets\n"
			   "one run, and after whose approval, their policy says: `run --plan` shows it.",
		.examples = "mainstay-desk operations acme-1\nmainstay-desk operations acme-1 redis slowlog",
		.run = desk_operations },
	{ .name = "run",
		.args = "SITE SERVICE OPERATION [ARG=V...]",
		.min = 3,
		.max = 3 + REQUEST_ARGS_MAX,
		.summary = "ask a site to run one operation, and wait for what comes of it",
		.options = run_options,
		.details = "While it waits, what the operation writes is shown on stderr, marked live and verified by\n"
			   "the site's key; the result is what counts. Ends with 5 where the time is over before it is;\n"
			   "so it does when interrupted: the request goes on.",
		.examples = "mainstay-desk run acme-1 redis info --reason \"slow reads\" --ticket C-17\n"
			    "mainstay-desk run acme-1 redis restart --reason \"slow reads\" --ticket C-17 --plan",
		.run = desk_run },
	{ .name = "requests",
		.args = "[ID]",
		.max = 1,
		.summary = "what was asked for, and how it stands; of one, what the site answered",
		.details = "With an ID plan and result are verified as `run` does, also those that a site signed before\n"
			   "its key was rotated. Ends with 5 where there is no result yet.",
		.examples = "mainstay-desk requests\nmainstay-desk requests r-0011223344556677",
		.run = desk_requests },
	{ .name = "request",
		.args = "SITE SERVICE OPERATION [ARG=V...]",
		.min = 3,
		.max = 3 + REQUEST_ARGS_MAX,
		.options = request_options,
		.summary = "write what `run` would send into a file, for a site without a network",
		.details = "What runs there must be known: from the site's last statement, at the hub or imported here.",
		.examples = "mainstay-desk request island redis info --reason \"slow reads\" --ticket C-17 --file request.json",
		.run = desk_request },
	{ .name = "import",
		.args = "FILE [ID]",
		.min = 1,
		.max = 2,
		.summary = "read what `mainstay results export` wrote, and verify it",
		.details = "Each request by the engineer who signed it, each answer by the site's key, as `run` does. The site's\n"
			   "statement in it is kept: what runs there, for the next request. One request (ID, or the only one)\n"
			   "is shown whole, and the command ends as `run` would have.",
		.examples = "mainstay-desk import results.json\nmainstay-desk import results.json r-0011223344556677",
		.run = desk_import },
	{ .name = "cancel",
		.args = "ID",
		.min = 1,
		.max = 1,
		.options = cancel_options,
		.summary = "end a request: one that waits, or one that runs",
		.details = "The site ends it, and signs how: what it had done by then stays done. Refused where it was over\n"
			   "before. Yours, or any of a customer that you support. One that crossed by file is ended the\n"
			   "same way: mainstay requests import F, there.",
		.examples = "mainstay-desk cancel r-0011223344556677 --reason \"the wrong site\"\n"
			    "mainstay-desk cancel r-0011223344556677 --of request.json --file cancel.json --reason \"not any more\"",
		.run = desk_cancel },
	{ .name = "audit verify",
		.args = "SITE",
		.min = 1,
		.max = 1,
		.options = audit_options,
		.summary = "check the heads of a site's audit log",
		.examples = "mainstay-desk audit verify site1 --policy witnesses.policy",
		.run = desk_audit_verify },
	{ 0 },
};
