#include "remote/request/refused.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "remote/request/request_wire.h"

/* not_before may lie ahead of us, too. */

static const char file[] = "refused", bad[] = "refused.bad";

enum { ENTRY_BYTES = 8 + SHA256_LEN, FILE_BYTES_MAX = REQUEST_REFUSED_MAX * ENTRY_BYTES };

struct entry {
	uint64_t until_us;
	uint8_t digest[SHA256_LEN];
};

struct request_refused {
	int dir_fd;
	size_t n;
	struct entry entries[REQUEST_REFUSED_MAX];
};

static int
load(struct request_refused *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	struct cursor c;
	int r = fs_read(s->dir_fd, file, FILE_BYTES_MAX, &b);

	if (r == REASON_NOT_FOUND)
		return 0;
	if (r < 0)
		return FAULT(r);
	if (r > 0 || b.len % ENTRY_BYTES != 0) {
		log_error("requests/%s is damaged and set aside as %s", file, bad);
		return renameat(s->dir_fd, file, s->dir_fd, bad) < 0 ? FAULT(-errno) : 0;
	}
	c = CURSOR(b.data, b.len);
	for (; s->n < b.len / ENTRY_BYTES; s->n++) {
		s->entries[s->n].until_us = cursor_u64(&c);
		memcpy(s->entries[s->n].digest, cursor_bytes(&c, SHA256_LEN), SHA256_LEN);
	}
	return 0;
}

int
request_refused_open(struct request_refused **ret, int monitor_fd)
{
	SCOPED(request_refused_closep) struct request_refused *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->dir_fd = -1;
	r = fs_open_dir(&s->dir_fd, monitor_fd, "requests", 0700);
	r = r ?: load(s);
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
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	struct entry *e;
	int r;

	drop_old(s, now_us);
	if (s->n >= max)
		return REASON_BUSY;
	e = &s->entries[s->n++];
	e->until_us = now_us + 2 * life_s * CLOCK_US_PER_S;
	memcpy(e->digest, digest, SHA256_LEN);
	for (size_t i = 0; i < s->n; i++) {
		buf_u64(&b, s->entries[i].until_us);
		buf_put(&b, s->entries[i].digest, SHA256_LEN);
	}
	r = buf_error(&b);
	r = r ?: fs_replace(s->dir_fd, file, b.data, b.len, 0600);
	if (r) /* remembered here all the same: rather one too many */
		return FAULT(r);
	return 0;
}
