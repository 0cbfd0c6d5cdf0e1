#include "remote/fleet/engineer.h"

#include <jansson.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/people.h"

int
engineer_check(struct tuf_local *repo, const struct sshkey_public *key, const char *role, const char *customer,
	uint64_t now_us, const struct people_engineer **ret)
{
	const struct people_engineer *engineer;
	const struct people *people;
	int r;

	r = tuf_local_people(repo, now_us, &people);
	if (r != 0)
		return FAULT(r);
	if (!role) {
		engineer = people_engineer_by_keyid(people, key->keyid);
		role = engineer ? json_string_value(json_array_get(engineer->roles, 0)) : NULL;
	}
	r = people_engineer_by_key(people, key, role ? role : "any", customer, now_us, &engineer);
	if (r == 0 && ret)
		*ret = engineer;
	return FAULT(r);
}
