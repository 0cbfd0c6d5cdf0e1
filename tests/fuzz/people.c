/* people.json: whoever stands there is found by name, and a key acts as the engineer whose key it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/people.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(people_freep) struct people *p = NULL;

	log_quiet_refusals(true);
	if (people_read(&p, data, size) != 0)
		return 0;
	for (size_t i = 0; i < people_engineers(p); i++) {
		const struct people_engineer *e = people_engineer_at(p, i), *found = NULL;
		int r = people_engineer_by_key(p, &e->key, "support", "acme", people_expires_us(p) / 2, &found);

		if (!people_engineer_by_name(p, e->name))
			abort();
		if (r == 0 && (!found || !sshkey_same(&found->key, &e->key)))
			abort();
	}
	return 0;
}
