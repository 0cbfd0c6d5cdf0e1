/* Key files: read, opened where that is quick, and read as public keys. */
#include "updater/release/release_keyfile.h"

#include <stdint.h>
#include <string.h>

#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char pass[] = "a passphrase of tests";
	SCOPED(release_keyfile_done) struct release_keyfile f = { .plain = false };
	uint8_t seed[32], raw[32];
	char path[100];
	int fd = folder_fd();

	log_quiet_refusals(true);
	(void)snprintf(path, sizeof(path), "%s/key", folder_path);
	if (fs_replace(fd, "key", data, size, 0600) < 0)
		abort();
	(void)release_keyfile_public(raw, path);
	if (size < 80 && !memchr(data, 0, size)) {
		char text[80];

		(void)snprintf(text, sizeof(text), "%.*s", (int)size, (const char *)data);
		(void)release_keyfile_public(raw, text);
	}
	if (release_keyfile_read(&f, fd, "key") != 0)
		return 0;
	if (f.plain && f.former)
		__builtin_trap();
	if (f.plain || f.former || f.cost <= RELEASE_KEYFILE_COST_MIN)
		(void)release_keyfile_open(&f, "key", pass, strlen(pass), seed);
	return 0;
}
