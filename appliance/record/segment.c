#include "appliance/record/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"

static const char magic[8] = "MSRECORD";
enum { VERSION = 1 };

/* --- CRC-32C (Castagnoli), eight bytes a step --------------------------------------------------------- */
static uint32_t table[8][256];

__attribute__((constructor)) static void
fill_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 0xff];
}

uint32_t
segment_crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
			(uint32_t)p[3] << 24;
		crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^
			table[5][crc >> 16 & 0xff] ^ table[4][crc >> 24] ^ table[3][p[4]] ^
			table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	}
	for (; len > 0; p++, len--)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}

/* --- names -------------------------------------------------------------------------------------------- */
const char *
segment_format_name(char out[SEGMENT_NAME_MAX], uint64_t first, unsigned generation)
{
	(void)snprintf(out, SEGMENT_NAME_MAX, "%016" PRIx64 "-%04x.seg", first,
		generation & 0xffff);
	return out;
}

static bool
parse_name(struct segment_name *ret, const char *name)
{
	char again[SEGMENT_NAME_MAX];

	if (strlen(name) != 25 ||
		sscanf(name, "%16" SCNx64 "-%4x", &ret->first, &ret->generation) != 2)
		return false;
	return strcmp(segment_format_name(again, ret->first, ret->generation), name) == 0;
}

static int
by_order(const void *a, const void *b)
{
	const struct segment_name *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->generation > y->generation) - (x->generation < y->generation);
}

static int
add_name(struct segment_name **names, size_t *n, const struct segment_name *name)
{
	if (*n == SEGMENTS_MAX)
		return FAULT(-EMFILE);
	if ((*n & (*n - 1)) == 0) {
		struct segment_name *more = reallocarray(*names, *n ? *n * 2 : 1, sizeof(*more));

		if (!more)
			return FAULT(-ENOMEM);
		*names = more;
	}
	(*names)[(*n)++] = *name;
	return 0;
}

int
segment_list(struct segment_name **ret, size_t *ret_n, int dir_fd)
{
	SCOPED(scope_free) struct segment_name *names = NULL;
	SCOPED(scope_closedir) DIR *d = NULL;
	struct dirent *e;
	size_t n = 0;
	int r = fs_entries(&d, dir_fd);

	if (r < 0)
		return FAULT(r);
	while (errno = 0, (e = readdir(d))) {
		struct segment_name name = { 0 };
		struct stat st;

		if (!parse_name(&name, e->d_name))
			continue;
		if (fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue; /* trimmed meanwhile, or not ours */
		name.bytes = (uint64_t)st.st_size;
		r = add_name(&names, &n, &name);
		if (r < 0)
			return r;
	}
	if (errno)
		return FAULT(-errno);
	if (n > 0)
		qsort(names, n, sizeof(*names), by_order);
	*ret = STEAL(names);
	*ret_n = n;
	return 0;
}

/* --- header and records ------------------------------------------------------------------------------- */
void
segment_put_header(struct buf *out, uint32_t salt, uint64_t first)
{
	size_t at = out->len;

	buf_put(out, magic, sizeof(magic));
	buf_u32(out, VERSION);
	buf_u32(out, salt);
	buf_u64(out, first);
	if (!buf_error(out))
		buf_u32(out, segment_crc32c(0, out->data + at, out->len - at));
}

bool
segment_header(const uint8_t *p, size_t len, uint64_t first, uint32_t *ret_salt)
{
	struct cursor c = CURSOR(p, len < SEGMENT_HEADER_BYTES ? len : SEGMENT_HEADER_BYTES);
	const uint8_t *m = cursor_bytes(&c, sizeof(magic));
	uint32_t version = cursor_u32(&c);
	uint32_t salt = cursor_u32(&c);
	uint64_t begins = cursor_u64(&c);
	uint32_t crc = cursor_u32(&c);

	if (!cursor_done(&c) || memcmp(m, magic, sizeof(magic)) != 0 || version != VERSION ||
		begins != first || crc != segment_crc32c(0, p, SEGMENT_HEADER_BYTES - 4))
		return false;
	*ret_salt = salt;
	return true;
}

/* Over the length, then all that follows the checksum itself; the salt is where it starts. */
static uint32_t
record_crc(uint32_t salt, const uint8_t *len_field, const uint8_t *rest, size_t rest_len)
{
	return segment_crc32c(segment_crc32c(salt, len_field, 4), rest, rest_len);
}

void
segment_put_record(struct buf *out, uint32_t salt, uint64_t sequence, uint64_t durable,
	const void *p, size_t len)
{
	size_t at = out->len;
	uint32_t crc;

	buf_u32(out, (uint32_t)len);
	buf_u32(out, 0);
	buf_u64(out, sequence);
	buf_u32(out, (uint32_t)(sequence - durable));
	buf_put(out, p, len);
	if (buf_error(out))
		return;
	crc = record_crc(salt, out->data + at, out->data + at + 8, out->len - at - 8);
	for (int i = 0; i < 4; i++)
		out->data[at + 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
}

bool
segment_record(struct segment_record *ret, uint32_t salt, const uint8_t *p, size_t len)
{
	struct cursor c = CURSOR(p, len);
	uint32_t payload_len = cursor_u32(&c);
	uint32_t crc = cursor_u32(&c);
	uint64_t sequence = cursor_u64(&c);
	uint32_t back = cursor_u32(&c);
	const uint8_t *payload;

	if (c.failed || payload_len > SEGMENT_PAYLOAD_MAX || sequence == 0 || back > sequence)
		return false;
	payload = cursor_bytes(&c, payload_len);
	if (!payload || record_crc(salt, p, p + 8, SEGMENT_RECORD_BYTES - 8 + payload_len) != crc)
		return false;
	*ret = (struct segment_record){ .sequence = sequence,
		.durable = sequence - back,
		.payload = payload,
		.len = payload_len,
		.bytes = SEGMENT_RECORD_BYTES + payload_len };
	return true;
}

bool
segment_search(const uint8_t *p, size_t len, uint32_t salt, uint64_t sequence, size_t *ret_at,
	struct segment_record *ret_rec, bool *ret_damage)
{
	bool found = false;
	size_t at = 1;

	*ret_damage = false;
	while (at < len) {
		struct cursor peek = CURSOR(p + at, len - at);
		struct segment_record rec;
		uint64_t seq;

		(void)cursor_u64(&peek);
		seq = cursor_u64(&peek);
		/* Nearly every wrong place falls out here, before a checksum is made. */
		if (peek.failed || seq < sequence || seq - sequence > UINT32_MAX ||
			!segment_record(&rec, salt, p + at, len - at)) {
			at++;
			continue;
		}
		if (!found) {
			found = true;
			*ret_at = at;
			*ret_rec = rec;
		}
		if (rec.durable >= sequence) {
			*ret_damage = true;
			return true;
		}
		at += rec.bytes;
	}
	return found;
}
