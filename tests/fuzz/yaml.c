/* yaml_parse() and yaml_json(): what people write, or what somebody made them paste. */
#include <stdint.h>
#include <stdlib.h>

#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"

SCOPED_DESTRUCTOR(struct yaml_node, yaml_node_free)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	SCOPED_JSON *v = NULL;

	log_quiet_refusals(true);
	if (yaml_parse(&root, data, size, "fuzz.yaml") != 0)
		return 0;
	if (!root || root->line == 0)
		abort();
	(void)yaml_json(&v, root);
	return 0;
}
