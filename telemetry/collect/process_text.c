#include "telemetry/collect/process_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int
process_text_stat(struct process_stat *ret, const char *text)
{
	/* The second field is the program's name in parentheses and may hold anything. */
	const char *p = strrchr(text, ')');
	uint64_t user, sys, threads, start;
	int64_t child_user, child_sys;

	if (!p || sscanf(p + 1,
		" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64
		" %*d %*d %" SCNu64 " %*d %" SCNu64, &user, &sys, &child_user, &child_sys, &threads, &start) != 6)
		return -1;
	*ret = (struct process_stat){
		.ticks = user + sys + (child_user > 0 ? (uint64_t)child_user : 0) +
			(child_sys > 0 ? (uint64_t)child_sys : 0),
		.threads = threads,
		.start = start,
	};
	return 0;
}

int
process_text_memory(const char *text, uint64_t *ret_resident, uint64_t *ret_shared)
{
	uint64_t resident, shared;

	if (sscanf(text, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2)
		return -1;
	*ret_resident = resident;
	*ret_shared = shared < resident ? shared : resident;
	return 0;
}

/* The next line, or NULL. */
static const char *
next_line(const char *text)
{
	const char *end = strchr(text, '\n');

	return end && end[1] ? end + 1 : NULL;
}

int
process_text_value(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = next_line(line))
		if (strncmp(line, key, len) == 0 && line[len] == ' ' &&
			sscanf(line + len, " %" SCNu64, ret) == 1)
			return 0;
	return -1;
}

int
process_text_io(const char *text, uint64_t *ret_read, uint64_t *ret_written)
{
	uint64_t in, out;

	if (process_text_value(text, "read_bytes:", &in) < 0 ||
		process_text_value(text, "write_bytes:", &out) < 0)
		return -1;
	*ret_read = in;
	*ret_written = out;
	return 0;
}

void
process_text_devices(const char *text, uint64_t *ret_read, uint64_t *ret_written)
{
	*ret_read = *ret_written = 0;
	for (const char *line = text; line; line = next_line(line)) {
		uint64_t in, out;

		if (sscanf(line, "%*u:%*u rbytes=%" SCNu64 " wbytes=%" SCNu64, &in, &out) == 2) {
			*ret_read += in;
			*ret_written += out;
		}
	}
}

/* "memory", or one of "cpu,cpuacct". */
static bool
controls(const char *list, size_t len, const char *controller)
{
	size_t n = strlen(controller);

	if (n == 0 || len == 0)
		return n == len;
	for (const char *p = list; p + n <= list + len; p++)
		if (strncmp(p, controller, n) == 0 && (p == list || p[-1] == ',') &&
			(p + n == list + len || p[n] == ','))
			return true;
	return false;
}

/* Its last name but one begins with "mainstay.", and no name leads upwards. */
static bool
is_ours(const char *path, size_t len)
{
	static const char prefix[] = "mainstay.";
	const char *last = memrchr(path, '/', len), *before;

	if (!last || last == path || last + 1 == path + len)
		return false;
	before = memrchr(path, '/', (size_t)(last - path));
	return before && strncmp(before + 1, prefix, sizeof(prefix) - 1) == 0 &&
		!memmem(path, len, "/../", 4) && strncmp(last, "/..", len - (size_t)(last - path)) != 0;
}

bool
process_text_group(const char *text, const char *controller, char *out, size_t size)
{
	for (const char *line = text; line; line = next_line(line)) {
		const char *first = strchr(line, ':');
		const char *second = first ? strchr(first + 1, ':') : NULL;
		size_t len = second ? strcspn(second + 1, "\n") : 0;

		if (!second || !controls(first + 1, (size_t)(second - first - 1), controller))
			continue;
		if (len == 0 || len >= size || second[1] != '/' || !is_ours(second + 1, len))
			return false;
		(void)snprintf(out, size, "%.*s", (int)len, second + 1);
		return true;
	}
	return false;
}
