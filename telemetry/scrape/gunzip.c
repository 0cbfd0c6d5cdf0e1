#include "telemetry/scrape/gunzip.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"

enum { STEP = 16 * 1024, GZIP_WINDOW = 15 + 16 };

struct gunzip {
	const char *what;
	size_t left; /* of what may come */
	gunzip_fn *fn;
	void *arg;
	z_stream z;
	bool whole; /* the last member has ended */
	char step[STEP];
};

int
gunzip_new(struct gunzip **ret, const char *what, size_t out_max, gunzip_fn *fn, void *arg)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (!g || inflateInit2(&g->z, GZIP_WINDOW) != Z_OK) {
		free(g);
		return FAULT(-ENOMEM);
	}
	g->what = what;
	g->left = out_max;
	g->fn = fn;
	g->arg = arg;
	*ret = g;
	return 0;
}

struct gunzip *
gunzip_free(struct gunzip *g)
{
	if (!g)
		return NULL;
	(void)inflateEnd(&g->z);
	free(g);
	return NULL;
}

/* One step of output. */
static int
step(struct gunzip *g)
{
	size_t n;
	int code;

	g->z.next_out = (unsigned char *)g->step;
	g->z.avail_out = STEP;
	code = inflate(&g->z, Z_NO_FLUSH);
	if (code == Z_MEM_ERROR)
		return FAULT(-ENOMEM);
	if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
		return REFUSE(REASON_MALFORMED, g->what, "what it shows is no gzip");
	n = STEP - g->z.avail_out;
	if (n > g->left)
		return REFUSE(REASON_TOO_LARGE, g->what,
			"what it shows unpacks to more than may be");
	g->left -= n;
	g->whole = code == Z_STREAM_END;
	return n > 0 ? g->fn(g->step, n, g->arg) : 0;
}

int
gunzip_feed(struct gunzip *g, const char *p, size_t len)
{
	int r = 0;

	g->z.next_in = (unsigned char *)(uintptr_t)p;
	g->z.avail_in = (unsigned)len;
	/* As long as a step is filled there may be more where no input is left. */
	while (r == 0 &&
		(g->z.avail_in > 0 || (!g->whole && g->z.avail_out == 0 && g->z.next_out))) {
		if (g->whole && inflateReset(&g->z) != Z_OK)
			return FAULT(-EIO);
		r = step(g);
	}
	return r;
}

int
gunzip_end(const struct gunzip *g)
{
	return g->whole
		? 0
		: REFUSE(REASON_MALFORMED, g->what, "the gzip of what it shows ends too early");
}
