#include "updater/release/release_closure.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "updater/release/release_listing.h"

enum { LISTING_MAX = 256 * 1024 };

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

static int
list_needed(json_t *list, const char *loader, const char *program)
{
	const char *const argv[] = { loader, "--list", program, NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(LISTING_MAX);
	int status = -1, r = release_listing(argv, &b, &status);
	char *text, *line;

	if (r)
		return r;
	if (status != 0)
		return REFUSE(REASON_NOT_FOUND, program, "the loader cannot list its libraries");
	text = (char *)buf_text(&b);
	while (!r && (line = release_listing_line(&text)))
		r = add_line(list, line, program);
	return r;
}

int
release_closure(json_t *list, const char *program)
{
	char loader[PATH_MAX + 1];
	int r = read_interpreter(program, loader);

	if (r || !loader[0])
		return r;
	r = list_needed(list, loader, program);
	return r ?: add_path(list, loader, strlen(loader));
}

int
release_closure_plugin(json_t *list, const char *library)
{
	char loader[PATH_MAX + 1];
	int r = read_interpreter("/proc/self/exe", loader);

	return r || !loader[0] ? r : list_needed(list, loader, library);
}
