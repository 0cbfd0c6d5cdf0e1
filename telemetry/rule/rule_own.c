#include "telemetry/rule/rule_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/service/definition.h"

void
rule_own_done(struct rule_own *own)
{
	for (size_t i = 0; i < own->n; i++)
		rule_unref(own->rules[i]);
	free(own->rules);
	*own = (struct rule_own){ 0 };
}

static int
add(struct rule_own *own, const json_t *item)
{
	SCOPED_JSON *alert = json_copy_whole(item, JSON_SHALLOW);
	int r;

	if (!alert || json_object_del(alert, "service") < 0)
		return FAULT(-ENOMEM);
	r = rule_read(&own->rules[own->n], json_text(item, "service"), alert);
	own->n += r == 0;
	return r < 0 ? FAULT(r) : r;
}

int
rule_own_read(struct rule_own *ret, const void *p, size_t len, const char *file)
{
	SCOPED(rule_own_done) struct rule_own own = { 0 };
	SCOPED_JSON *list = NULL;
	const json_t *item;
	size_t i;
	int r = definition_compile_alerts(&list, p, len, file);

	own.rules = r ? NULL : calloc(json_array_size(list) + 1, sizeof(struct rule *));
	if (r == 0 && !own.rules)
		r = -ENOMEM;
	json_array_foreach(list, i, item)
		r = r ?: add(&own, item);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = own;
	own = (struct rule_own){ 0 };
	return 0;
}

int
rule_own_load(struct rule_own *ret, const char *etc, const char *name)
{
	SCOPED(scope_close) int etc_fd = open(etc, O_DIRECTORY | O_PATH | O_CLOEXEC);
	SCOPED(buf_done) struct buf in = BUF_MAX(YAML_BYTES_MAX);
	int r = etc_fd < 0 ? REASON_NOT_FOUND : fs_read(etc_fd, name, in.max, &in);

	if (r > 0)
		return REFUSE(r, name, "cannot be read in %s: telemetry.rules of mainstay.yaml names it", etc);
	r = r ?: rule_own_read(ret, in.data, in.len, name);
	return r < 0 ? FAULT(r) : r;
}
