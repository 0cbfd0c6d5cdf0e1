#include "appliance/egress/destination.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/curl_loop.h"

enum { HEADERS_BYTES_MAX = 16 * 1024 };

struct destination {
	const struct destination_config *config;
	struct curl_loop *curl;
	struct destination_call *calls;
};

struct destination_call {
	struct destination *d;
	struct destination_call **slot, *next;
	struct curl_transfer *transfer;
	destination_done_fn *done;
	void *arg;
};

int
destination_new(struct destination **ret, sd_event *loop, const struct destination_config *config)
{
	struct destination *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return FAULT(-ENOMEM);
	d->config = config;
	r = curl_loop_new(&d->curl, loop);
	if (r < 0) {
		free(d);
		return FAULT(r);
	}
	*ret = d;
	return 0;
}

static struct destination_call *
call_drop(struct destination_call *call)
{
	struct destination_call **at = &call->d->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	if (call->slot)
		*call->slot = NULL;
	curl_loop_cancel(call->transfer);
	free(call);
	return NULL;
}

struct destination_call *
destination_cancel(struct destination_call *call)
{
	return call ? call_drop(call) : NULL;
}

struct destination *
destination_free(struct destination *d)
{
	if (!d)
		return NULL;
	while (d->calls)
		call_drop(d->calls);
	curl_loop_free(d->curl);
	free(d);
	return NULL;
}

const struct destination_config *
destination_config(const struct destination *d)
{
	return d->config;
}

/* --- the headers file ----------------------------------------------------------------------------------------- */
/* "Name: value", the name a token of RFC 9110, 5.6.2, the value visible ASCII and blanks. */
static bool
is_header(const char *line)
{
	size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	if (name == 0 || line[name] != ':' || line[name + 1] != ' ')
		return false;
	for (const char *p = line + name; *p; p++)
		if (*p < ' ' || *p > '~')
			return false;
	return true;
}

/* One header a line into lines (pointing into text), which then ends with NULL. */
static int
read_headers(const char *file, struct buf *text, const char *lines[DESTINATION_HEADERS_MAX + 1])
{
	SCOPED(scope_close) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char *line, *rest;
	struct stat st;
	size_t n = 0;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == EACCES))
		return REFUSE(errno == ENOENT ? REASON_NOT_FOUND : REASON_DENIED, file,
			"headers cannot be read by the courier");
	if (fd < 0 || fstat(fd, &st) < 0)
		return FAULT(-errno);
	if ((st.st_mode & 027) != 0)
		return REFUSE(REASON_DENIED, file, "mode %04o; headers are secrets: chmod 0600",
			(unsigned)(st.st_mode & 07777));
	r = fs_read_fd(fd, HEADERS_BYTES_MAX, text);
	if (r != 0)
		return r < 0 ? FAULT(r) : REFUSE(r, file, "at most %d bytes of headers", HEADERS_BYTES_MAX);
	if (text->len == 0)
		return 0;
	for (line = strtok_r((char *)text->data, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
		if (n == DESTINATION_HEADERS_MAX || !is_header(line))
			return REFUSE(REASON_MALFORMED, file, "not up to %d lines of \"Name: value\"",
				DESTINATION_HEADERS_MAX);
		lines[n++] = line;
	}
	return 0;
}

/* --- one request ---------------------------------------------------------------------------------------------- */
static void
on_reply(struct http_reply *http, void *arg)
{
	struct destination_call *call = arg;
	destination_done_fn *done = call->done;
	void *done_arg = call->arg;
	const struct destination_reply reply = {
		.status = (int)http->status,
		.body = http->body.data,
		.len = http->body.len,
		.retry_after = http_header(http, "retry-after"),
		.accept_encoding = http_header(http, "accept-encoding"),
	};

	call->transfer = NULL;
	call_drop(call);
	done(http->result, http->result == 0 ? &reply : NULL, http->error, done_arg);
}

int
destination_send(struct destination_call **slot, struct destination *d, const char *path,
	const char *content_type, const char *coding, const void *body, size_t len, const char *proxy,
	uint64_t floor_us, destination_done_fn *done, void *arg)
{
	SCOPED(buf_wipe) struct buf text = BUF_MAX(HEADERS_BYTES_MAX + 1);
	const char *headers[DESTINATION_HEADERS_MAX + 3] = { NULL };
	const struct destination_config *conf = d->config;
	char type[160], packed[64], url[2 * DESTINATION_URL_MAX];
	struct destination_call *call;
	size_t n = 0;
	int r = 0;

	if (conf->headers_file[0])
		r = read_headers(conf->headers_file, &text, headers);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	while (headers[n])
		n++;
	(void)snprintf(type, sizeof(type), "Content-Type: %s", content_type);
	headers[n++] = type;
	(void)snprintf(packed, sizeof(packed), "Content-Encoding: %s", coding ? coding : "");
	if (coding)
		headers[n++] = packed;
	if (snprintf(url, sizeof(url), "%s%s", conf->url, path) >= (int)sizeof(url))
		return FAULT(-ENAMETOOLONG);
	call = calloc(1, sizeof(*call));
	if (!call)
		return FAULT(-ENOMEM);
	*call = (struct destination_call){ .d = d, .done = done, .arg = arg, .next = d->calls };
	d->calls = call;
	r = curl_loop_start(&call->transfer, d->curl,
		&(struct http_request){
			.method = "POST",
			.url = url,
			.headers = headers,
			.body = body,
			.body_len = len,
			.ca_file = conf->ca_file[0] ? conf->ca_file : NULL,
			.proxy = proxy[0] ? proxy : NULL,
			.floor_us = floor_us,
			.max_reply = DESTINATION_REPLY_MAX,
			.allow_http = destination_is_near(conf->url),
		},
		on_reply, call);
	if (r < 0) {
		call_drop(call);
		return FAULT(r);
	}
	call->slot = slot;
	*slot = call;
	return 0;
}
