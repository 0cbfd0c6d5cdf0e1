#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/metadata_room.h"
#include "appliance/tuf/people.h"

#define PEOPLE_FILE "people.json"

/* Is it what is kept already? */
static bool
is_kept(struct metadata *d, const void *p, size_t len)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);

	return d->m->people && fs_read(d->m->dir_fd, PEOPLE_FILE, b.max, &b) == 0 &&
		b.len == len && memcmp(b.data, p, len) == 0;
}

/* What the officers' signatures and the rules of TUF do not say yet: that the document itself is not older, that it
 * ends soon enough, and that nobody in it asks with a key that releases are signed with. */
static int
check_people(struct metadata *d, const struct people *people)
{
	struct monitor *m = d->m;
	const json_t *keys = json_object_get(tuf_client_signed(d->next, "root"), "keys");
	int r;

	if (m->people && people_version(people) < people_version(m->people))
		return REFUSE(REASON_ROLLBACK, PEOPLE_FILE, "version %llu after %llu",
			(unsigned long long)people_version(people),
			(unsigned long long)people_version(m->people));
	/* A clock that is no good cannot tell; the floor would follow such a document, for good. */
	r = monitor_clock_doubtful(m) ? 0 : people_check_life(people, monitor_now_us(m));
	return r ?: people_check_keys(people, keys);
}

int
metadata_people_take(struct metadata *d, const void *p, size_t len)
{
	struct monitor *m = d->m;
	SCOPED(people_freep) struct people *people = NULL;
	char whose[FLOOR_WHOSE_MAX];
	int r;

	if (is_kept(d, p, len))
		return 0;
	r = people_read(&people, p, len);
	r = r ?: check_people(d, people);
	r = r ?: fs_replace(m->dir_fd, PEOPLE_FILE, p, len, 0600);
	if (r)
		return r < 0 ? FAULT(r) : r;
	(void)snprintf(whose, sizeof(whose), "people %llu",
		(unsigned long long)people_version(people));
	r = monitor_raise_floor(m, people_since_us(people), whose);
	if (r < 0)
		log_fault(r, "raising the floor of the clock");
	monitor_set_people(m, STEAL(people));
	return 0;
}

void
metadata_people_load(struct monitor *m)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	int r = fs_read(m->dir_fd, PEOPLE_FILE, b.max, &b);

	/* A damaged file is none: the next refresh brings it again. */
	r = r ?: people_read(&m->people, b.data, b.len);
	if (r < 0)
		log_fault(r, "reading the people document that was kept");
}
