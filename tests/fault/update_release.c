/* The releases that come and go, as a courier would have brought them. */
#include "tests/fault/update_world.h"

#include "appliance/trust/sha256.h"
#include "updater/activate/core_approved.h"
#include "updater/activate/core_change.h"
#include "updater/object/patch.h"

enum { LARGE = 300 * 1000, NAMES = 128 };

static const char *const programs[] = { "mainstay", "mainstay-activate", "mainstay-collectd",
	"mainstay-courier", "mainstay-judge", "mainstay-notify", "mainstay-operate",
	"mainstay-supervise", "mainstayd" };

static void
seal(struct world *w, struct tree_index *x, const char *folder, struct bench_release *ret)
{
	uint8_t digest[32];
	char name[NAMES];

	need(tree_index_seal(x) == 0, "index");
	ret->index = BUF_MAX(1 << 16);
	need(tree_index_write(x, &ret->index) == 0, "index");
	sha256_of(digest, ret->index.data, ret->index.len);
	hex_encode(ret->hex, digest, sizeof(digest));
	(void)snprintf(name, sizeof(name), "%s.index.json", ret->hex);
	bench_file(&w->b, folder, name, ret->index.data, ret->index.len);
}

static int
objects_folder(struct world *w)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/incoming/objects", w->t.paths.lib);
	need(fs_open_dir(&fd, -1, path, 0755) == 0, "objects");
	return fd;
}

static void
add(struct tree_index *x, const char *path, enum tree_type type, unsigned mode,
	const uint8_t sha256[32], size_t size, const char *target)
{
	struct tree_entry e = { .path = (char *)path,
		.type = type,
		.mode = mode,
		.size = size,
		.target = (char *)target };

	if (sha256)
		memcpy(e.sha256, sha256, 32);
	need(tree_index_add(x, &e) == 0, "%s", path);
}

/* Compile what it says of itself, and put that among the objects. */
static void
define(struct world *w, int objects, const char *text, uint8_t ret[32])
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf json = BUF_MAX(DEFINITION_BYTES_MAX);

	need(definition_compile(&d, text, strlen(text), "service.yaml", w->t.dir.fd) == 0,
		"definition");
	need(definition_write(d, &json) == 0 && object_put(objects, json.data, json.len, ret) == 0,
		"definition");
}

/* The large file of the n-th release: noise, of which a piece is another each time. */
static void
large(unsigned n, uint8_t *p)
{
	uint32_t drawn = 1;

	for (size_t i = 0; i < LARGE; i++) {
		drawn = drawn * 1664525 + 1013904223;
		p[i] = (uint8_t)(drawn >> 24);
	}
	for (size_t i = 0; i < 1000; i++)
		p[LARGE / 2 + i] = (uint8_t)(p[i] + n);
}

/* What the courier brings of it: the object the first time, then a patch. */
static void
bring_large(struct world *w, int objects, unsigned n, uint8_t ret[32])
{
	SCOPED(scope_free) uint8_t *p = malloc(LARGE);
	SCOPED(buf_done) struct buf patch = BUF_MAX(LARGE);
	SCOPED(scope_close) int from = -1, to = -1;
	uint8_t before[32];
	char name[PATCH_NAME_MAX];

	if (n > 1) {
		large(n - 1, p);
		sha256_of(before, p, LARGE);
		need(fs_memfd(&from, "from", p, LARGE) == 0, "from");
	}
	large(n, p);
	sha256_of(ret, p, LARGE);
	if (n == 1) {
		need(object_put(objects, p, LARGE, ret) == 0, "object");
		return;
	}
	need(fs_memfd(&to, "to", p, LARGE) == 0 && patch_make(&patch, from, to, LARGE) == 0,
		"patch");
	bench_file(&w->b, "incoming/patches", patch_name(name, before, ret), patch.data, patch.len);
}

void
world_release(struct world *w, unsigned n, struct bench_release *ret)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(scope_close) int objects = objects_folder(w);
	char text[2048], version[16], folder[NAMES];
	uint8_t digest[32];

	(void)snprintf(version, sizeof(version), "%u", n);
	(void)snprintf(text, sizeof(text),
		"name: redis\nversion: \"%u\"\nexec: [/bin/run]\npayload: {tree: "
		"tree}\noperations:\n"
		"  look: {argv: [/bin/run, look], risk: observe}\n",
		n);
	define(w, objects, text, digest);
	need(tree_index_new(&x, "redis", version, digest) == 0, "index");
	add(x, "bin", TREE_TYPE_DIR, 0755, NULL, 0, NULL);
	add(x, "etc", TREE_TYPE_DIR, 0755, NULL, 0, NULL);
	add(x, "hollow", TREE_TYPE_DIR, 0555, NULL, 0, NULL);
	add(x, "share", TREE_TYPE_DIR, 0755, NULL, 0, NULL);
	add(x, "share/deep", TREE_TYPE_DIR, 0555, NULL, 0, NULL);
	add(x, "bin/also", TREE_TYPE_LINK, 0, NULL, 0, "run");
	need(object_put(objects, "#!/bin/sh\n", 10, digest) == 0, "object");
	add(x, "bin/run", TREE_TYPE_FILE, 0755, digest, 10, NULL);
	add(x, "bin/twice", TREE_TYPE_FILE, 0555, digest, 10, NULL);
	need(object_put(objects, "", 0, digest) == 0, "object");
	add(x, "share/deep/nothing", TREE_TYPE_FILE, 0444, digest, 0, NULL);
	(void)snprintf(text, sizeof(text), "this is release %u\n", n);
	need(object_put(objects, text, strlen(text), digest) == 0, "object");
	add(x, "etc/motd", TREE_TYPE_FILE, 0644, digest, strlen(text), NULL);
	bring_large(w, objects, n, digest);
	add(x, "share/large", TREE_TYPE_FILE, 0644, digest, LARGE, NULL);
	(void)snprintf(ret->target, sizeof(ret->target), "services/redis/%s/index.json", version);
	(void)snprintf(folder, sizeof(folder), "incoming/tuf/targets/services/redis/%s", version);
	seal(w, x, folder, ret);
}

void
world_core(struct world *w, unsigned n, struct bench_release *ret)
{
	static const char definition[] =
		"name: mainstay\nversion: \"%u\"\nclass: core\nexec: [/bin/mainstayd]\nheal: "
		"never\n"
		"payload: {tree: tree}\ndata: {folders: [], format: mainstay-1, accepts: "
		"[mainstay-0]}\nknobs:\n"
		"  tries: {type: int, min: 0, max: 99, default: 2, apply: next-start, help: a}\n"
		"  trial-seconds: {type: int, min: 1, max: 60, default: 60, apply: next-start, "
		"help: a}\n"
		"  soak-seconds: {type: int, min: 0, max: 9, default: 0, apply: next-start, help: "
		"a}\n";
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(scope_close) int objects = objects_folder(w);
	char text[2048], version[16];
	uint8_t digest[32];

	(void)snprintf(version, sizeof(version), "%u", n);
	(void)snprintf(text, sizeof(text), definition, n);
	define(w, objects, text, digest);
	need(tree_index_new(&x, CORE_SERVICE, version, digest) == 0, "index");
	add(x, "bin", TREE_TYPE_DIR, 0755, NULL, 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		(void)snprintf(text, sizeof(text), "#!/bin/sh\n# %s %u\n", programs[i], n);
		need(object_put(objects, text, strlen(text), digest) == 0, "object");
		(void)snprintf(text + 512, sizeof(text) - 512, "bin/%s", programs[i]);
		add(x, text + 512, TREE_TYPE_FILE, 0755, digest, strlen(text), NULL);
	}
	seal(w, x, "incoming/core", ret);
	need(hex_decode(digest, sizeof(digest), ret->hex) &&
			core_approved_add(w->t.m->dir_fd, digest) == 0,
		"approval");
}
