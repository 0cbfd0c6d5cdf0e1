#include "telemetry/collect/telemetry_commands.h"

#include "telemetry/collect/telemetry_export.h"
#include "telemetry/collect/telemetry_inventory.h"
#include "telemetry/collect/telemetry_metrics.h"
#include "telemetry/collect/telemetry_names.h"
#include "telemetry/collect/telemetry_preview.h"
#include "telemetry/collect/telemetry_review.h"
#include "telemetry/collect/telemetry_sent.h"

static const struct command_option review_options[] = {
	{ "all", NULL, "also fields that were refused", false, false },
	{ 0 },
};

static const struct command_option metrics_options[] = {
	{ "openmetrics", NULL, "as OpenMetrics 1.0", false, false },
	{ 0 },
};

static const struct command_option sent_options[] = {
	{ "since", "TIME", "only what was written since then (a time, or a span: 1h)", false, false },
	{ "class", "CLASS", "only of this class", false, false },
	{ "body", "STREAM:SEQUENCE", "what one record holds", false, false },
	{ "raw", NULL, "with --body: the very bytes, before compression", false, false },
	{ 0 },
};

static const struct command_option inventory_options[] = {
	{ "resend", NULL, "let every accepted group leave once more, whole", false, false },
	{ 0 },
};

const struct command telemetry_commands[] = {
	{ .name = "telemetry preview",
		.summary = "collect once and show what would be sent",
		.details = "Runs one round of collecting, filtering and encoding in this process and shows what "
			   "came out, whether telemetry is on or off.  Nothing is sent.",
		.examples = "mainstay telemetry preview\nmainstay telemetry preview --json",
		.run = telemetry_preview_run },
	{ .name = "metrics",
		.summary = "print this site's own numbers as Prometheus text",
		.details = "Runs one round of collecting, of the host, its services and their exporters, and prints all of it: "
			   "for a Prometheus of yours, as by node-exporter's textfile collector.  What may leave to the "
			   "vendor has nothing to do with it.",
		.examples = "mainstay metrics\nmainstay metrics --openmetrics",
		.options = metrics_options,
		.run = telemetry_metrics_run },
	{ .name = "telemetry sent",
		.summary = "list what was written to be sent, and what of it has gone to whom",
		.details = "Reads the ledgers of the collector and of the monitor: every record that leaves "
			   "is one of these.  state is sent where a receiver has confirmed it, and to names them; waiting; or "
			   "kept: it was for a former vendor and stays here.",
		.examples = "mainstay telemetry sent --since 1h\n"
			    "mainstay telemetry sent --body metrics:17\n"
			    "mainstay telemetry sent --body metrics:17 --raw > body.pb",
		.options = sent_options,
		.run = telemetry_sent_run },
	{ .name = "telemetry inventory",
		.args = "[GROUP]",
		.max = 1,
		.summary = "show what this host is made of, and what of it was written for the vendor",
		.details = "Groups: hardware, os, packages, certificates, network, filesystems.  Each is a field inventory.GROUP "
			   "that waits until it is accepted; then it leaves once whole, and again when it has changed.  Texts "
			   "are shown as they are here; what leaves is redacted (see preview).  Serial numbers, addresses and "
			   "the host's name are never in it.  telemetry.certificates in mainstay.yaml names the files whose "
			   "days are told.",
		.examples = "mainstay telemetry inventory\nmainstay telemetry inventory os\n"
			    "mainstay telemetry inventory --resend",
		.options = inventory_options,
		.run = telemetry_inventory_run },
	{ .name = "telemetry export",
		.args = "DIR",
		.min = 1,
		.max = 1,
		.summary = "write all that was sent, or waits to be, into a folder: for an auditor",
		.details = "Each record of the ledgers becomes a file DIR/STREAM/SEQUENCE of the very bytes, before "
			   "compression, and DIR/index.json says of each its time, class, state and SHA-256.  DIR must "
			   "not be there yet.",
		.examples = "mainstay telemetry export /tmp/sent",
		.run = telemetry_export_run },
	{ .name = "telemetry review",
		.summary = "list fields that were collected and may not leave",
		.details = "state: new; changed (it was accepted in another shape, both are shown); unfit (a label's value "
			   "has not the form of labels); refused.",
		.examples = "mainstay telemetry review\nmainstay telemetry review --all",
		.options = review_options,
		.run = telemetry_review_run },
	{ .name = "telemetry accept",
		.args = "FIELD|PATTERN...",
		.min = 1,
		.max = COMMAND_OPERANDS_MAX,
		.summary = "let fields leave from now on",
		.details = "A field is accepted in the shape in which review shows it.  A pattern (* and ?) stands for what "
			   "waits now, and accepts nothing of tomorrow.",
		.examples = "mainstay telemetry accept 'host_filesystem_free_bytes' "
			    "'host_filesystem_free_bytes{mountpoint}'\nmainstay telemetry accept 'pg_*'",
		.run = telemetry_review_accept },
	{ .name = "telemetry refuse",
		.args = "FIELD|PATTERN...",
		.min = 1,
		.max = COMMAND_OPERANDS_MAX,
		.summary = "keep fields here, also those that left until now, and show them no more",
		.examples = "mainstay telemetry refuse 'log.redis.*'",
		.run = telemetry_review_refuse },
	{ .name = "telemetry pseudonyms",
		.args = "rotate",
		.min = 1,
		.max = 1,
		.summary = "make pseudonyms with another key from now on",
		.examples = "mainstay telemetry pseudonyms rotate",
		.run = telemetry_names_rotate },
	{ .name = "reveal",
		.args = "TOKEN...",
		.min = 1,
		.max = COMMAND_OPERANDS_MAX,
		.summary = "say what stands behind pseudonyms: here alone, the vendor cannot ask it",
		.examples = "mainstay reveal '<ip:7f3a09c2e1b4>'\nmainstay reveal ip:7f3a09c2e1b4",
		.run = telemetry_names_reveal },
	{ 0 },
};
