#include "updater/activate/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "updater/activate/came.h"
#include "updater/activate/stage_file.h"
#include "updater/activate/stored.h"
#include "updater/object/object.h"
#include "updater/object/patch.h"

enum {
	STAGE_NAME_MAX = 128,
	HANDS = 2,	 /* threads: one decodes and hashes while the other waits for the disk */
	HANDS_FROM = 64, /* files: fewer are made by one */
	SHARE = 8,	 /* entries that a hand takes at a time: neighbours, mostly of one folder */
};

int
stage_check_room(const struct tree_index *index, uint64_t free_bytes)
{
	uint64_t need = tree_index_bytes(index) + STAGE_RESERVE;

	if (free_bytes < need)
		return REFUSE(REASON_NO_SPACE, index->service, "the store needs %llu bytes free, has %llu",
			(unsigned long long)need, (unsigned long long)free_bytes);
	return 0;
}

static int
check_space(int store_fd, const struct tree_index *index)
{
	struct statvfs vfs;

	if (fstatvfs(store_fd, &vfs) < 0)
		return FAULT(-errno);
	return stage_check_room(index, (uint64_t)vfs.f_bavail * vfs.f_frsize);
}

/* --- the tree ---------------------------------------------------------------------------------------------------- */
struct stage {
	struct stage_shared shared;
	struct came came;
	const struct tree_index *index;
	struct stage_result *result;
	atomic_size_t next; /* entry that no hand has taken */
	atomic_bool failed; /* the others need not go on */
	unsigned spoilt, bad; /* of all hands */
	struct refusal why;   /* of a bad one */
};

static void
stage_done(struct stage *s)
{
	scope_close(&s->shared.dir_fd);
	stored_free(s->shared.stored);
	came_done(&s->came);
	(void)pthread_mutex_destroy(&s->shared.large);
}

/* Folders and links: before any file is made, so that these come in any order. */
static int
stage_entry(struct stage *s, const struct tree_entry *e)
{
	SCOPED(scope_close) int parent = -1;
	const char *name;
	int r;

	r = beneath_parent(&parent, &name, s->shared.dir_fd, e->path);
	if (r < 0)
		return FAULT(r);
	if (e->type == TREE_TYPE_LINK)
		return symlinkat(e->target, parent, name) < 0 ? FAULT(-errno) : 0;
	/* Owner bits stay writable until the end: entries below still have to be made. */
	if (mkdirat(parent, name, 0755) < 0)
		return FAULT(-errno);
	return 0;
}

struct helper {
	struct stage *s;
	struct stage_hand hand;
	pthread_t thread;
	int r;
	struct refusal why; /* of a helper's thread */
};

static int
make_files(struct stage *s, struct stage_hand *h)
{
	int r = 0;

	while (r == 0 && !atomic_load(&s->failed)) {
		size_t at = atomic_fetch_add(&s->next, SHARE);

		if (at >= s->index->n_entries)
			break;
		for (size_t i = at; r == 0 && i < at + SHARE && i < s->index->n_entries; i++)
			if (s->index->entries[i].type == TREE_TYPE_FILE)
				r = stage_file_make(h, &s->index->entries[i]);
	}
	if (r != 0)
		atomic_store(&s->failed, true);
	return r;
}

static void *
help(void *arg)
{
	struct helper *p = arg;

	p->r = make_files(p->s, &p->hand);
	if (p->r > 0)
		p->why = *refuse_last();
	return NULL;
}

/* All files, by some threads; without a second one by this alone. */
static int
stage_files(struct stage *s)
{
	struct helper helpers[HANDS];
	size_t n = 1;
	int r;

	for (size_t i = 0; i < HANDS; i++)
		helpers[i] = (struct helper){ .s = s, .hand.of = &s->shared };
	while (n < HANDS && s->result->files >= HANDS_FROM &&
		pthread_create(&helpers[n].thread, NULL, help, &helpers[n]) == 0)
		n++;
	r = make_files(s, &helpers[0].hand);
	for (size_t i = 0; i < n; i++) {
		struct helper *p = &helpers[i];

		if (i > 0)
			(void)pthread_join(p->thread, NULL);
		if (r == 0 && p->r != 0)
			r = p->r > 0 ? refuse_adopt(&p->why) : FAULT(p->r);
		s->result->linked += p->hand.linked;
		s->result->patched += p->hand.patched;
		s->spoilt += p->hand.spoilt;
		s->bad += p->hand.bad;
		if (p->hand.bad)
			s->why = p->hand.why;
		patch_room_free(p->hand.room);
	}
	return r;
}

/* Folders get their modes last, deepest first, when nothing is made below them any more. */
static int
close_folders(int dir_fd, const struct tree_index *index)
{
	for (size_t i = index->n_entries; i-- > 0;) {
		const struct tree_entry *e = &index->entries[i];

		if (e->type != TREE_TYPE_DIR)
			continue;
		SCOPED(scope_close) int fd = beneath_open(dir_fd, e->path, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return FAULT(fd);
		if (fchmod(fd, e->mode) < 0)
			return FAULT(-errno);
	}
	return 0;
}

static int
stage_definition(int store_fd, int objects_fd, const struct tree_index *index, const char *hex)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(scope_close) int in = -1;
	char name[STAGE_NAME_MAX];
	int r;

	r = stage_file_open_object(objects_fd, index->definition, &in);
	if (r != 0)
		return r;
	SCOPED(scope_close) int copy = memfd_create("definition", MFD_CLOEXEC);
	if (copy < 0)
		return FAULT(-errno);
	r = object_copy_fd(in, index->definition, DEFINITION_BYTES_MAX, false, copy);
	if (r > 0)
		stage_file_drop_object(objects_fd, index->definition);
	r = r ?: fs_read_fd(copy, DEFINITION_BYTES_MAX, &text);
	if (r != 0)
		return r;
	snprintf(name, sizeof(name), "%s.definition.json", hex);
	r = fs_replace(store_fd, name, text.data, text.len, 0644);
	return r < 0 ? FAULT(r) : r;
}

/* Is anything lacking now that all files were tried? */
static int
check_all_taken(struct stage *s, const char *hex)
{
	int objects = s->shared.objects_fd;

	if (s->bad && stage_packs_spoilt(objects)) {
		/* They came one by one, and are no better: that is the end of it.  Whoever tries again may find packs mended. */
		(void)unlinkat(objects, STAGE_PACKS_BAD, 0);
		return refuse_adopt(&s->why);
	}
	if (s->bad) {
		int fd = openat(objects, STAGE_PACKS_BAD, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);

		if (fd < 0)
			return refuse_adopt(&s->why);
		scope_close(&fd);
		return REFUSE(REASON_NOT_FOUND, hex, "%u objects have other bytes than their names say: they have to come again, by themselves",
			s->bad);
	}
	if (s->spoilt)
		return REFUSE(REASON_NOT_FOUND, hex, "%u patches or files of the store are not what they were: objects have to come instead",
			s->spoilt);
	return 0;
}

/* Make the tree under its passing name, then give it its own. */
static int
stage_all(struct stage *s, const struct tree_index *index, const void *bytes, size_t len, const char *hex,
	const char *passing)
{
	char name[STAGE_NAME_MAX];
	int r = stored_read(&s->shared.stored, s->shared.store_fd, index->service);

	r = r ?: came_read(&s->came, s->shared.patches_fd);
	if (r != 0)
		return r;
	(void)malloc_trim(0); /* the indexes' texts took more than what was kept of them */
	/* Whatever our umask: the services' users have to pass. */
	if (mkdirat(s->shared.store_fd, passing, 0755) < 0 || fchmodat(s->shared.store_fd, passing, 0755, 0) < 0)
		return FAULT(-errno);
	s->shared.dir_fd = openat(s->shared.store_fd, passing, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->shared.dir_fd < 0)
		return FAULT(-errno);
	for (size_t i = 0; i < index->n_entries; i++) {
		r = index->entries[i].type == TREE_TYPE_FILE ? 0 : stage_entry(s, &index->entries[i]);
		if (r != 0)
			return r;
	}
	r = stage_files(s);
	if (r != 0)
		return r;
	r = check_all_taken(s, hex);
	if (r != 0)
		return r;
	r = close_folders(s->shared.dir_fd, index);
	r = r ?: stage_definition(s->shared.store_fd, s->shared.objects_fd, index, hex);
	if (r != 0)
		return r;
	snprintf(name, sizeof(name), "%s.json", hex);
	r = fs_replace(s->shared.store_fd, name, bytes, len, 0644);
	if (r < 0)
		return FAULT(r);
	/* One flush for some hundred files; the name must not come before their bytes. */
	if (syncfs(s->shared.store_fd) < 0 || renameat(s->shared.store_fd, passing, s->shared.store_fd, hex) < 0)
		return FAULT(-errno);
	return fs_sync_dir(s->shared.store_fd);
}

bool
stage_packs_spoilt(int objects_fd)
{
	struct stat st;

	return objects_fd >= 0 && fstatat(objects_fd, STAGE_PACKS_BAD, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int
stage_tree(struct stage_result *ret, int store_fd, int objects_fd, int patches_fd, const void *bytes, size_t len)
{
	SCOPED(tree_index_freep) struct tree_index *index = NULL;
	SCOPED(stage_done) struct stage s = {
		.shared = {
			.store_fd = store_fd,
			.objects_fd = objects_fd,
			.patches_fd = patches_fd,
			.dir_fd = -1,
			.came = &s.came,
			.large = PTHREAD_MUTEX_INITIALIZER,
		},
		.came.fd = -1,
		.result = ret,
	};
	char hex[65], passing[STAGE_NAME_MAX];
	uint8_t digest[SHA256_LEN];
	struct stat st;
	int r;

	r = tree_index_read(&index, bytes, len);
	if (r != 0)
		return r;
	s.index = index;
	sha256_of(digest, bytes, len);
	hex_encode(hex, digest, sizeof(digest));
	snprintf(passing, sizeof(passing), ".stage-%s", hex);
	*ret = (struct stage_result){ .bytes = tree_index_bytes(index) };
	for (size_t i = 0; i < index->n_entries; i++)
		ret->files += index->entries[i].type == TREE_TYPE_FILE;
	/* Whoever gave it its name may have been killed before that name was on the disk. */
	if (fstatat(store_fd, hex, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return fs_sync_dir(store_fd);
	r = check_space(store_fd, index);
	if (r != 0)
		return r;
	r = fs_remove_tree(store_fd, passing);
	r = r ?: stage_all(&s, index, bytes, len, hex, passing);
	if (r != 0)
		(void)fs_remove_tree(store_fd, passing); /* what is left of it is swept by the next staging */
	if (r == -ENOSPC || r == -EDQUOT)
		return REFUSE(REASON_NO_SPACE, index->service, "the disk of the store is full");
	return r;
}

int
stage_remove(int store_fd, const char *hex)
{
	char name[STAGE_NAME_MAX];
	int r;

	/* Its name goes first: what has it is whole. */
	snprintf(name, sizeof(name), ".stage-%s", hex);
	r = fs_remove_tree(store_fd, name);
	if (r == 0 && renameat(store_fd, hex, store_fd, name) < 0 && errno != ENOENT)
		r = -errno;
	r = r ?: fs_sync_dir(store_fd);
	r = r ?: fs_remove_tree(store_fd, name);
	snprintf(name, sizeof(name), "%s.definition.json", hex);
	r = r ?: fs_remove_tree(store_fd, name);
	snprintf(name, sizeof(name), "%s.json", hex);
	r = r ?: fs_remove_tree(store_fd, name);
	return r < 0 ? FAULT(r) : r;
}
