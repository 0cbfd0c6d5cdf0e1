#include "updater/release/release_build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "updater/object/object_batch.h"
#include "updater/release/release_beside.h"
#include "updater/release/release_payload.h"
#include "updater/release/release_programs.h"
#include "updater/release/release_provenance.h"
#include "updater/release/release_sbom.h"

static const char yaml_name[] = "service.yaml";

static int
compile(struct definition **ret, int folder_fd, uint8_t sha256[SHA256_LEN])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	int r = fs_read(folder_fd, yaml_name, DEFINITION_BYTES_MAX, &b);

	if (r > 0)
		return REFUSE(r, yaml_name, "is not there, no file or too large");
	sha256_of(sha256, b.data, r ? 0 : b.len);
	return r ? FAULT(r) : definition_compile(ret, b.data, b.len, yaml_name, folder_fd);
}

static int
on_missing(const char *member, const char *program, void *arg)
{
	(void)arg;
	return REFUSE(REASON_NOT_FOUND, program, "%s names no program of the payload", member);
}

static void
summarise(struct release_summary *s, const struct tree_index *x, const struct buf *index)
{
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, index->data, index->len);
	(void)snprintf(s->service, sizeof(s->service), "%s", x->service);
	(void)snprintf(s->version, sizeof(s->version), "%s", x->version);
	(void)snprintf(
		s->target, sizeof(s->target), "services/%s/%s/index.json", x->service, x->version);
	sha256_text(s->digest, digest);
	s->files = 0;
	for (size_t i = 0; i < x->n_entries; i++)
		s->files += x->entries[i].type == TREE_TYPE_FILE;
	s->bytes = tree_index_bytes(x);
}

/* A document beside the index, named in the statement. */
static int
put_beside(int out_fd, json_t *statement, const char *file, const struct buf *b)
{
	int r = fs_replace(out_fd, file, b->data, b->len, 0644);

	return r ? FAULT(r) : release_beside_name(statement, file, b->data, b->len);
}

static int
write_beside(int out_fd, struct release_made *m, json_t *statement)
{
	SCOPED(buf_done) struct buf sbom = BUF_MAX(RELEASE_SBOM_MAX);
	SCOPED(buf_done) struct buf provenance = BUF_MAX(RELEASE_SBOM_MAX);
	int r = release_sbom_ask(m);

	r = r ?: release_sbom_write(m, &sbom);
	r = r ?: release_provenance_write(m, &provenance);
	r = r ?: put_beside(out_fd, statement, RELEASE_SBOM, &sbom);
	r = r ?: put_beside(out_fd, statement, RELEASE_PROVENANCE, &provenance);
	json_decref(m->owners);
	json_decref(m->facts);
	return r;
}

/* What a targets key will vouch for, not yet signed. */
static int
write_statement(int out_fd, const struct release_summary *s, struct release_made *m,
	const struct buf *index)
{
	const struct release_options *o = m->options;
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
	json_t *meta = tuf_repo_meta(index->data, index->len, 0);
	SCOPED_JSON *signed_ = json_pack("{s:s, s:i, s:s, s:{s:s, s:s, s:s}}", "_type", "release",
		"v", 1, "target", s->target, "custom", "platform", o->platform, "channel",
		o->channel, "class", o->class);
	int r;

	if (!meta || json_object_update_new(signed_, meta) < 0)
		return FAULT(-ENOMEM);
	r = write_beside(out_fd, m, signed_);
	r = r ?: tuf_repo_sign(&b, signed_, NULL, 0);
	r = r ?: fs_replace(out_fd, RELEASE_FILE, b.data, b.len, 0644);
	return r < 0 ? FAULT(r) : r;
}

/* --- where it goes -------------------------------------------------------------------------------- */
/* The folder of a release: gone again, with those above it that were missing, unless the release is whole. */
struct output {
	int fd, objects_fd;
	struct object_batch *objects;
	char *path;   /* ours */
	size_t there; /* so much of path was there before */
	bool whole;
};

static void
output_done(struct output *o)
{
	size_t len = o->path ? strlen(o->path) : 0;

	object_batch_free(o->objects);
	scope_close(&o->objects_fd);
	if (!o->whole && o->fd >= 0)
		(void)unlinkat(o->fd, "objects", AT_REMOVEDIR); /* refused where an earlier build filled it */
	scope_close(&o->fd);
	if (!o->whole && len > o->there)
		(void)fs_remove_tree(AT_FDCWD, o->path);
	for (; !o->whole && len > o->there; len--)
		if (o->path[len] == '/') {
			o->path[len] = '\0';
			(void)rmdir(o->path);
		}
	free(o->path);
}

/* A repository, or a service's own folder, is not written into by a slip of the hand. */
static int
check_former(const char *out)
{
	static const char *const ours[] = { ".", "..", "definition.json", "index.json", "objects", RELEASE_FILE, RELEASE_SBOM,
		RELEASE_PROVENANCE };
	SCOPED(scope_closedir) DIR *d = opendir(out);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		bool is = !strncmp(e->d_name, ".tmp.", 5);

		for (size_t i = 0; !is && i < ARRAY_LEN(ours); i++)
			is = !strcmp(e->d_name, ours[i]);
		if (!is)
			return REFUSE(REASON_CONFLICT, out, "holds \"%s\", which no build made: name a new folder, or a former build's",
				e->d_name);
	}
	return 0;
}

static int
open_output(struct output *o, const char *out)
{
	struct stat st;
	size_t len;
	int r = check_former(out);

	if (r)
		return r;
	o->path = strdup(out);
	if (!o->path)
		return FAULT(-ENOMEM);
	while ((len = o->there + strspn(out + o->there, "/"), len += strcspn(out + len, "/")) > o->there) {
		o->path[len] = '\0';
		r = stat(o->path, &st);
		o->path[len] = out[len];
		if (r < 0)
			break;
		o->there = len;
	}
	r = fs_open_dir(&o->fd, AT_FDCWD, out, 0755);
	r = r ?: fs_open_dir(&o->objects_fd, o->fd, "objects", 0755);
	return r ?: object_batch_new(&o->objects, o->objects_fd);
}

int
release_build(const char *folder, const char *out, const struct release_options *options,
	struct release_summary *ret)
{
	SCOPED(scope_close) int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(output_done) struct output to = { .fd = -1, .objects_fd = -1 };
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED_JSON *origins = NULL;
	SCOPED(buf_done) struct buf definition = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(buf_done) struct buf index = BUF_MAX(TREE_INDEX_BYTES_MAX);
	uint8_t yaml[SHA256_LEN], digest[SHA256_LEN];
	struct release_options o = *options;
	struct release_made made = { .folder_file = yaml, .index = digest, .options = &o };
	int r;

	if (folder_fd < 0)
		return REFUSE(REASON_NOT_FOUND, folder, "is no folder");
	r = compile(&d, folder_fd, yaml);
	r = r ?: definition_write(d, &definition);
	if (r)
		return r;
	if (!o.class)
		o.class = d->class == DEFINITION_CLASS_CORE ? "core" : "service";
	r = open_output(&to, out);
	r = r ?: object_batch_put(to.objects, definition.data, definition.len, NULL);
	r = r ?: tree_index_new(&x, d->name, d->version, d->digest);
	r = r ?: release_payload(x, d, folder_fd, to.objects, &origins, NULL, NULL);
	r = r ?: tree_index_seal(x);
	r = r ?: release_programs_missing(d, x, on_missing, NULL);
	r = r ?: tree_index_write(x, &index);
	r = r ?: object_batch_commit(to.objects);
	if (r)
		return r < 0 ? FAULT(r) : r;
	summarise(ret, x, &index);
	r = fs_replace(to.fd, "definition.json", definition.data, definition.len, 0644);
	r = r ?: fs_replace(to.fd, "index.json", index.data, index.len, 0644);
	if (r)
		return FAULT(r);
	sha256_of(digest, index.data, index.len);
	made.x = x;
	made.origins = origins;
	made.objects_fd = to.objects_fd;
	r = write_statement(to.fd, ret, &made, &index);
	to.whole = r == 0;
	return r;
}

int
release_sign(const char *dir, const struct ed25519 *key, struct release_summary *ret)
{
	SCOPED(scope_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(buf_done) struct buf statement = BUF_MAX(64 * 1024), again = BUF_MAX(64 * 1024);
	SCOPED(buf_done) struct buf index = BUF_MAX(TREE_INDEX_BYTES_MAX);
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED_JSON *signed_ = NULL;
	struct tuf_split measured = { 0 };
	int r;

	r = fd < 0 ? REASON_NOT_FOUND : fs_read(fd, RELEASE_FILE, 64 * 1024, &statement);
	r = r ?: fs_read(fd, "index.json", TREE_INDEX_BYTES_MAX, &index);
	if (r > 0)
		return REFUSE(r, dir, "is no built release");
	r = r ?: tree_index_read(&x, index.data, index.len);
	r = r ?: tuf_split(&split, statement.data, statement.len, 64 * 1024, RELEASE_FILE);
	r = r ?: tuf_parse(&signed_, &split.canonical, RELEASE_FILE);
	r = r ?: tuf_split_measure(&measured, index.data, index.len);
	r = r
		?: tuf_measure_check(signed_, true, measured.length, measured.sha256,
			   measured.sha512, "index.json");
	r = r ?: release_beside_check(fd, signed_);
	r = r ?: tuf_repo_cosign(&again, statement.data, statement.len, key);
	if (r)
		return r < 0 ? FAULT(r) : r;
	summarise(ret, x, &index);
	return FAULT(fs_replace(fd, RELEASE_FILE, again.data, again.len, 0644));
}
