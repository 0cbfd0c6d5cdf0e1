/* patch_apply(): whatever comes, nothing but the file that was named comes out, from within the room that was made for it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "updater/object/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The corpus' patches are for two bases, which are told apart by their sizes.  One has 1000 bytes, i * 7, and becomes 1000 bytes that
 * differ from it in two places.  The other is an archive of one member of 600 bytes, of which one changes. */
enum { LEN = 1000, RAW_LEN = 600, ARCHIVE_MAX = 2000 };

static size_t
archive(uint8_t out[ARCHIVE_MAX], int changed)
{
	static const uint8_t header[30] = { 'P', 'K', 3, 4, 20, 0, 0, 0, 8 };
	uint8_t raw[RAW_LEN];
	z_stream z = { 0 };
	uint32_t x = 1;

	for (size_t i = 0; i < RAW_LEN; i++) {
		x = x * 1103515245 + 12345;
		raw[i] = (uint8_t)('a' + (x >> 16) % 16);
	}
	raw[RAW_LEN / 2] = changed ? '!' : raw[RAW_LEN / 2];
	memcpy(out, header, sizeof(header));
	z.next_in = raw;
	z.avail_in = sizeof(raw);
	z.next_out = out + sizeof(header);
	z.avail_out = ARCHIVE_MAX - sizeof(header);
	if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK || deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	(void)deflateEnd(&z);
	return sizeof(header) + z.total_out;
}

static void
try(const uint8_t *data, size_t size, const uint8_t *from, size_t from_len, const uint8_t *to, size_t to_len)
{
	SCOPED(patch_room_freep) struct patch_room *room = NULL;
	SCOPED(scope_close) int patch = -1, base = -1;
	uint8_t digest[32];

	if (patch_room_new(&room, -1, NULL) != 0 || fs_memfd(&patch, "patch", data, size) != 0 ||
		fs_memfd(&base, "base", from, from_len) != 0)
		abort();
	sha256_of(digest, to, to_len);
	(void)patch_apply(room, patch, base, digest, to_len, -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t from[ARCHIVE_MAX], to[ARCHIVE_MAX];
	char name[PATCH_NAME_MAX];
	size_t from_len, to_len;

	log_quiet_refusals(true);
	for (size_t i = 0; i < LEN; i++)
		from[i] = to[i] = (uint8_t)(i * 7);
	to[10] ^= 1;
	to[900] ^= 1;
	try(data, size, from, LEN, to, LEN);
	from_len = archive(from, 0);
	to_len = archive(to, 1);
	try(data, size, from, from_len, to, to_len);
	if (size < sizeof(name)) {
		uint8_t from_digest[32];
		uint8_t to_digest[32];

		memcpy(name, data, size);
		name[size] = '\0';
		(void)patch_name_read(name, from_digest, to_digest);
	}
	return 0;
}
