/* Lies in the copy that check-mutants builds, never in the product: which refusal is switched off.
 *
 * MAINSTAY_MUTANT says it, or the file MUTANT_FILE where there is no such variable (daemons and workers are
 * started with an empty environment): the number of a site, or "reached=FILE", a file of MUTANT_SITES bytes
 * in which the byte of each site that is come by is set.  Read before main(), mapped once: works in every
 * sandbox that comes later. */
#include "appliance/base/refuse.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned off = ~0u;
static unsigned char *reached;

__attribute__((constructor)) static void
begin(void)
{
	const char *env = getenv("MAINSTAY_MUTANT");
	char text[4096] = "";
	int fd;

	if (env) {
		snprintf(text, sizeof(text), "%s", env);
	} else if ((fd = open(MUTANT_FILE, O_RDONLY | O_CLOEXEC)) >= 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		close(fd);
	}
	if (strncmp(text, "reached=", 8) == 0 && (fd = open(text + 8, O_RDWR | O_CLOEXEC)) >= 0) {
		reached = mmap(NULL, MUTANT_SITES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (reached == MAP_FAILED)
			reached = NULL;
		close(fd);
	} else if (text[0] >= '0' && text[0] <= '9') {
		off = (unsigned)strtoul(text, NULL, 10);
	}
}

bool
mutant_off(unsigned site)
{
	if (reached)
		reached[site] = 1;
	return site == off;
}
