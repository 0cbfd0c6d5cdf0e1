#include "appliance/service/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

enum { STAT_MAX = 1024 };

char
process_state(pid_t pid)
{
	SCOPED(scope_close) int fd = -1;
	char path[32], text[STAT_MAX], *end;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pid <= 0 || fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* The name in brackets is the process's own choice, so only the last ')' counts. */
	end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : 0;
}

int
process_boot_id(char out[PROCESS_BOOT_ID_MAX])
{
	SCOPED(scope_close) int fd = -1;
	ssize_t n;

	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return FAULT(-errno);
	n = read(fd, out, PROCESS_BOOT_ID_MAX - 1);
	if (n < 0)
		return FAULT(-errno);
	while (n > 0 && out[n - 1] == '\n')
		n--;
	out[n] = '\0';
	return n > 0 ? 0 : FAULT(-EIO);
}
