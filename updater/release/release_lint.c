#include "updater/release/release_lint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/service/definition.h"
#include "appliance/tree/index.h"
#include "updater/release/release_advice.h"
#include "updater/release/release_findings.h"
#include "updater/release/release_payload.h"
#include "updater/release/release_programs.h"

static const char yaml_name[] = "service.yaml";

static void
free_yaml(struct yaml_node **n)
{
	*n = yaml_node_free(*n);
}

static void
on_fault(const struct refusal *why, void *arg)
{
	release_findings_refusal(arg, why);
}

static int
on_missing(const char *member, const char *program, void *arg)
{
	release_findings_missing(arg, member, "%s is no program of the payload", program);
	return 0;
}

/* --- the tree -------------------------------------------------------------------------------------- */
/* What would be built, without keeping it.  Each thing of the payload that is refused is told; what is judged of the whole
 * tree builds on all of them. */
static int
check_payload(struct release_findings *f, const struct definition *d, int folder_fd)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED_JSON *origins = NULL;
	size_t errors = f->errors;
	int r = tree_index_new(&x, d->name, d->version, d->digest);

	r = r ?: release_payload(x, d, folder_fd, NULL, &origins, on_fault, f);
	if (r || f->errors != errors)
		return FAULT(r);
	r = tree_index_seal(x);
	if (r > 0)
		release_findings_refusal(f, refuse_last());
	return r < 0 ? FAULT(r) : r > 0 ? 0 : release_programs_missing(d, x, on_missing, f);
}

/* --- files that nothing names ------------------------------------------------------------------------ */
static bool
names_it(const json_t *list, const char *member, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_text(json_array_get(list, i), member);
		size_t n = strlen(name);

		if (!strncmp(text, name, n) && (!text[n] || text[n] == '/'))
			return true;
	}
	return false;
}

static void
check_file(struct release_findings *f, const json_t *yaml, const char *name)
{
	const json_t *payload = json_object_get(yaml, "payload");
	const char *tree = json_text(payload, "tree");
	size_t n = strlen(name);

	if (name[0] == '.' || !strcmp(name, yaml_name) || !strcmp(name, "README.md") || !strcmp(name, "alerts.test.yaml") ||
		names_it(json_object_get(yaml, "config"), "template", name) ||
		names_it(json_object_get(payload, "files"), "from", name) ||
		(!strncmp(tree, name, n) && (!tree[n] || tree[n] == '/')))
		return;
	release_findings_warn(f, "", "%s lies in the folder and nothing names it", name);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
check_files(struct release_findings *f, const json_t *yaml, int folder_fd)
{
	enum { MANY = 1024 };
	SCOPED(scope_closedir) DIR *dir = NULL;
	char *names[MANY];
	size_t n = 0;
	struct dirent *e;
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return FAULT(-errno);
	while (n < MANY && (e = readdir(dir))) {
		names[n] = strdup(e->d_name);
		if (names[n])
			n++;
		else
			f->r = FAULT(-ENOMEM);
	}
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		check_file(f, yaml, names[i]);
		free(names[i]);
	}
	if (faccessat(folder_fd, "README.md", R_OK, 0) < 0)
		release_findings_warn(f, "", "there is no README.md to say what the service is and is not for");
	return 0;
}

/* --- the whole ----------------------------------------------------------------------------------- */
static int
look_through(struct release_findings *f, const struct buf *b, int folder_fd)
{
	SCOPED(free_yaml) struct yaml_node *yaml = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED_JSON *json = NULL;
	int parsed, r = definition_compile_all(&d, b->data, b->len, yaml_name, folder_fd, on_fault, f);

	if (r < 0)
		return FAULT(r);
	/* Refused as a whole, and not member by member: too large. */
	if (r > 0 && f->errors == 0)
		release_findings_refusal(f, refuse_last());
	parsed = yaml_parse(&yaml, b->data, b->len, yaml_name);
	parsed = parsed ?: yaml_json(&json, yaml);
	if (parsed)
		return parsed < 0 ? FAULT(parsed) : 0; /* a refusal is among the findings */
	f->yaml = yaml;
	r = d ? check_payload(f, d, folder_fd) : 0;
	if (!r && d)
		release_advice(f, d);
	return r ?: check_files(f, json, folder_fd);
}

int
release_lint(const char *folder, json_t **ret_items, size_t *ret_errors)
{
	SCOPED(scope_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED_JSON *items = json_array();
	struct release_findings f = { .items = items, .file = yaml_name };
	int r = fd < 0 ? REASON_NOT_FOUND : fs_read(fd, yaml_name, DEFINITION_BYTES_MAX, &b);

	if (r > 0)
		return REFUSE(r, folder, "is no folder with a service.yaml of at most %d bytes",
			DEFINITION_BYTES_MAX);
	r = r ?: items ? look_through(&f, &b, fd) : -ENOMEM;
	r = r ?: f.r;
	if (r)
		return FAULT(r);
	*ret_items = STEAL(items);
	*ret_errors = f.errors;
	return 0;
}
