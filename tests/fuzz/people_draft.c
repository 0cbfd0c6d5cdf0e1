/* The draft of who the engineers are, as an officer gets it; behind the first line's end another copy, as it comes back. */
#include "updater/release/release_draft.h"

#include <stdint.h>
#include <string.h>

#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/tuf/key.h"
#include "tests/fuzz/folder.h"

/* The officer who signed what is in the corpus. */
#define OFFICER "3fb679fff728ce32b33e9c025fbdaaf576cd00c1a32bcf19613ad9554439a564"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
make_role(json_t **keys, json_t **role)
{
	uint8_t raw[32];
	json_t *key;
	char id[65];

	if (!hex_decode(raw, sizeof(raw), OFFICER))
		abort();
	key = tuf_key_ed25519(raw);
	if (tuf_key_id(id, key) != 0)
		abort();
	*keys = json_pack("{s:o}", id, key);
	*role = json_pack("{s:[s], s:i}", "keyids", id, "threshold", 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(release_draft_done) struct release_draft d;
	SCOPED(release_draft_done) struct release_draft copy;
	SCOPED_JSON *keys = NULL, *role = NULL;
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	char path[100];
	size_t n;
	int fd = folder_fd();

	log_quiet_refusals(true);
	release_draft_init(&d);
	release_draft_init(&copy);
	(void)snprintf(path, sizeof(path), "%s/draft", folder_path);
	if (fs_replace(fd, "draft", data, end ? (size_t)(end - data) : size, 0600) < 0)
		abort();
	if (!release_draft_is(path))
		__builtin_trap();
	if (release_draft_read(&d, path) != 0)
		return 0;
	make_role(&keys, &role);
	if (release_draft_count(&d, keys, role, &n) == 0 && n > 1)
		__builtin_trap();
	if (end && fs_replace(fd, "draft", end + 1, size - (size_t)(end + 1 - data), 0600) < 0)
		abort();
	if (release_draft_read(&copy, path) == 0 && release_draft_merge(&d, &copy, keys, role) == 0 &&
		(release_draft_count(&d, keys, role, &n) != 0 || n != 1))
		__builtin_trap();
	return 0;
}
