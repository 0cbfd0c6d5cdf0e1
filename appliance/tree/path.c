/* What a path and a link may be: the checks of index.h that concern one name. */
#include <errno.h>

#include "appliance/base/refuse.h"
#include "appliance/tree/index.h"

static bool
is_plain(const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p < 0x20 || *p > 0x7e)
			return false;
	}
	return true;
}

int
tree_path_check(const char *path)
{
	size_t len = strlen(path);
	unsigned depth = 0;

	if (!len)
		return REFUSE(REASON_UNSAFE_TREE, "path", "a path is empty");
	if (len > TREE_PATH_MAX)
		return REFUSE(REASON_UNSAFE_TREE, path, "the path has more than %d bytes",
			TREE_PATH_MAX);
	if (path[0] == '/')
		return REFUSE(REASON_UNSAFE_TREE, path, "the path is absolute");
	if (!is_plain(path))
		return REFUSE(REASON_UNSAFE_TREE, path,
			"the path holds other letters than printable ASCII");
	for (const char *p = path;;) {
		size_t n = strcspn(p, "/");

		if (++depth > TREE_DEPTH_MAX)
			return REFUSE(REASON_UNSAFE_TREE, path, "the path has more than %d steps",
				TREE_DEPTH_MAX);

		if (n == 0 || n > TREE_NAME_MAX || (n == 1 && p[0] == '.') ||
			(n == 2 && p[0] == '.' && p[1] == '.'))
			return REFUSE(REASON_UNSAFE_TREE, path,
				"the path has a step that is empty, \".\", \"..\" or too long");
		if (p[0] == ' ' || p[n - 1] == ' ')
			return REFUSE(REASON_UNSAFE_TREE, path,
				"a name begins or ends with a space");
		p += n;
		if (!*p)
			return 0;
		p++;
	}
}

int
tree_link_check(const char *path, const char *target)
{
	bool named = false; /* a step that is a name has gone by */
	long depth = 0;

	if (!*target || strlen(target) > TREE_PATH_MAX || !is_plain(target))
		return REFUSE(REASON_UNSAFE_TREE, path,
			"the link's target is empty, too long or unreadable");
	if (target[0] == '/')
		return REFUSE(REASON_UNSAFE_TREE, path, "the link is absolute");
	for (const char *p = path; (p = strchr(p, '/')); p++)
		depth++;
	/* ".." only in front: behind a name it could go through another link. */
	for (const char *p = target;;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			if (named)
				return REFUSE(REASON_UNSAFE_TREE, path,
					"the link has \"..\" behind a name");
			depth--;
		} else if (n == 0 || (n == 1 && p[0] == '.')) {
			return REFUSE(REASON_UNSAFE_TREE, path,
				"the link has an empty step or \".\"");
		} else {
			named = true;
		}
		if (depth < 0)
			return REFUSE(REASON_UNSAFE_TREE, path, "the link leads out of the tree");
		p += n;
		if (!*p)
			return 0;
		p++;
	}
}
