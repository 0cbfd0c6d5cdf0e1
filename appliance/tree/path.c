/* What a path and a link may be: the checks of index.h that concern one name. */
#include <errno.h>

#include "appliance/base/refuse.h"
#include "appliance/tree/index.h"

/* Well-formed UTF-8 without control characters (C0, DEL, C1) and direction overrides, which make a name
 * look like another. */
static bool
is_plain(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		uint32_t c = *p;
		int more = c < 0x80		? 0
			: c >= 0xc2 && c < 0xe0 ? 1
			: (c & 0xf0) == 0xe0	? 2
			: c >= 0xf0 && c < 0xf5 ? 3
						: -1;

		if (more < 0)
			return false;
		c = more == 0 ? c : c & (0x3fu >> more);
		p++;
		for (int i = 0; i < more; i++, p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*p & 0x3f);
		}
		if ((more == 2 && c < 0x800) || (more == 3 && (c < 0x10000 || c > 0x10ffff)) ||
			(c >= 0xd800 && c < 0xe000))
			return false;
		if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
			(c >= 0x2066 && c <= 0x2069))
			return false;
	}
	return true;
}

int
tree_path_check(const char *path)
{
	size_t len = strlen(path);

	if (!len)
		return REFUSE(REASON_UNSAFE_TREE, "path", "a path is empty");
	if (len > TREE_PATH_MAX)
		return REFUSE(REASON_UNSAFE_TREE, path, "the path has more than %d bytes",
			TREE_PATH_MAX);
	if (path[0] == '/')
		return REFUSE(REASON_UNSAFE_TREE, path, "the path is absolute");
	if (!is_plain(path))
		return REFUSE(REASON_UNSAFE_TREE, path,
			"the path holds control characters or is no UTF-8");
	for (const char *p = path;;) {
		size_t n = strcspn(p, "/");

		if (n == 0 || n > TREE_NAME_MAX || (n == 1 && p[0] == '.') ||
			(n == 2 && p[0] == '.' && p[1] == '.'))
			return REFUSE(REASON_UNSAFE_TREE, path,
				"the path has a step that is empty, \".\", \"..\" or too long");
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
