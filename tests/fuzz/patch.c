/* patch_apply(): whatever comes, nothing but the file that was named comes out, from within the room that was made for it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "updater/object/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The corpus' patches are for a base of 1000 bytes, i * 7, and make 1000 bytes that differ from it in two places. */
enum { LEN = 1000 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(patch_room_freep) struct patch_room *room = NULL;
	SCOPED(scope_close) int patch = -1, base = -1;
	uint8_t bytes[LEN], to[32];
	char name[PATCH_NAME_MAX];

	log_quiet_refusals(true);
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 7);
	if (patch_room_new(&room) != 0 || fs_memfd(&patch, "patch", data, size) != 0 ||
		fs_memfd(&base, "base", bytes, LEN) != 0)
		abort();
	bytes[10] ^= 1;
	bytes[900] ^= 1;
	sha256_of(to, bytes, LEN);
	(void)patch_apply(room, patch, base, to, LEN, -1);
	if (size < sizeof(name)) {
		uint8_t from[32];

		memcpy(name, data, size);
		name[size] = '\0';
		(void)patch_name_read(name, from, to);
	}
	return 0;
}
