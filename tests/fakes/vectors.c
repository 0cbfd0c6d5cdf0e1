#include "tests/fakes/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

char *
vectors_folder(const char *name)
{
	const char *root = getenv("VECTORS");
	char *path = NULL;

	if (root && asprintf(&path, "%s/%s", root, name) < 0)
		path = NULL;
	if (!path || access(path, R_OK) < 0) {
		print_message("vectors %s are absent (VECTORS=%s)\n", name, root ? root : "");
		free(path);
		skip();
	}
	return path;
}

void
vectors_ran(const char *set, size_t ran, size_t without_form)
{
	print_message("vectors %s: %zu ran, %zu have no form here\n", set, ran, without_form);
}

json_t *
vectors_load(const char *name)
{
	char *path = vectors_folder(name);
	json_error_t error;
	json_t *v = json_load_file(path, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);

	if (!v)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	free(path);
	return v;
}
