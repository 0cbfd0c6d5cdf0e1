#include "updater/activate/stored.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"

enum { HEX_LEN = 64 };

struct stored {
	struct tree_index *trees[STORED_TREES_MAX];
	char hex[STORED_TREES_MAX][HEX_LEN + 1];
	size_t n_trees;
	struct stored_file *files; /* sorted by bytes, then mode */
	size_t n_files;
};

struct stored *
stored_free(struct stored *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->n_trees; i++)
		tree_index_free(h->trees[i]);
	free(h->files);
	free(h);
	return NULL;
}

/* "HEX.json" of a tree that stands whole. */
static bool
is_index(int store_fd, const char *name, char hex[HEX_LEN + 1])
{
	struct stat st;

	if (strspn(name, "0123456789abcdef") != HEX_LEN || strcmp(name + HEX_LEN, ".json") != 0)
		return false;
	(void)snprintf(hex, HEX_LEN + 1, "%s", name);
	return fstatat(store_fd, hex, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Not the tree of another service, whose index is read for nothing then; there are few. */
static int
add_tree(struct stored *h, int store_fd, const char *name, const char *service)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TREE_INDEX_BYTES_MAX);
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	int r = fs_read(store_fd, name, TREE_INDEX_BYTES_MAX, &b);

	r = r ?: tree_index_read(&x, b.data, b.len);
	if (r != 0)
		return r > 0 ? 0 : r;
	if (strcmp(x->service, service) == 0)
		h->trees[h->n_trees++] = STEAL(x);
	return 0;
}

static int
by_bytes(const void *a, const void *b)
{
	const struct stored_file *x = a, *y = b;
	int r = memcmp(x->entry->sha256, y->entry->sha256, sizeof(x->entry->sha256));

	return r ?: (x->entry->mode > y->entry->mode) - (x->entry->mode < y->entry->mode);
}

static int
sort_files(struct stored *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_trees; i++)
		n += h->trees[i]->n_entries;
	h->files = calloc(n + 1, sizeof(*h->files));
	if (!h->files)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < h->n_trees; i++)
		for (size_t k = 0; k < h->trees[i]->n_entries; k++)
			if (h->trees[i]->entries[k].type == TREE_TYPE_FILE)
				h->files[h->n_files++] = (struct stored_file){
					&h->trees[i]->entries[k], h->hex[i]
				};
	qsort(h->files, h->n_files, sizeof(*h->files), by_bytes);
	return 0;
}

int
stored_read(struct stored **ret, int store_fd, const char *service)
{
	SCOPED(stored_freep) struct stored *h = calloc(1, sizeof(*h));
	int fd = openat(store_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *d;
	DIR *dir;
	int r = 0;

	if (!h || fd < 0) {
		scope_close(&fd);
		return FAULT(h ? -errno : -ENOMEM);
	}
	dir = fdopendir(fd);
	if (!dir) {
		scope_close(&fd);
		return FAULT(-ENOMEM);
	}
	while (r == 0 && h->n_trees < STORED_TREES_MAX && (d = readdir(dir)))
		if (is_index(store_fd, d->d_name, h->hex[h->n_trees]))
			r = add_tree(h, store_fd, d->d_name, service);
	closedir(dir);
	r = r ?: sort_files(h);
	if (r != 0)
		return FAULT(r);
	*ret = STEAL(h);
	return 0;
}

const struct stored_file *
stored_find(const struct stored *h, const uint8_t sha256[32], unsigned mode)
{
	const struct stored_file *found = NULL;
	size_t low = 0, high = h->n_files;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(h->files[middle].entry->sha256, sha256, 32) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < h->n_files && memcmp(h->files[low].entry->sha256, sha256, 32) == 0; low++)
		if (!found || h->files[low].entry->mode == mode)
			found = &h->files[low];
	return found;
}

int
stored_open(const struct stored_file *f, int store_fd)
{
	char path[HEX_LEN + 1 + TREE_PATH_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s/%s", f->hex, f->entry->path);
	return beneath_open(store_fd, path, O_RDONLY | O_NONBLOCK, 0);
}
