#include "telemetry/collect/nginx_status.h"

#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { STATUS_LINE_MIN = 12 };

struct reader {
	const uint8_t *p, *end;
	bool failed;
};

/* Step over exactly this text. */
static void
take_text(struct reader *r, const char *text)
{
	size_t len = strlen(text);

	if (r->failed || (size_t)(r->end - r->p) < len || memcmp(r->p, text, len) != 0)
		r->failed = true;
	else
		r->p += len;
}

static int64_t
take_number(struct reader *r)
{
	const uint8_t *start = r->p;
	int64_t v = 0;

	for (; r->p < r->end && *r->p >= '0' && *r->p <= '9' && r->p - start < 18; r->p++)
		v = 10 * v + (*r->p - '0');
	if (r->p == start)
		r->failed = true;
	return v;
}

/* The page itself, to its last byte. */
static bool
read_page(struct reader *r, int64_t ret[NGINX_STATUS_MAX])
{
	static const struct {
		const char *before;
		enum nginx_status_number number;
	} parts[] = {
		{ "Active connections: ", NGINX_STATUS_ACTIVE },
		{ " \nserver accepts handled requests\n ", NGINX_STATUS_ACCEPTS },
		{ " ", NGINX_STATUS_HANDLED },
		{ " ", NGINX_STATUS_REQUESTS },
		{ " \nReading: ", NGINX_STATUS_READING },
		{ " Writing: ", NGINX_STATUS_WRITING },
		{ " Waiting: ", NGINX_STATUS_WAITING },
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		take_text(r, parts[i].before);
		ret[parts[i].number] = take_number(r);
	}
	take_text(r, " \n");
	return !r->failed && r->p == r->end;
}

int
nginx_status_read(const uint8_t *p, size_t len, int64_t ret[NGINX_STATUS_MAX])
{
	const uint8_t *page = len > 0 ? memmem(p, len, "\r\n\r\n", 4) : NULL;
	struct reader r = { .end = p + len };

	if (!page || page - p < STATUS_LINE_MIN || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
		return REFUSE(REASON_MALFORMED, "nginx", "its status page is no answer of HTTP/1");
	if (memcmp(p + 9, "200", 3) != 0)
		return NGINX_STATUS_ERROR;
	r.p = page + 4;
	if (!read_page(&r, ret))
		return REFUSE(REASON_MALFORMED, "nginx", "its status page has another form");
	return 0;
}
