/* telemetry.scrape of mainstay.yaml: what the customer writes, or what somebody made them paste. */
#include <stdint.h>
#include <stdlib.h>

#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"
#include "appliance/service/target.h"

SCOPED_DESTRUCTOR(struct yaml_node, yaml_node_free)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	struct target targets[TARGETS_MAX];
	SCOPED_JSON *doc = NULL;
	size_t n = 0;

	log_quiet_refusals(true);
	(void)target_json(&doc, data, size, "fuzz.yaml");
	if (yaml_parse(&root, data, size, "fuzz.yaml") != 0 || target_read(targets, &n, root, "fuzz.yaml") != 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!*targets[i].name || !targets[i].port == !*targets[i].socket || *targets[i].path != '/')
			abort();
	return 0;
}
