/* The journal of a change, as a crash or a careless hand left it: what is taken ends, whatever then happens, and is
 * read again as it was written. */
#include "updater/activate/change.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every outcome of every step leads to an end, within as many turns as there are steps. */
static void
check_ends(struct change c)
{
	for (unsigned turn = 0; turn < CHANGE_STEP_MAX; turn++) {
		struct change good = c;

		if (change_over(&c))
			return;
		for (unsigned k = 0; !change_over(&good); k++) {
			if (k > CHANGE_STEP_MAX)
				__builtin_trap();
			change_advance(&good, 0, "");
		}
		change_advance(&c, REASON_FAULT, "fuzz");
	}
	if (!change_over(&c))
		__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct change c = { 0 }, again = { 0 };
	int fd;

	log_quiet_refusals(true);
	fd = openat(folder_fd(), "change.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || fs_write_all(fd, data, size) != 0)
		abort();
	(void)close(fd);
	if (change_load(&c, folder_fd()) != 0)
		return 0;
	check_ends(c);
	if (change_save(&c, folder_fd()) != 0 || change_load(&again, folder_fd()) != 0)
		__builtin_trap();
	if (again.step != c.step || again.reason != c.reason || again.counter != c.counter ||
		again.from_counter != c.from_counter || strcmp(again.to, c.to) != 0 ||
		strcmp(again.service, c.service) != 0)
		__builtin_trap();
	return 0;
}
