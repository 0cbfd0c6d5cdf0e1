#include "appliance/monitor/epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/process.h"

enum { FOLLOW_S = 10 }; /* what the file may lag behind a clock that is slewed */

static const char file[] = "epoch";

static uint64_t
clock_stands_at(void)
{
	uint64_t now = clock_now_us(), up = clock_mono_us();

	return now > up ? (now - up) / CLOCK_US_PER_S : 0;
}

static uint64_t
apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static int
save(const struct epoch *e, int run_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_text(doc, "epoch", e->text);
	r = r ?: json_put_text(doc, "boot", e->boot_id);
	r = r ?: json_put_u64(doc, "dev", e->dev);
	r = r ?: json_put_u64(doc, "ino", e->ino);
	r = r ?: json_put_u64(doc, "audit", e->audit_size);
	r = r ?: json_put_u64(doc, "clock", e->clock_s);
	r = r ?: json_canonical(&b, doc);
	r = r ?: fs_replace(run_fd, file, b.data, b.len, 0600);
	return FAULT(r);
}

/* 1: read into ret.  0: there is nothing that can be read. */
static int
load(struct epoch *ret, int run_fd)
{
	struct parts {
		const char *epoch, *boot;
		uint64_t dev, ino, audit, clock;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "epoch", JSON_KIND_TEXT, .offset = offsetof(struct parts, epoch), .max = 32 },
		{ "boot", JSON_KIND_TEXT, .offset = offsetof(struct parts, boot), .max = 39 },
		{ "dev", JSON_KIND_U64, .offset = offsetof(struct parts, dev) },
		{ "ino", JSON_KIND_U64, .offset = offsetof(struct parts, ino) },
		{ "audit", JSON_KIND_U64, .offset = offsetof(struct parts, audit) },
		{ "clock", JSON_KIND_U64, .offset = offsetof(struct parts, clock) },
	};
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	SCOPED_JSON *doc = NULL;
	uint8_t raw[16];
	int r = fs_read(run_fd, file, b.max, &b);

	r = r ?: json_read(&doc, b.data, b.len, b.max, file);
	if (r == -ENOMEM) /* not known to be none: another epoch would void what was approved */
		return FAULT(r);
	if (r || json_members(doc, fields, ARRAY_LEN(fields), &in, file) != 0 ||
		!hex_decode(raw, sizeof(raw), in.epoch))
		return 0;
	memcpy(ret->text, in.epoch, sizeof(ret->text));
	memcpy(ret->boot_id, in.boot, strlen(in.boot) + 1);
	ret->dev = in.dev;
	ret->ino = in.ino;
	ret->audit_size = in.audit;
	ret->clock_s = in.clock;
	return 1;
}

int
epoch_renew(struct epoch *e, int run_fd)
{
	uint8_t raw[16];

	fs_random(raw, sizeof(raw));
	hex_encode(e->text, raw, sizeof(raw));
	e->renewed = true;
	return FAULT(save(e, run_fd));
}

int
epoch_open(struct epoch *ret, int run_fd, int lib_fd, uint64_t audit_size)
{
	/* JSON numbers end at 2^53-1; a larger device number only has to stay the same. */
	const uint64_t mask = (UINT64_C(1) << 53) - 1;
	struct epoch now = { .audit_size = audit_size, .clock_s = clock_stands_at() }, kept = { 0 };
	struct stat st;
	int r = process_boot_id(now.boot_id);

	if (r < 0)
		return FAULT(r);
	if (fstat(lib_fd, &st) < 0)
		return FAULT(-errno);
	now.dev = (uint64_t)st.st_dev & mask;
	now.ino = (uint64_t)st.st_ino & mask;
	*ret = now;
	r = load(&kept, run_fd);
	if (r < 0)
		return FAULT(r);
	if (r == 0 || strcmp(kept.boot_id, now.boot_id) != 0 || kept.dev != now.dev ||
		kept.ino != now.ino || kept.audit_size > audit_size ||
		apart(kept.clock_s, now.clock_s) > EPOCH_JUMP_S)
		return epoch_renew(ret, run_fd);
	memcpy(ret->text, kept.text, sizeof(ret->text));
	return 0;
}

int
epoch_look(struct epoch *e, int run_fd, bool *ret_jumped)
{
	uint64_t stands = clock_stands_at(), moved = apart(stands, e->clock_s);

	*ret_jumped = moved > EPOCH_JUMP_S;
	if (moved <= FOLLOW_S)
		return 0;
	e->clock_s = stands;
	return FAULT(*ret_jumped ? epoch_renew(e, run_fd) : save(e, run_fd));
}

int
epoch_advance(struct epoch *e, int run_fd, uint64_t audit_size)
{
	if (audit_size <= e->audit_size)
		return 0;
	e->audit_size = audit_size;
	return FAULT(save(e, run_fd));
}
