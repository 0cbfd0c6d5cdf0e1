#include "updater/release/release_closure.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"

enum { LISTING_MAX = 64 * 1024, LISTING_TIME_MS = 10000 };

/* The loader that a program names (PT_INTERP); "" for a static one. */
static int
read_interpreter(const char *program, char out[PATH_MAX])
{
	SCOPED(scope_close) int fd = open(program, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr header;
	Elf64_Phdr part;

	out[0] = '\0';
	if (fd < 0)
		return REFUSE(
			REASON_NOT_FOUND, program, "cannot be opened: is its package installed?");
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
		memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		header.e_ident[EI_CLASS] != ELFCLASS64)
		return REFUSE(REASON_MALFORMED, program, "is no 64-bit ELF program");
	for (unsigned i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + i * sizeof(part));

		if (pread(fd, &part, sizeof(part), at) != sizeof(part))
			return REFUSE(
				REASON_MALFORMED, program, "its program headers are cut short");
		if (part.p_type != PT_INTERP)
			continue;
		if (part.p_filesz < 2 || part.p_filesz > PATH_MAX ||
			pread(fd, out, part.p_filesz, (off_t)part.p_offset) !=
				(ssize_t)part.p_filesz ||
			out[part.p_filesz - 1] != '\0' || out[0] != '/')
			return REFUSE(REASON_MALFORMED, program, "its loader's path is unreadable");
		return 0;
	}
	return 0;
}

static int
read_all(int fd, struct buf *out)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint8_t *room = buf_reserve(out, 4096);
		ssize_t n;

		if (!room)
			return FAULT(buf_error(out));
		if (poll(&p, 1, LISTING_TIME_MS) <= 0)
			return FAULT(-ETIMEDOUT);
		n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? FAULT(-errno) : 0;
		buf_advance(out, (size_t)n);
	}
}

static int
run_loader(const char *loader, const char *program, struct buf *out)
{
	SCOPED(scope_close) int exe = open(loader, O_RDONLY | O_CLOEXEC), in = -1, pidfd = -1;
	const char *const argv[] = { loader, "--list", program, NULL };
	struct child_spec spec = CHILD_SPEC;
	struct child child = { .pidfd = -1 };
	int pipe_fds[2], status = -1, r;

	if (exe < 0)
		return FAULT(-errno);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return FAULT(-errno);
	in = pipe_fds[0];
	spec.exe_fd = exe;
	spec.argv = argv;
	spec.fds[spec.n_fds++] = (struct child_fd){ pipe_fds[1], 1 };
	r = child_spawn(&child, &spec, NULL);
	close(pipe_fds[1]);
	if (r)
		return FAULT(r);
	pidfd = child.pidfd;
	r = read_all(in, out);
	if (r)
		(void)child_signal(pidfd, 9);
	if (child_wait(&child, LISTING_TIME_MS, &status) != 0 || r)
		return FAULT(r ? r : -ETIMEDOUT);
	if (status != 0)
		return REFUSE(REASON_NOT_FOUND, program, "the loader cannot list its libraries");
	return 0;
}

static int
add_path(json_t *list, const char *path, size_t len)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);

		if (json_string_length(one) == len && !memcmp(json_string_value(one), path, len))
			return 0;
	}
	return json_array_append_new(list, json_stringn(path, len)) < 0 ? FAULT(-ENOMEM) : 0;
}

/* "\tNAME => PATH (0x...)", "\tPATH (0x...)", or the kernel's own "\tlinux-vdso.so.1 (0x...)". */
static int
add_line(json_t *list, const char *line, const char *program)
{
	const char *arrow = strstr(line, " => "), *path = arrow ? arrow + 4 : line, *end;

	path += strspn(path, " \t");
	if (!*path || (!arrow && *path != '/'))
		return 0;
	end = strstr(path, " (0x");
	if (*path != '/' || !end)
		return REFUSE(REASON_NOT_FOUND, program, "of its libraries: %s", line);
	return add_path(list, path, (size_t)(end - path));
}

int
release_closure(json_t *list, const char *program)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LISTING_MAX);
	char loader[PATH_MAX + 1], *text, *line;
	int r;

	r = read_interpreter(program, loader);
	if (r || !loader[0])
		return r;
	r = run_loader(loader, program, &b);
	if (r)
		return r;
	buf_puts(&b, "");
	text = (char *)b.data;
	while (!r && text && (line = strsep(&text, "\n")))
		r = add_line(list, line, program);
	return r ?: add_path(list, loader, strlen(loader));
}
