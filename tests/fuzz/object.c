/* object_copy_fd(): no compressed file gives more than was allowed, nor other bytes than it was named for. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "updater/object/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The corpus' objects hold 200,000 bytes, i / 1000. */
enum { LEN = 200 * 1000 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(scope_close) int object = -1, out = memfd_create("out", MFD_CLOEXEC);
	static uint8_t bytes[LEN];
	uint8_t sha256[32];
	struct stat st;
	int r;

	log_quiet_refusals(true);
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i / 1000);
	sha256_of(sha256, bytes, LEN);
	if (out < 0 || fs_memfd(&object, "object", data, size) != 0)
		abort();
	r = object_copy_fd(object, sha256, LEN, size % 2 == 0, out);
	if (fstat(out, &st) < 0 || st.st_size > LEN || (r == 0 && st.st_size != LEN))
		abort();
	return 0;
}
