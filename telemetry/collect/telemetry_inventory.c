#include "telemetry/collect/telemetry_inventory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/stock.h"

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

static int
find_group(const char *name)
{
	for (int i = 0; i < INVENTORY_GROUPS; i++)
		if (strcmp(inventory_name(i), name) == 0)
			return i;
	return -1;
}

/* written: this very state lies in the stream; changed: another did; not sent: none. */
static int
add_group(json_t *items, const struct stock *stock, enum inventory_group group, json_t *body)
{
	char digest[SHA256_TEXT_MAX];
	bool same;
	int r = stock_same(stock, group, body, digest, &same);
	json_t *item = r < 0 ? NULL : json_pack("{s:s, s:s, s:s, s:s, s:O}", "group", inventory_name(group), "state",
		same ? "written" : stock->digests[group][0] ? "changed" : "not sent", "digest", digest, "holds",
		inventory_shape(group) + strlen("inventory "), "body", body);

	if (r < 0)
		return FAULT(r);
	return json_array_append_new(items, item) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
resend(struct command_call *call, int dir_fd)
{
	if (unlinkat(dir_fd, STOCK_NAME, 0) < 0)
		return errno == ENOENT ? REFUSE(REASON_NOT_FOUND, STOCK_NAME,
						 "is not there: no inventory was written yet, all leaves once it may")
				       : FAULT(-errno);
	if (call->json)
		return command_print_json("TelemetryInventory", json_pack("{s:b}", "resend", 1));
	command_say(call, "the collector writes each accepted group anew with its next round");
	return 0;
}

static int
print_body(const json_t *items)
{
	const json_t *body = json_object_get(json_array_get(items, 0), "body");

	if (json_dumpf(body, stdout, JSON_INDENT(2)) < 0)
		return FAULT(-EIO);
	(void)putchar('\n');
	return 0;
}

int
telemetry_inventory_run(struct command_call *call)
{
	static const char *const columns[] = { "group", "state", "holds", NULL };
	const char *pointers[CONFIG_CERTIFICATES_MAX];
	SCOPED_JSON *items = json_array();
	SCOPED(scope_close) int dir_fd = -1;
	struct config_settings settings;
	struct inventory_ask ask;
	struct stock stock;
	int r, only = -1;

	if (call->n_operands > 0 && (only = find_group(call->operands[0])) < 0)
		return REFUSE(REASON_USAGE, call->operands[0],
			"is no group: hardware, os, packages, certificates, network, filesystems");
	r = items ? open_dir(call, &dir_fd) : FAULT(-ENOMEM);
	if (r == 0 && command_option(call, "resend"))
		return only >= 0 ? REFUSE(REASON_USAGE, "--resend", "is for all groups: name none") : resend(call, dir_fd);
	r = r ?: config_settings(&settings, &call->paths);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	stock_open(&stock, dir_fd);
	stock_ask(&ask, pointers, &settings);
	for (int i = 0; i < INVENTORY_GROUPS && r == 0; i++) {
		SCOPED_JSON *body = NULL;

		if (only >= 0 && i != only)
			continue;
		r = inventory_build(&body, i, &ask);
		r = r ?: add_group(items, &stock, i, body);
	}
	if (r < 0)
		return FAULT(r);
	if (only >= 0 && !call->json)
		return print_body(items);
	return command_print_items(call, "TelemetryInventory", STEAL(items), columns);
}
