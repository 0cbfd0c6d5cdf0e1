#include "remote/request/refused.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "remote/request/proven_file.h"
#include "remote/request/request_wire.h"

static const char file[] = "refused";

/* u64 forgot_us; of each entry u64 until_us and the digest. */
enum { HEAD_BYTES = 8, ENTRY_BYTES = 8 + SHA256_LEN };
enum { FILE_BYTES_MAX = HEAD_BYTES + REQUEST_REFUSED_MAX * ENTRY_BYTES };

struct entry {
	uint64_t until_us;
	uint8_t digest[SHA256_LEN];
};

struct request_refused {
	int dir_fd;
	uint64_t forgot_us; /* what was refused before is not known; 0: all is; UINT64_MAX: nobody knows when that was */
	size_t n;
	struct entry entries[REQUEST_REFUSED_MAX];
};

static int
save(const struct request_refused *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX + SHA256_LEN);

	buf_u64(&b, s->forgot_us);
	for (size_t i = 0; i < s->n; i++) {
		buf_u64(&b, s->entries[i].until_us);
		buf_put(&b, s->entries[i].digest, SHA256_LEN);
	}
	return FAULT(proven_file_write(s->dir_fd, file, &b));
}

/* What it held is lost: from now on nothing that was made before counts. */
static int
begin_anew(struct request_refused *s, uint64_t now_us)
{
	log_error("requests/%s is damaged and set aside as %s.bad: requests made by now must be made again", file, file);
	s->forgot_us = now_us ?: UINT64_MAX;
	return save(s);
}

static int
load(struct request_refused *s, uint64_t now_us)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX + SHA256_LEN);
	struct cursor c;
	int r = proven_file_read(&b, s->dir_fd, file, HEAD_BYTES, ENTRY_BYTES, REQUEST_REFUSED_MAX);

	if (r == REASON_HASH_MISMATCH)
		return begin_anew(s, now_us);
	if (r)
		return r == REASON_NOT_FOUND ? 0 : r;
	c = CURSOR(b.data, b.len);
	s->forgot_us = cursor_u64(&c);
	for (; cursor_left(&c) > 0; s->n++) {
		s->entries[s->n].until_us = cursor_u64(&c);
		memcpy(s->entries[s->n].digest, cursor_bytes(&c, SHA256_LEN), SHA256_LEN);
	}
	return 0;
}

int
request_refused_open(struct request_refused **ret, int monitor_fd, uint64_t now_us)
{
	SCOPED(request_refused_closep) struct request_refused *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->dir_fd = -1;
	r = fs_open_dir(&s->dir_fd, monitor_fd, "requests", 0700);
	r = r ?: load(s, now_us);
	if (r)
		return r;
	*ret = STEAL(s);
	return 0;
}

struct request_refused *
request_refused_close(struct request_refused *s)
{
	if (s)
		scope_close(&s->dir_fd);
	free(s);
	return NULL;
}

bool
request_refused_has(const struct request_refused *s, const uint8_t digest[SHA256_LEN])
{
	for (size_t i = 0; i < s->n; i++)
		if (memcmp(s->entries[i].digest, digest, SHA256_LEN) == 0)
			return true;
	return false;
}

int
request_refused_forgot(struct request_refused *s, uint64_t not_before_us, uint64_t now_us, bool *ret)
{
	int r = 0;

	if (s->forgot_us == UINT64_MAX && now_us > 0) {
		s->forgot_us = now_us;
		r = save(s);
		if (r < 0)
			s->forgot_us = UINT64_MAX;
	}
	*ret = not_before_us < s->forgot_us;
	return FAULT(r);
}

static void
drop_old(struct request_refused *s, uint64_t now_us)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].until_us > now_us)
			s->entries[kept++] = s->entries[i];
	s->n = kept;
}

int
request_refused_add(struct request_refused *s, const uint8_t digest[SHA256_LEN], uint64_t now_us,
	uint64_t life_s, size_t max)
{
	struct entry *e;

	drop_old(s, now_us);
	if (s->n >= max)
		return REASON_BUSY;
	e = &s->entries[s->n++];
	e->until_us = now_us + 2 * life_s * CLOCK_US_PER_S; /* not_before may lie ahead of us, too */
	memcpy(e->digest, digest, SHA256_LEN);
	return save(s); /* where it fails, remembered here all the same: rather one too many */
}
