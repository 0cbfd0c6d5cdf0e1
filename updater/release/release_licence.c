#include "updater/release/release_licence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { COPYRIGHT_MAX = 4 * 1024 * 1024, LICENCE_MAX = 120 };

static const char format[] = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0";
static const char none[] = "NOASSERTION";

/* Debian's short names and SPDX's, where they mean the same and differ, or are the same. */
static const char *const names[][2] = {
	{ "Apache-2.0",	  "Apache-2.0"	    },
	{ "Artistic-2.0", "Artistic-2.0"      },
	{ "BSD-2-clause", "BSD-2-Clause"      },
	{ "BSD-3-clause", "BSD-3-Clause"      },
	{ "BSD-4-clause", "BSD-4-Clause"      },
	{ "BSL-1.0",	  "BSL-1.0"	     },
	{ "CC0-1.0",	  "CC0-1.0"	     },
	{ "Expat",	  "MIT"		     },
	{ "MIT",		 "MIT"		   },
	{ "GPL-1+",	  "GPL-1.0-or-later"  },
	{ "GPL-2",	   "GPL-2.0-only"      },
	{ "GPL-2+",	  "GPL-2.0-or-later"  },
	{ "GPL-2.0",	 "GPL-2.0-only"      },
	{ "GPL-2.0+",	  "GPL-2.0-or-later"  },
	{ "GPL-3",	   "GPL-3.0-only"      },
	{ "GPL-3+",	  "GPL-3.0-or-later"  },
	{ "ISC",		 "ISC"		   },
	{ "LGPL-2",	  "LGPL-2.0-only"	  },
	{ "LGPL-2+",	 "LGPL-2.0-or-later" },
	{ "LGPL-2.1",	  "LGPL-2.1-only"     },
	{ "LGPL-2.1+",	  "LGPL-2.1-or-later" },
	{ "LGPL-3",	  "LGPL-3.0-only"	  },
	{ "LGPL-3+",	 "LGPL-3.0-or-later" },
	{ "MPL-2.0",	 "MPL-2.0"	       },
	{ "PostgreSQL",	"PostgreSQL"	      },
	{ "Zlib",	  "Zlib"		  },
	{ "zlib",	  "Zlib"		  },
	{ "curl",	  "curl"		  },
};

/* What stands in an SPDX expression for Debian's name. */
static int
add_name(json_t *found, json_t *refs, const char *name, size_t len)
{
	char text[LICENCE_MAX + 1], ref[LICENCE_MAX + 16];

	(void)snprintf(text, sizeof(text), "%.*s", (int)(len < LICENCE_MAX ? len : LICENCE_MAX), name);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(names[i][0], text))
			return json_object_set_new(found, names[i][1], json_true());
	}
	(void)snprintf(ref, sizeof(ref), "LicenseRef-%s", text);
	for (char *p = ref + 11; *p; p++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", *p))
			*p = '-';
	}
	/* Latin letters of old files are no text of ours. */
	return json_object_set_new(found, ref, json_true()) < 0 ||
			json_object_set_new(refs, ref, json_string(text) ?: json_string(ref + 11)) < 0
		? -1
		: 0;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
join(char **ret, const json_t *found)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
	SCOPED(scope_free) const char **sorted = calloc(json_object_size(found) + 1, sizeof(*sorted));
	const char *name;
	size_t n = 0;
	json_t *v;

	if (!sorted)
		return FAULT(-ENOMEM);
	json_object_foreach((json_t *)found, name, v)
		sorted[n++] = name;
	qsort(sorted, n, sizeof(*sorted), by_text);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? " AND " : "", sorted[i]);
	*ret = strdup(n && !buf_error(&b) ? buf_text(&b) : none);
	return *ret ? 0 : FAULT(-ENOMEM);
}

int
release_licence_parse(char **ret, const char *text, size_t len, json_t *refs)
{
	SCOPED_JSON *found = json_object();
	const char *end = text + len, *p = text;
	bool machine = false;

	if (!found)
		return FAULT(-ENOMEM);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)) ?: end, *stop = nl;

		while (stop > p && (stop[-1] == ' ' || stop[-1] == '\r' || stop[-1] == '\t'))
			stop--;
		if (p == text)
			machine = memmem(p, (size_t)(nl - p), format, sizeof(format) - 1) != NULL;
		if (machine && stop - p > 8 && !strncmp(p, "License:", 8)) {
			const char *name = p + 8;

			while (name < stop && (*name == ' ' || *name == '\t'))
				name++;
			if (name < stop && add_name(found, refs, name, (size_t)(stop - name)) < 0)
				return FAULT(-ENOMEM);
		}
		p = nl + 1;
	}
	return join(ret, found);
}

int
release_licence_of(char **ret, const char *package, json_t *refs)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(COPYRIGHT_MAX);
	SCOPED(scope_close) int fd = -1;
	char path[256];
	int r;

	(void)snprintf(path, sizeof(path), "/usr/share/doc/%.*s/copyright", (int)strcspn(package, ":"),
		package);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	r = fd < 0 ? REASON_NOT_FOUND : fs_read_fd(fd, COPYRIGHT_MAX, &b);
	if (r < 0)
		return FAULT(r);
	return release_licence_parse(ret, (const char *)b.data, r ? 0 : b.len, refs);
}
