#include "appliance/record/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/record/record_room.h"

enum {
	DEFAULT_RECORD = 1024 * 1024,
	DEFAULT_SEGMENT = 4 * 1024 * 1024,
	DEFAULT_TOTAL = 256 * 1024 * 1024,
	LEAST_SEGMENT = 4096,
};

static int
fill_limits(struct record_limits *l)
{
	uint64_t quarter;

	l->total_max = l->total_max ? l->total_max : DEFAULT_TOTAL;
	l->record_max = l->record_max ? l->record_max : DEFAULT_RECORD;
	l->dir_mode = l->dir_mode ? l->dir_mode : 0700;
	l->file_mode = l->file_mode ? l->file_mode : 0600;
	quarter = l->total_max / 4;
	l->segment_max = l->segment_max ? l->segment_max : DEFAULT_SEGMENT;
	if (l->segment_max > quarter)
		l->segment_max = (size_t)quarter;
	if (l->segment_max < LEAST_SEGMENT)
		l->segment_max = LEAST_SEGMENT;
	if (l->record_max > SEGMENT_PAYLOAD_MAX || l->segment_max > SEGMENT_FILE_MAX / 2)
		return FAULT(-EINVAL);
	return 0;
}

/* --- opening -------------------------------------------------------------------------------------------- */
static int
open_folder(struct record *r, int dir_fd, const char *name)
{
	int res;

	if (strlen(name) >= sizeof(r->name) || strchr(name, '/'))
		return FAULT(-EINVAL);
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	res = fs_open_dir(&r->dir_fd, dir_fd, name, r->limits.dir_mode);
	if (res < 0)
		return FAULT(res);
	if (r->limits.reader_gid && fchown(r->dir_fd, (uid_t)-1, r->limits.reader_gid) < 0)
		return FAULT(-errno);
	if (flock(r->dir_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return REFUSE(REASON_BUSY, name, "another process writes this record");
		return FAULT(-errno);
	}
	return 0;
}

int
record_open(struct record **ret, int dir_fd, const char *name, const struct record_limits *limits)
{
	SCOPED(record_closep) struct record *r = calloc(1, sizeof(*r));
	int res;

	if (!r)
		return FAULT(-ENOMEM);
	r->dir_fd = r->fd = -1;
	r->next = 1;
	r->pending = BUF_MAX(RECORD_PENDING_MAX + SEGMENT_PAYLOAD_MAX + 4);
	r->limits = limits ? *limits : (struct record_limits){ 0 };
	res = fill_limits(&r->limits);
	res = res ? res : open_folder(r, dir_fd, name);
	if (res == 0)
		(void)fs_sweep(r->dir_fd, 0); /* of a segment that was never named; what cannot go now takes room, and goes another time */
	res = res ? res : segment_list(&r->segments, &r->n_segments, r->dir_fd);
	if (res)
		return res;
	if (r->n_segments > 0)
		res = record_recover(r);
	if (res)
		return res;
	r->durable = r->next - 1;
	for (size_t i = 0; i < r->n_segments; i++)
		r->bytes += r->segments[i].bytes;
	*ret = STEAL(r);
	return 0;
}

struct record *
record_close(struct record *r)
{
	if (!r)
		return NULL;
	scope_close(&r->fd);
	scope_close(&r->dir_fd); /* and with it the lock */
	free(r->segments);
	buf_done(&r->pending);
	free(r);
	return NULL;
}

/* --- asking --------------------------------------------------------------------------------------------- */
uint64_t
record_next_sequence(const struct record *r)
{
	return r->next;
}

uint64_t
record_first_sequence(const struct record *r)
{
	return r->n_segments > 0 ? r->segments[0].first : r->next;
}

uint64_t
record_bytes(const struct record *r)
{
	return r->bytes;
}
