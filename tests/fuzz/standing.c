/* lib/monitor/standing.json, as a crash or a careless hand left it: what is taken is what stands there, counts no
 * oftener than was signed, and is read again as it was written. */
#include "remote/request/standing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Use it up, and once more. */
static void
use_up(struct standing *s, struct standing_permit *p)
{
	unsigned left = p->used < p->permit.uses ? p->permit.uses - p->used : 0;

	while (left-- > 0)
		if (standing_use(s, p) != 0)
			abort();
	if (standing_use(s, p) != REASON_REPLAYED)
		abort();
}

/* What was there comes again only when it is gone. */
static void
take_out_and_add(struct standing *s)
{
	struct standing_permit *p = standing_at(s, 0);
	SCOPED(scope_free) char *text = strdup(p->text);
	struct permit permit = p->permit;
	size_t n = standing_count(s);

	if (!text || standing_add(s, &permit, text, strlen(text), "sig", 0) != REASON_REPLAYED ||
		standing_remove(s, p) != 0 || standing_count(s) != n - 1)
		abort();
	if (standing_find(s, permit.id))
		return; /* two of one id */
	if (standing_add(s, &permit, text, strlen(text), "sig", 0) != 0 ||
		standing_find(s, permit.id)->used != 1)
		abort();
	/* Whatever is over or used up makes room. */
	(void)snprintf(permit.id, sizeof(permit.id), "another-one");
	if (!standing_find(s, permit.id) &&
		standing_add(s, &permit, text, strlen(text), "sig", UINT64_MAX) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(standing_closep) struct standing *s = NULL, *again = NULL;

	log_quiet_refusals(true);
	if (fs_replace(folder_fd(), "standing.json", data, size, 0600) != 0 || standing_open(&s, folder_fd()) != 0)
		abort();
	if (standing_count(s) > STANDING_MAX || standing_at(s, standing_count(s)))
		abort();
	for (size_t i = 0; i < standing_count(s); i++) {
		const struct standing_permit *p = standing_at(s, i);

		if (p->plan_len >= strlen(p->text) || p->permit.uses < 1 ||
			p->permit.uses > PERMIT_USES_MAX)
			abort();
	}
	if (standing_count(s) == 0)
		return 0;
	use_up(s, standing_at(s, 0));
	if (standing_open(&again, folder_fd()) != 0 || standing_count(again) != standing_count(s))
		abort();
	for (size_t i = 0; i < standing_count(s); i++) {
		const struct standing_permit *a = standing_at(s, i), *b = standing_at(again, i);

		if (a->used != b->used || strcmp(a->text, b->text) != 0 || strcmp(a->sig, b->sig) != 0)
			abort();
	}
	take_out_and_add(s);
	return 0;
}
