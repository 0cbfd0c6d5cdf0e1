#include "updater/release/release_sbom.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/trust/sha256.h"
#include "appliance/tree/index.h"
#include "updater/object/object.h"
#include "updater/release/release_build.h"
#include "updater/release/release_licence.h"
#include "updater/release/release_package.h"
#include "updater/release/release_sha1.h"

/* --- who brought what ---------------------------------------------------------------------------- */
static int
ask_facts(struct release_made *m)
{
	SCOPED_JSON *names = json_array(), *seen = json_object();
	const char *path;
	json_t *owner;

	json_object_foreach(m->owners, path, owner) {
		const char *name = json_string_value(owner);

		if (!json_object_get(seen, name) &&
			(json_object_set_new(seen, name, json_true()) < 0 ||
				json_array_append(names, owner) < 0))
			return FAULT(-ENOMEM);
	}
	return release_package_facts(&m->facts, names);
}

int
release_sbom_ask(struct release_made *m)
{
	SCOPED_JSON *paths = json_array();
	const char *path;
	json_t *origin;
	int r;

	m->owners = m->facts = NULL;
	json_object_foreach((json_t *)m->origins, path, origin) {
		if (json_string_value(origin)[0] == '/' && json_array_append(paths, origin) < 0)
			return FAULT(-ENOMEM);
	}
	/* A tree of the folder's own files can be built where there is no dpkg. */
	if (json_array_size(paths) == 0 || access("/usr/bin/dpkg-query", X_OK) != 0) {
		m->owners = json_object();
		m->facts = json_object();
		return m->owners && m->facts ? 0 : FAULT(-ENOMEM);
	}
	r = release_package_owners(&m->owners, paths);
	return r ?: ask_facts(m);
}

/* --- SPDX ---------------------------------------------------------------------------------------- */
struct spdx {
	const struct release_made *m;
	json_t *packages, *files, *relations, *licences;
	json_t *numbers; /* package -> its SPDXID */
	char (*sha1)[41];
	size_t n_files;
};

static const char document[] = "SPDXRef-DOCUMENT", whole[] = "SPDXRef-Release", none[] = "NOASSERTION";

static int
relate(struct spdx *s, const char *from, const char *how, const char *to)
{
	return json_array_append_new(s->relations,
		       json_pack("{s:s, s:s, s:s}", "spdxElementId", from, "relationshipType", how,
			       "relatedSpdxElement", to)) < 0
		? FAULT(-ENOMEM)
		: 0;
}

/* "A B <c@d>" is "A B (c@d)" there. */
static void
supplier(char *out, size_t size, const char *maintainer)
{
	(void)snprintf(out, size, "Organization: %s", maintainer);
	for (char *p = out; *p; p++)
		*p = *p == '<' ? '(' : *p == '>' ? ')' : *p;
}

static int
add_package(struct spdx *s, const char *name, size_t n)
{
	const json_t *f = json_object_get(s->m->facts, name);
	SCOPED(scope_free) char *licence = NULL;
	char id[32], by[512], url[600], source[300];
	json_t *one;
	int r = release_licence_of(&licence, name, s->licences);

	if (r)
		return r;
	(void)snprintf(id, sizeof(id), "SPDXRef-Package-%zu", n + 1);
	supplier(by, sizeof(by), json_text(f, "maintainer"));
	release_package_url(url, sizeof(url), f);
	(void)snprintf(source, sizeof(source), "built from %s %s", json_text(f, "source"),
		json_text(f, "source_version"));
	one = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:s}]}",
		"SPDXID", id, "name", json_text(f, "name"), "versionInfo", json_text(f, "version"),
		"supplier", by, "downloadLocation", none, "filesAnalyzed", 0, "licenseConcluded",
		none, "licenseDeclared", licence, "copyrightText", none, "sourceInfo", source,
		"externalRefs", "referenceCategory", "PACKAGE-MANAGER", "referenceType", "purl",
		"referenceLocator", url);
	if (*json_text(f, "homepage") && json_object_set(one, "homepage", json_object_get(f, "homepage")) < 0)
		r = -1;
	if (json_array_append_new(s->packages, one) < 0 || r ||
		json_object_set_new(s->numbers, name, json_string(id)) < 0)
		return FAULT(-ENOMEM);
	return relate(s, whole, "CONTAINS", id);
}

static int
add_packages(struct spdx *s)
{
	size_t n = 0;
	SCOPED(scope_free) const char **names = release_package_sorted(s->m->facts, &n);
	int r = names ? 0 : FAULT(-ENOMEM);

	for (size_t i = 0; !r && i < n; i++)
		r = add_package(s, names[i], i);
	return r;
}

static int
sha1_of(struct spdx *s, const struct tree_entry *e, char hex[41])
{
	SCOPED(scope_close) int fd = memfd_create("file", MFD_CLOEXEC);
	uint8_t sha1[SHA1_LEN];
	int r;

	if (fd < 0)
		return FAULT(-errno);
	r = object_copy(s->m->objects_fd, e->sha256, e->size, true, fd);
	r = r ?: release_sha1_fd(fd, sha1);
	if (!r)
		hex_encode(hex, sha1, sizeof(sha1));
	return r;
}

static int
add_file(struct spdx *s, const struct tree_entry *e)
{
	const char *origin = json_text(s->m->origins, e->path),
		   *package = json_text(s->numbers, json_text(s->m->owners, origin));
	char id[32], name[TREE_PATH_MAX + 4], hex[65];
	int r = sha1_of(s, e, s->sha1[s->n_files]);

	if (r)
		return r;
	hex_encode(hex, e->sha256, sizeof(e->sha256));
	(void)snprintf(id, sizeof(id), "SPDXRef-File-%zu", s->n_files + 1);
	(void)snprintf(name, sizeof(name), "./%s", e->path);
	if (json_array_append_new(s->files,
		    json_pack("{s:s, s:s, s:[{s:s, s:s}, {s:s, s:s}], s:s, s:[s], s:s}", "SPDXID",
			    id, "fileName", name, "checksums", "algorithm", "SHA1",
			    "checksumValue", s->sha1[s->n_files], "algorithm", "SHA256",
			    "checksumValue", hex, "licenseConcluded", none, "licenseInfoInFiles",
			    none, "copyrightText", none)) < 0)
		return FAULT(-ENOMEM);
	s->n_files++;
	r = relate(s, whole, "CONTAINS", id);
	return r || !*package ? r : relate(s, package, "CONTAINS", id);
}

/* SHA-1 of all files' SHA-1 in hex, sorted: SPDX's way of naming a set of files. */
static int
verification_code(struct spdx *s, char hex[41])
{
	uint8_t sha1[SHA1_LEN];
	SCOPED(buf_done) struct buf b = BUF_MAX(TREE_ENTRIES_MAX * 40);
	int r;

	qsort(s->sha1, s->n_files, sizeof(*s->sha1), (int (*)(const void *, const void *))strcmp);
	for (size_t i = 0; i < s->n_files; i++)
		buf_puts(&b, s->sha1[i]);
	r = buf_error(&b) ?: release_sha1(b.data, b.len, sha1);
	if (!r)
		hex_encode(hex, sha1, sizeof(sha1));
	return r;
}

static int
add_whole(struct spdx *s)
{
	const struct tree_index *x = s->m->x;
	char code[41];
	int r = verification_code(s, code);

	if (r)
		return r;
	if (json_array_insert_new(s->packages, 0,
		    json_pack("{s:s, s:s, s:s, s:s, s:b, s:{s:s}, s:s, s:s, s:s, s:[s]}", "SPDXID",
			    whole, "name", x->service, "versionInfo", x->version, "downloadLocation", none,
			    "filesAnalyzed", 1, "packageVerificationCode",
			    "packageVerificationCodeValue", code, "licenseConcluded", none,
			    "licenseDeclared", none, "copyrightText", none, "licenseInfoFromFiles",
			    none)) < 0)
		return FAULT(-ENOMEM);
	return relate(s, document, "DESCRIBES", whole);
}

static json_t *
extracted(const json_t *licences)
{
	SCOPED_JSON *list = json_array();
	const char *ref;
	json_t *name;
	char text[256];

	json_object_foreach((json_t *)licences, ref, name) {
		(void)snprintf(text, sizeof(text),
			"Debian calls it %s; its text is in /usr/share/doc/PACKAGE/copyright", json_string_value(name));
		if (json_array_append_new(list,
			    json_pack("{s:s, s:O, s:s}", "licenseId", ref, "name", name, "extractedText", text)) < 0)
			return NULL;
	}
	return STEAL(list);
}

static int
write_document(struct spdx *s, struct buf *out)
{
	const struct tree_index *x = s->m->x;
	char name[160], space[300], hex[65], time[CLOCK_TEXT_MAX];
	SCOPED_JSON *doc = NULL;
	int r;

	hex_encode(hex, s->m->index, SHA256_LEN);
	(void)snprintf(name, sizeof(name), "%s-%s", x->service, x->version);
	(void)snprintf(space, sizeof(space), "https://spdx.org/spdxdocs/%s-%s", name, hex);
	clock_format_s(time, s->m->options->epoch_us);
	doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:[s]}, s:O, s:O, s:O}", "spdxVersion",
		"SPDX-2.3", "dataLicense", "CC0-1.0", "SPDXID", document, "name", name,
		"documentNamespace", space, "creationInfo", "created", time, "creators",
		"Tool: mainstay-release", "packages", s->packages, "files", s->files,
		"relationships", s->relations);
	if (!doc || (json_object_size(s->licences) > 0 &&
			    json_object_set_new(doc, "hasExtractedLicensingInfos", extracted(s->licences)) < 0))
		return FAULT(-ENOMEM);
	r = json_canonical(out, doc);
	r = r ?: buf_error(out);
	return r < 0 ? FAULT(r) : r;
}

int
release_sbom_write(const struct release_made *m, struct buf *out)
{
	SCOPED_JSON *packages = json_array(), *files = json_array(), *relations = json_array(),
		    *licences = json_object(), *numbers = json_object();
	SCOPED(scope_free) char(*sha1)[41] = calloc(m->x->n_entries + 1, sizeof(*sha1));
	struct spdx s = { m, packages, files, relations, licences, numbers, sha1, 0 };
	int r = sha1 && numbers ? add_packages(&s) : FAULT(-ENOMEM);

	for (size_t i = 0; !r && i < m->x->n_entries; i++) {
		if (m->x->entries[i].type == TREE_TYPE_FILE)
			r = add_file(&s, &m->x->entries[i]);
	}
	r = r ?: add_whole(&s);
	return r ?: write_document(&s, out);
}
