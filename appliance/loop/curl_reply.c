#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/curl_transfer.h"

enum { HEADERS_BYTES_MAX = 64 * 1024 /* of all headers of a reply together */ };

const char *
http_header(const struct http_reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->n_headers; i++)
		if (strcmp(reply->headers[i].name, name) == 0)
			return reply->headers[i].value;
	return NULL;
}

static void
drop_headers(struct http_reply *reply)
{
	for (size_t i = 0; i < reply->n_headers; i++) {
		free(reply->headers[i].name);
		free(reply->headers[i].value);
	}
	reply->n_headers = 0;
}

void
http_reply_done(struct http_reply *reply)
{
	drop_headers(reply);
	buf_done(&reply->body);
	*reply = (struct http_reply){ 0 };
}

/* --- headers ----------------------------------------------------------------------------------------- */
static bool
is_wanted(const struct curl_transfer *t, const char *name)
{
	for (char **w = t->want; w && *w; w++)
		if (strcasecmp(*w, name) == 0)
			return true;
	return !t->want;
}

static void
lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

/* "Name: value\r\n" -> a kept header. */
static int
keep_header(struct curl_transfer *t, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	struct http_header *h;
	const char *value;
	char *name;

	if (!colon || memchr(line, '\0', len))
		return 0;
	name = strndup(line, (size_t)(colon - line));
	if (!name)
		return FAULT(-ENOMEM);
	lower(name);
	if (!is_wanted(t, name)) {
		free(name);
		return 0;
	}
	if (t->reply.n_headers == HTTP_HEADERS_MAX) {
		free(name);
		return t->want ? REASON_TOO_LARGE
			       : 0; /* unasked ones may be lost, named ones not */
	}
	value = colon + 1;
	len -= (size_t)(value - line);
	for (; len > 0 && (*value == ' ' || *value == '\t'); len--)
		value++;
	while (len > 0 && strchr(" \t\r\n", value[len - 1]))
		len--;
	h = &t->reply.headers[t->reply.n_headers];
	h->name = name;
	h->value = strndup(value, len);
	if (!h->value) {
		free(name);
		return FAULT(-ENOMEM);
	}
	t->reply.n_headers++;
	return 0;
}

size_t
curl_reply_header(char *line, size_t size, size_t n, void *arg)
{
	struct curl_transfer *t = arg;
	size_t len = size * n;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		drop_headers(&t->reply); /* an interim reply (100) came before, or the proxy's */
		return len;
	}
	t->header_bytes += len;
	if (len > HTTP_HEADER_BYTES_MAX || t->header_bytes > HEADERS_BYTES_MAX)
		t->reply.result = REASON_TOO_LARGE;
	else
		t->reply.result = keep_header(t, line, len);
	return t->reply.result ? 0 : len;
}

/* --- body -------------------------------------------------------------------------------------------- */
/* Does the answer hold the part that was asked for, at its beginning (206) or behind what is passed over (200)? */
static bool
begin_part(struct curl_transfer *t, long status)
{
	const char *range = http_header(&t->reply, "content-range");
	unsigned long long at;

	if (status == 200) {
		t->skip = t->range_at;
		return true;
	}
	return status == 206 && range && sscanf(range, "bytes %20llu-", &at) == 1 && at == t->range_at;
}

/* What of these bytes is of the part; false where the answer holds no part, or another one. */
static bool
cut_part(struct curl_transfer *t, const char **p, size_t *len)
{
	size_t over;
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 300) {
		*len = 0; /* the words of an error */
		return true;
	}
	if (!t->begun && !begin_part(t, status))
		return false;
	t->begun = true;
	over = t->skip < *len ? (size_t)t->skip : *len;
	t->skip -= over;
	*p += over;
	*len -= over;
	if (t->range_len > 0 && *len > t->left)
		*len = (size_t)t->left;
	t->left -= t->range_len > 0 ? *len : 0;
	t->whole = t->range_len > 0 && t->left == 0;
	return true;
}

static size_t
on_part(struct curl_transfer *t, const char *p, size_t all)
{
	size_t len = all;

	if (!cut_part(t, &p, &len)) {
		t->reply.result = REASON_UNREACHABLE;
		(void)snprintf(t->error, sizeof(t->error), "the server sent another part");
		return 0;
	}
	if (len > t->max_reply - t->received)
		t->reply.result = REASON_TOO_LARGE;
	else if (len > 0)
		t->reply.result = t->sink(p, len, t->sink_arg);
	t->received += len;
	/* Once all has come, a server without ranges need not go on. */
	return t->reply.result || (t->whole && len < all) ? 0 : all;
}

size_t
curl_reply_body(char *p, size_t size, size_t n, void *arg)
{
	struct curl_transfer *t = arg;
	size_t len = size * n;

	if (t->ranged)
		return on_part(t, p, len);
	if (len > t->max_reply - t->received) {
		t->reply.result = REASON_TOO_LARGE;
		return 0;
	}
	t->received += len;
	if (t->sink) {
		t->reply.result = t->sink(p, len, t->sink_arg);
	} else {
		buf_put(&t->reply.body, p, len);
		t->reply.result = buf_error(&t->reply.body);
	}
	return t->reply.result ? 0 : len;
}

/* --- how it ended ------------------------------------------------------------------------------------ */
static enum http_trouble
trouble_of(const struct curl_transfer *t, CURLcode code)
{
	long connect = 0;

	/* What the proxy said to CONNECT. */
	(void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &connect);
	if (connect == 407)
		return HTTP_TROUBLE_PROXY_AUTH;
	if (connect >= 300)
		return HTTP_TROUBLE_PROXY;
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return HTTP_TROUBLE_DNS;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return HTTP_TROUBLE_PROXY;
	case CURLE_COULDNT_CONNECT:
		return t->through_proxy ? HTTP_TROUBLE_PROXY : HTTP_TROUBLE_CONNECT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return HTTP_TROUBLE_TLS;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_TROUBLE_TIME;
	default:
		return HTTP_TROUBLE_BROKEN;
	}
}

void
curl_reply_finish(struct curl_transfer *t, CURLcode code)
{
	struct http_reply *reply = &t->reply;
	curl_off_t used_us = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &reply->status);
	(void)curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &used_us);
	reply->used_ms = (unsigned)(used_us / 1000);
	if (t->whole && !reply->result && (code == CURLE_OK || code == CURLE_WRITE_ERROR)) {
		reply->status = 206;
		return;
	}
	if (code == CURLE_OK) {
		/* Less than was asked for, and nothing else to say about it: the file there is shorter. */
		if (t->begun && t->range_len)
			reply->result = REASON_UNREACHABLE;
		else if (t->begun)
			reply->status = 206;
		return;
	}
	(void)snprintf(reply->error, sizeof(reply->error), "%s",
		t->error[0] ? t->error : curl_easy_strerror(code));
	if (reply->result)
		return; /* one of our callbacks ended it and said why */
	if (!t->is_mail)
		reply->status = 0;
	if (code == CURLE_OUT_OF_MEMORY)
		reply->result = FAULT(-ENOMEM);
	else if (code == CURLE_FILESIZE_EXCEEDED)
		reply->result = REASON_TOO_LARGE;
	else
		reply->result = REASON_UNREACHABLE;
	if (reply->result == REASON_UNREACHABLE)
		reply->trouble = trouble_of(t, code);
}
