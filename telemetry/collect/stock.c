#include "telemetry/collect/stock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"

enum { KEPT_MAX = 16 * 1024, BODY_MAX = 4 * 1024 * 1024, PATH_BYTES = 512 };

void
stock_forget(struct stock *s)
{
	memset(s->digests, 0, sizeof(s->digests));
	s->look_at_us = 0;
}

void
stock_open(struct stock *s, int dir_fd)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(KEPT_MAX);
	SCOPED_JSON *kept = NULL;
	const char *site;

	*s = (struct stock){ .dir_fd = dir_fd };
	if (fs_read(dir_fd, STOCK_NAME, in.max, &in) != 0 ||
		json_read(&kept, in.data, in.len, in.max, STOCK_NAME) != 0)
		return;
	site = json_text(kept, "site");
	(void)snprintf(s->site, sizeof(s->site), "%s", site ? site : "");
	for (size_t i = 0; i < INVENTORY_GROUPS; i++) {
		const char *digest = json_text(json_object_get(kept, "groups"), inventory_name(i));

		(void)snprintf(s->digests[i], sizeof(s->digests[i]), "%s", digest ? digest : "");
	}
}

void
stock_again(struct stock *s)
{
	s->look_at_us = 0;
}

/* dpkg replaces its file with each change. */
static bool
packages_changed(struct stock *s, const char *root)
{
	char path[PATH_BYTES];
	struct stat st;
	bool changed;

	(void)snprintf(path, sizeof(path), "%s/var/lib/dpkg/status", root);
	if (stat(path, &st) < 0)
		return false;
	changed = st.st_mtim.tv_sec != s->packages.tv_sec || st.st_mtim.tv_nsec != s->packages.tv_nsec;
	s->packages = st.st_mtim;
	return changed;
}

bool
stock_due(struct stock *s, const char *root, const char *site, uint64_t mono_us, bool *ret_groups)
{
	struct stat st;
	bool all, packages;

	if (strcmp(site, s->site) != 0) {
		(void)snprintf(s->site, sizeof(s->site), "%s", site);
		stock_forget(s);
	} else if (*s->site && fstatat(s->dir_fd, STOCK_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
		for (size_t i = 0; i < INVENTORY_GROUPS; i++)
			if (s->digests[i][0]) { /* it was there */
				stock_forget(s);
				break;
			}
	}
	packages = packages_changed(s, root);
	all = mono_us >= s->look_at_us;
	if (all)
		s->look_at_us = mono_us + STOCK_EVERY_S * CLOCK_US_PER_S;
	for (size_t i = 0; i < INVENTORY_GROUPS; i++)
		ret_groups[i] = all || (packages && i == INVENTORY_PACKAGES);
	return all || packages;
}

int
stock_same(const struct stock *s, enum inventory_group group, const json_t *body, char digest[SHA256_TEXT_MAX],
	bool *ret_same)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(BODY_MAX);
	uint8_t hash[SHA256_LEN];
	int r = json_canonical(&out, body);

	if (r < 0)
		return FAULT(r);
	sha256_of(hash, out.data, out.len);
	(void)sha256_text(digest, hash);
	*ret_same = strcmp(digest, s->digests[group]) == 0;
	return 0;
}

int
stock_written(struct stock *s, enum inventory_group group, const char *digest)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(KEPT_MAX);
	SCOPED_JSON *groups = json_object();
	SCOPED_JSON *doc = groups ? json_pack("{s:s, s:O}", "site", s->site, "groups", groups) : NULL;
	int r = doc ? 0 : -ENOMEM;

	(void)snprintf(s->digests[group], sizeof(s->digests[group]), "%s", digest);
	for (size_t i = 0; i < INVENTORY_GROUPS && r == 0; i++)
		if (s->digests[i][0])
			r = json_put_text(groups, inventory_name(i), s->digests[i]);
	r = r ?: json_canonical(&out, doc);
	r = r ?: fs_replace(s->dir_fd, STOCK_NAME, out.data, out.len, 0640);
	return FAULT(r);
}

void
stock_ask(struct inventory_ask *ask, const char *pointers[CONFIG_CERTIFICATES_MAX],
	const struct config_settings *settings)
{
	for (size_t i = 0; i < settings->n_certificates; i++)
		pointers[i] = settings->certificates[i];
	*ask = (struct inventory_ask){ .root = "", .certificates = pointers, .n_certificates = settings->n_certificates };
}
