/* What the targets role says beside its targets: how low a service's counter may be, and what was withdrawn. */
#include "updater/activate/update.h"

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/monitor.h"
#include "appliance/tuf/client.h"

#define FLOORS	  "x-mainstay-floors"	 /* {SERVICE: COUNTER}, of the targets role alone */
#define WITHDRAWN "x-mainstay-withdrawn" /* {TARGET: REASON}, of the targets role and the one that signs the release */

int
update_floor_check(struct update *u, const struct assignment_release *a, const char *role, uint64_t counter)
{
	struct tuf_client *tuf = monitor_tuf(u->m);
	const json_t *floor = json_object_get(json_object_get(tuf_client_signed(tuf, "targets"), FLOORS), a->service);
	const char *const says[] = { "targets", role };

	if (json_is_integer(floor) && (json_int_t)counter < json_integer_value(floor))
		return REFUSE(REASON_ROLLBACK, a->target, "its counter %llu is below %lld, the floor of %s",
			(unsigned long long)counter, (long long)json_integer_value(floor), a->service);
	/* The signers of another service have no say in this one's. */
	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		const json_t *gone = json_object_get(json_object_get(tuf_client_signed(tuf, says[i]), WITHDRAWN), a->target);

		if (gone)
			return REFUSE(REASON_REVOKED, a->target, "it was withdrawn: %s",
				json_is_string(gone) ? json_string_value(gone) : "no reason is given");
	}
	return 0;
}
