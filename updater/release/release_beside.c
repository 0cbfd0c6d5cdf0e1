#include "updater/release/release_beside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_provenance.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_sbom.h"

static const char *const files[] = { RELEASE_PROVENANCE, RELEASE_SBOM };
static const char member[] = "beside";

int
release_beside_name(json_t *statement, const char *file, const void *p, size_t len)
{
	json_t *beside = json_object_get(statement, member);

	if (!beside && json_object_set_new(statement, member, json_object()) < 0)
		return FAULT(-ENOMEM);
	beside = json_object_get(statement, member);
	return json_object_set_new(beside, file, tuf_repo_meta(p, len, 0)) < 0 ? FAULT(-ENOMEM) : 0;
}

static bool
is_known(const char *file)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!strcmp(files[i], file))
			return true;
	}
	return false;
}

static int
read_one(int dir_fd, const char *file, const json_t *meta, struct buf *out)
{
	SCOPED(tuf_split_done) struct tuf_split is = { 0 };
	int r;

	/* It becomes the end of a path. */
	if (!is_known(file))
		return REFUSE(REASON_MALFORMED, file, "is no document that stands beside a release");
	r = fs_read(dir_fd, file, RELEASE_SBOM_MAX, out);
	if (r > 0)
		return REFUSE(r, file, "stands in the release's statement and is not beside its index");
	if (r < 0)
		return FAULT(r);
	r = tuf_split_measure(&is, out->data, out->len);
	return r ?: tuf_measure_check(meta, true, is.length, is.sha256, is.sha512, file);
}

int
release_beside_check(int dir_fd, const json_t *statement)
{
	const char *file;
	json_t *meta;

	json_object_foreach(json_object_get(statement, member), file, meta) {
		SCOPED(buf_done) struct buf b = BUF_MAX(RELEASE_SBOM_MAX);
		int r = read_one(dir_fd, file, meta, &b);

		if (r)
			return r;
	}
	return 0;
}

int
release_beside_publish(struct release_repo *repo, int dir_fd, const json_t *statement, json_t *metas)
{
	const char *target = json_text(statement, "target"), *file;
	size_t folder = strlen(target) - strlen(strrchr(target, '/') ?: "");
	json_t *meta;

	json_object_foreach(json_object_get(statement, member), file, meta) {
		SCOPED(buf_done) struct buf b = BUF_MAX(RELEASE_SBOM_MAX);
		char path[256];
		int r = read_one(dir_fd, file, meta, &b);

		(void)snprintf(path, sizeof(path), "%.*s/%s", (int)folder, target, file);
		r = r ?: release_repo_put_target(repo, path, b.data, b.len);
		if (r)
			return r;
		if (json_object_set(metas, path, meta) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

int
release_beside_verify(const char *path, const void *p, size_t len, const char *index_sha256)
{
	const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	SCOPED_JSON *doc = NULL;
	const char *about;
	int r;

	if (!is_known(file))
		return REFUSE(REASON_ALTERED, path, "is no file of a release");
	r = json_read_canonical(&doc, p, len, RELEASE_SBOM_MAX, path);
	if (r)
		return r;
	if (!strcmp(file, RELEASE_SBOM)) {
		about = json_text(doc, "documentNamespace");
		about = strlen(about) > 64 ? about + strlen(about) - 64 : "";
	} else {
		about = json_text(json_object_get(json_array_get(json_object_get(doc, "subject"), 0), "digest"),
			"sha256");
	}
	if (strcmp(about, index_sha256) != 0)
		return REFUSE(REASON_ALTERED, path, "is about another index than the one beside it");
	return 0;
}
