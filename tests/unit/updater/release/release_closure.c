/* What a program needs to run elsewhere: asked of files that are none, and of loaders that say odd things. */
#include "updater/release/release_closure.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/json.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

/* A program of one header, for a loader whose path takes so many bytes. */
static void
put_program(const struct scratch *s, const char *name, const char *loader, size_t size, uint16_t n_headers,
	size_t len)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr part;
		char loader[128];
	} file = { .head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 } } };

	file.head.e_phoff = sizeof(file.head);
	file.head.e_phnum = n_headers;
	file.part.p_type = PT_INTERP;
	file.part.p_offset = sizeof(file.head) + sizeof(file.part);
	file.part.p_filesz = size;
	(void)snprintf(file.loader, sizeof(file.loader), "%s", loader);
	scratch_put(s, name, &file, len ? len : sizeof(file));
}

static void
ask(const struct scratch *s, const char *name, enum reason reason, const char *says)
{
	SCOPED_JSON *list = json_array();
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/%s", s->path, name);
	assert_refused(release_closure(list, path), reason, says);
	assert_int_equal(json_array_size(list), 0);
}

static void
files_that_are_no_program(void **state)
{
	const struct scratch *s = *state;

	ask(s, "program", REASON_NOT_FOUND, "is its package installed?");
	scratch_write(s, "program", "#!/bin/sh\n", 10);
	ask(s, "program", REASON_MALFORMED, "is no 64-bit ELF program");
	put_program(s, "program", "/lib/ld.so", 11, 1, sizeof(Elf64_Ehdr) + 10);
	ask(s, "program", REASON_MALFORMED, "program headers are cut short");
	put_program(s, "program", "/lib/ld.so", 1, 1, 0);
	ask(s, "program", REASON_MALFORMED, "its loader's path is unreadable");
	put_program(s, "program", "lib/ld.so", 10, 1, 0);
	ask(s, "program", REASON_MALFORMED, "its loader's path is unreadable");
	put_program(s, "program", "/lib/ld.so", 10, 1, 0); /* without the zero at its end */
	ask(s, "program", REASON_MALFORMED, "its loader's path is unreadable");
}

/* Loaders that are none, and say what they were called with. */
static void
loaders_that_cannot_tell(void **state)
{
	const struct scratch *s = *state;

	put_program(s, "program", "/bin/false", 11, 1, 0);
	ask(s, "program", REASON_NOT_FOUND, "the loader cannot list its libraries");
	put_program(s, "lib => gone", "/bin/echo", 10, 1, 0);
	ask(s, "lib => gone", REASON_NOT_FOUND, "=> gone");
}

static void
what_the_loader_lists(void **state)
{
	static const char *const libraries[] = { "/x", "/bin/echo" };
	const struct scratch *s = *state;
	SCOPED_JSON *list = json_array();
	char path[96];

	/* "--list .../lib => /x (0x" is a library's line, its twin adds nothing, one without an arrow neither. */
	assert_int_equal(mkdirat(s->fd, "lib => ", 0700), 0);
	put_program(s, "lib => /x (0x", "/bin/echo", 10, 1, 0);
	put_program(s, "plain", "/bin/echo", 10, 1, 0);
	put_program(s, "static", "", 0, 0, 0);
	for (int i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", s->path,
			i < 2 ? "lib => /x (0x" : i == 2 ? "plain" : "static");
		assert_int_equal(release_closure(list, path), 0);
	}
	assert_int_equal(json_array_size(list), 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(json_string_value(json_array_get(list, i)), libraries[i]);
}

static void
what_the_real_one_lists(void **state)
{
	const struct scratch *s = *state;
	SCOPED_JSON *list = json_array(), *none = json_array();
	char path[96];

	assert_int_equal(release_closure(list, "/bin/sh"), 0);
	assert_in_range(json_array_size(list), 2, 20);
	for (size_t i = 0; i < json_array_size(list); i++)
		assert_int_equal(access(json_string_value(json_array_get(list, i)), R_OK), 0);
	scratch_write(s, "plugin.so", "none", 4);
	(void)snprintf(path, sizeof(path), "%s/plugin.so", s->path);
	assert_refused(release_closure_plugin(none, path), REASON_NOT_FOUND, "the loader cannot list");
	assert_int_equal(json_array_size(none), 0);
}

#define CLOSURE_TEST(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CLOSURE_TEST(files_that_are_no_program),
		CLOSURE_TEST(loaders_that_cannot_tell),
		CLOSURE_TEST(what_the_loader_lists),
		CLOSURE_TEST(what_the_real_one_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
