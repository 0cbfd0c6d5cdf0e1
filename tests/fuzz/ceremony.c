/* A draft that people sign.  Behind the first line's end follows another copy of it or, where the first begins with 'k', a known
 * root or trust card. */
#include "updater/release/release_ceremony.h"

#include <stdint.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "tests/fuzz/folder.h"
#include "updater/release/release_words.h"

/* When the drafts of the corpus were made. */
#define NOW (UINT64_C(1795332000) * CLOCK_US_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
put(char path[100], const char *name, const uint8_t *p, size_t len)
{
	int fd = folder_fd();

	(void)snprintf(path, 100, "%s/%s", folder_path, name);
	if (fs_replace(fd, name, p, len, 0600) < 0)
		abort();
	return path;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	SCOPED(release_ceremony_done) struct release_ceremony copy = { .roots = NULL };
	SCOPED_JSON *words = NULL;
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	bool knows = end && data[0] == 'k';
	size_t rest = end ? size - (size_t)(end + 1 - data) : 0, first = end ? (size_t)(end - data) - knows : size;
	char draft[100], known[100];

	log_quiet_refusals(true);
	if (knows)
		put(known, "known", end + 1, rest);
	put(draft, "draft", data + knows, first);
	if (release_ceremony_read(&c, draft, knows ? known : NULL, NOW) != 0)
		return 0;
	/* What was read can be told, is ready or not, and is a copy of itself. */
	words = release_words(&c);
	if (!words || json_array_size(words) == 0)
		__builtin_trap();
	(void)release_ceremony_ready(&c);
	if (release_ceremony_read(&copy, draft, NULL, NOW) != 0 || release_ceremony_merge(&c, &copy) != 0)
		__builtin_trap();
	if (!end || knows)
		return 0;
	release_ceremony_done(&copy);
	put(draft, "draft", end + 1, rest);
	if (release_ceremony_read(&copy, draft, NULL, NOW) == 0)
		(void)release_ceremony_merge(&c, &copy);
	return 0;
}
