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

/* Every outcome of every step leads to an end, within as many turns as the services have steps. */
static void
check_ends(struct change c)
{
	size_t turns = c.n * CHANGE_STEP_MAX;

	for (size_t turn = 0; turn < turns; turn++) {
		struct change good = c;

		if (change_current(&c) == c.n)
			return;
		for (size_t k = 0; change_current(&good) < good.n; k++) {
			if (k > turns)
				__builtin_trap();
			change_advance(&good, 0, "");
		}
		change_advance(&c, REASON_FAULT, "fuzz");
	}
	if (change_current(&c) < c.n)
		__builtin_trap();
}

static bool
same(const struct change_item *a, const struct change_item *b)
{
	return a->step == b->step && a->counter == b->counter && a->from_counter == b->from_counter &&
		a->one_way == b->one_way && strcmp(a->to, b->to) == 0 && strcmp(a->service, b->service) == 0;
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
	if (again.n != c.n || again.kind != c.kind || again.reason != c.reason)
		__builtin_trap();
	for (size_t i = 0; i < c.n; i++)
		if (!same(&again.items[i], &c.items[i]))
			__builtin_trap();
	return 0;
}
