#include "updater/activate/change_check.h"

#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/definition.h"
#include "appliance/service/launch.h"

int
change_definition(struct monitor *m, const char *hex, struct definition **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	char path[sizeof(((struct paths *)0)->lib) + 128];
	int r;

	(void)snprintf(path, sizeof(path), "%s/store/%s.definition.json", monitor_paths(m)->lib, hex);
	r = fs_read(AT_FDCWD, path, DEFINITION_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, hex, "that release is not in the store");
	return r ?: definition_read(ret, b.data, b.len);
}

/* What cluster.yaml sets, as the new release takes it; and the files that it makes of it. */
static int
check_knobs(struct monitor *m, const struct definition *d)
{
	static const struct definition_values inside = {
		.run = "/run/service", .data = "/data", .conf = "/conf", .log = "/log"
	};
	const struct cluster_service *wanted = services_cluster(m, d->name);
	struct definition_values values = inside;
	SCOPED_JSON *given = NULL, *knobs = NULL;
	int r = 0;

	if (wanted)
		r = launch_knobs(d, wanted, &given);
	r = r ?: definition_check_knobs(d, given, &knobs);
	values.knobs = knobs;
	values.of = d;
	for (size_t i = 0; r == 0 && i < d->n_config; i++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_CONFIG_MAX);

		r = definition_render(&d->config[i], &values, &text);
	}
	return r;
}

int
change_check(struct monitor *m, struct change *c, size_t at)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	const struct change_item *item = &c->items[at];
	int r = change_definition(m, item->to, &d);

	if (r == 0 && strcmp(d->name, item->service) != 0)
		r = REFUSE(REASON_ALTERED, item->service, "the release defines service \"%s\"", d->name);
	return r ?: check_knobs(m, d);
}
