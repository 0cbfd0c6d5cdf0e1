#include "appliance/tuf/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/store.h"

enum {
	REPO_MAX = 4096,
	FRESH_S = 60, /* an unchanged timestamp is not verified again for so long */
};

struct tuf_local {
	char repo[REPO_MAX];
	int own_fd;
	struct tuf_client *client; /* of the last good refresh */
	struct people *people;     /* of that client; NULL until asked for */
	uint8_t seen[SHA256_LEN];  /* of the timestamp that it began with */
	uint64_t seen_us;
};

int
tuf_local_open(struct tuf_local **ret, const char *repo, int own_fd)
{
	SCOPED(tuf_local_closep) struct tuf_local *l = calloc(1, sizeof(*l));

	if (!l)
		return FAULT(-ENOMEM);
	l->own_fd = -1;
	if ((size_t)snprintf(l->repo, sizeof(l->repo), "%s", repo) >= sizeof(l->repo))
		return FAULT(-ENAMETOOLONG);
	l->own_fd = fcntl(own_fd, F_DUPFD_CLOEXEC, 3);
	if (l->own_fd < 0)
		return FAULT(-errno);
	*ret = STEAL(l);
	return 0;
}

struct tuf_local *
tuf_local_close(struct tuf_local *l)
{
	if (!l)
		return NULL;
	people_free(l->people);
	tuf_client_free(l->client);
	scope_close(&l->own_fd);
	free(l);
	return NULL;
}

struct tuf_client *
tuf_local_client(struct tuf_local *l)
{
	return l->client;
}

/* Read repo/sub/name.  REASON_NOT_FOUND (unlogged) where it is not there. */
static int
read_file(struct tuf_local *l, const char *sub, const char *name, size_t max, struct buf *out)
{
	char path[REPO_MAX + TUF_PATH_MAX + 256];
	int r;

	if (strstr(name, "..") || name[0] == '/')
		return REFUSE(REASON_MALFORMED, "repository", "a name leaves the repository");
	(void)snprintf(path, sizeof(path), "%s/%s/%s", l->repo, sub, name);
	r = fs_read(AT_FDCWD, path, max, out);
	if (r == REASON_TOO_LARGE)
		return REFUSE(REASON_TOO_LARGE, name, "has more than %zu bytes", max);
	return r < 0 ? FAULT(r) : r;
}

/* Give the client what it wants until it wants nothing. */
static int
feed(struct tuf_local *l, struct tuf_client *c)
{
	struct tuf_want w;

	while (tuf_client_want(c, &w)) {
		SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX + 1);
		int r = read_file(l, "tuf", w.file, w.cap, &b);

		if (r == REASON_NOT_FOUND)
			r = tuf_client_absent(c);
		else if (r == 0)
			r = tuf_client_update(c, w.role, b.data, b.len);
		r = r ? r : tuf_store_save(c, l->own_fd);
		if (r != 0)
			return FAULT(r);
	}
	return 0; /* it wants nothing: it is current */
}

int
tuf_local_refresh(struct tuf_local *l, uint64_t now_us)
{
	SCOPED(buf_done) struct buf timestamp = BUF_MAX(TUF_TIMESTAMP_MAX);
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	uint8_t digest[SHA256_LEN];
	int r;

	r = read_file(l, "tuf", "timestamp.json", TUF_TIMESTAMP_MAX, &timestamp);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, l->repo, "holds no repository yet");
	if (r != 0)
		return r;
	sha256_of(digest, timestamp.data, timestamp.len);
	if (l->client && now_us - l->seen_us < FRESH_S * CLOCK_US_PER_S &&
		memcmp(digest, l->seen, sizeof(digest)) == 0)
		return 0;
	r = read_file(l, "tuf", "1.root.json", TUF_ROOT_MAX, &root);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, l->repo, "has no 1.root.json");
	r = r ? r : tuf_store_open(&c, l->own_fd, root.data, root.len, now_us);
	r = r ? r : feed(l, c);
	if (r != 0)
		return FAULT(r);
	l->people = people_free(l->people);
	tuf_client_free(l->client);
	l->client = STEAL(c);
	l->seen_us = now_us;
	memcpy(l->seen, digest, sizeof(digest));
	return 0;
}

int
tuf_local_reach(struct tuf_local *l, const char *path)
{
	int r;

	if (!l->client)
		return FAULT(-EINVAL);
	while ((r = tuf_client_reach(l->client, path)) == TUF_WANTS) {
		r = feed(l, l->client);
		if (r != 0)
			return r;
	}
	return r;
}

int
tuf_local_people(struct tuf_local *l, uint64_t now_us, const struct people **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	SCOPED(people_freep) struct people *people = NULL;
	struct tuf_target target;
	int r;

	r = tuf_local_refresh(l, now_us);
	if (r != 0)
		return r;
	while (!l->people && (r = tuf_client_target(l->client, PEOPLE_TARGET, &target)) == TUF_WANTS) {
		r = feed(l, l->client);
		if (r == REASON_EXPIRED)
			return REFUSE(REASON_STALE_PEOPLE, PEOPLE_TARGET,
				"the officers' signatures have ended; they renew them: mainstay-release people sign");
		if (r != 0)
			return r;
	}
	if (!l->people && r == 0) {
		r = read_file(l, "tuf/targets", target.file, PEOPLE_BYTES_MAX, &b);
		if (r == REASON_NOT_FOUND)
			return REFUSE(REASON_NOT_FOUND, PEOPLE_TARGET, "is signed but not in the repository");
		r = r ? r : tuf_target_check(&target, b.data, b.len);
		r = r ? r : people_read(&people, b.data, b.len);
		r = r ? r : people_check_life(people, now_us);
		r = r ? r : people_check_keys(people, json_object_get(tuf_client_signed(l->client, "root"), "keys"));
		if (r == 0)
			l->people = STEAL(people);
	}
	if (r != 0)
		return FAULT(r);
	*ret = l->people;
	return 0;
}
