#include "appliance/loop/curl_transfer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/tls_dates.h"

enum {
	DEFAULT_REPLY = 1024 * 1024,
	DEFAULT_CONNECT_MS = 10 * 1000,
	DEFAULT_TIMEOUT_MS = 60 * 1000,
	HEADERS_BYTES_MAX = 64 * 1024, /* of all headers of a reply together */
};

/* --- replies ------------------------------------------------------------------------------------------ */
const char *
http_header(const struct http_reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->n_headers; i++)
		if (strcmp(reply->headers[i].name, name) == 0)
			return reply->headers[i].value;
	return NULL;
}

void
http_reply_done(struct http_reply *reply)
{
	for (size_t i = 0; i < reply->n_headers; i++) {
		free(reply->headers[i].name);
		free(reply->headers[i].value);
	}
	buf_done(&reply->body);
	*reply = (struct http_reply){ 0 };
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

static bool
is_wanted(const struct curl_transfer *t, const char *name)
{
	for (char **w = t->want; w && *w; w++)
		if (strcmp(*w, name) == 0)
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

static size_t
on_header(char *line, size_t size, size_t n, void *arg)
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

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
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

/* --- building a transfer ------------------------------------------------------------------------------ */
struct curl_transfer *
curl_transfer_free(struct curl_transfer *t)
{
	if (!t)
		return NULL;
	if (t->easy)
		curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->recipients);
	for (char **w = t->want; w && *w; w++)
		free(*w);
	free(t->want);
	free(t->body);
	http_reply_done(&t->reply);
	free(t);
	return NULL;
}
static int
add_header(struct curl_transfer *t, const char *line)
{
	struct curl_slist *more;

	if (strpbrk(line, "\r\n"))
		return FAULT(-EINVAL); /* a second header inside the first */
	more = curl_slist_append(t->headers, line);
	if (!more)
		return FAULT(-ENOMEM);
	t->headers = more;
	return 0;
}

static int
copy_lists(struct curl_transfer *t, const struct http_request *req)
{
	size_t n = 0;
	int r = add_header(t, "Expect:"); /* no round trip before the body */

	for (size_t i = 0; r == 0 && req->headers && req->headers[i]; i++)
		r = add_header(t, req->headers[i]);
	if (r == 0 && t->ranged) {
		char line[80], last[24] = "";

		if (t->range_len)
			(void)snprintf(last, sizeof(last), "%llu",
				(unsigned long long)(t->range_at + t->range_len - 1));
		(void)snprintf(line, sizeof(line), "Range: bytes=%llu-%s", (unsigned long long)t->range_at, last);
		r = add_header(t, line);
	}
	if (r < 0 || !req->want_headers)
		return r;
	while (req->want_headers[n])
		n++;
	t->want = calloc(n + 1, sizeof(*t->want));
	if (!t->want)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++) {
		t->want[i] = strdup(req->want_headers[i]);
		if (!t->want[i])
			return FAULT(-ENOMEM);
		lower(t->want[i]);
	}
	return 0;
}

static size_t
on_read(char *p, size_t size, size_t n, void *arg)
{
	struct curl_transfer *t = arg;
	size_t len = size * n < t->body_len - t->body_at ? size * n : t->body_len - t->body_at;

	memcpy(p, t->body + t->body_at, len);
	t->body_at += len;
	return len;
}

static int
add_recipient(struct curl_transfer *t, const char *address)
{
	struct curl_slist *more = strpbrk(address, "\r\n") ? NULL : curl_slist_append(t->recipients, address);

	if (!more)
		return strpbrk(address, "\r\n") ? FAULT(-EINVAL) : FAULT(-ENOMEM);
	t->recipients = more;
	return 0;
}

static int
set_mail(struct curl_transfer *t, const struct http_request *req)
{
	const struct http_mail *m = req->mail;
	CURL *e = t->easy;
	CURLcode c;
	int r = 0;

	for (size_t i = 0; r == 0 && m->to[i]; i++)
		r = add_recipient(t, m->to[i]);
	t->is_mail = true;
	t->body_len = req->body_len;
	t->body = malloc(req->body_len + 1);
	if (r < 0 || !t->body)
		return r < 0 ? r : FAULT(-ENOMEM);
	memcpy(t->body, req->body, req->body_len);
	c = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, m->plain ? "smtp" : "smtp,smtps");
	c = c ? c : curl_easy_setopt(e, CURLOPT_USE_SSL, (long)(m->plain ? CURLUSESSL_NONE : CURLUSESSL_ALL));
	c = c ? c : curl_easy_setopt(e, CURLOPT_HTTPHEADER, NULL);
	c = c ? c : curl_easy_setopt(e, CURLOPT_MAIL_FROM, m->from);
	c = c ? c : curl_easy_setopt(e, CURLOPT_MAIL_RCPT, t->recipients);
	c = c ? c : curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	c = c ? c : curl_easy_setopt(e, CURLOPT_READDATA, t);
	if (!c && m->user) {
		c = curl_easy_setopt(e, CURLOPT_USERNAME, m->user);
		c = c ? c : curl_easy_setopt(e, CURLOPT_PASSWORD, m->password);
	}
	return c ? FAULT(-EINVAL) : 0;
}

static int
set_body(struct curl_transfer *t, const struct http_request *req)
{
	CURL *e = t->easy;
	CURLcode c = CURLE_OK;

	if (req->mail)
		return set_mail(t, req);
	if (!req->body && strcmp(req->method, "GET") == 0)
		return 0;
	if (!req->body && strcmp(req->method, "HEAD") == 0)
		return curl_easy_setopt(e, CURLOPT_NOBODY, 1L) ? FAULT(-EINVAL) : 0;
	t->body = malloc(req->body_len + 1);
	if (!t->body)
		return FAULT(-ENOMEM);
	if (req->body_len > 0)
		memcpy(t->body, req->body, req->body_len);
	c = curl_easy_setopt(e, CURLOPT_POST, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_POSTFIELDS, (char *)t->body);
	c = c ? c : curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
	c = c ? c : curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
	return c ? FAULT(-EINVAL) : 0;
}

static CURLcode
on_tls(CURL *easy, void *ssl_ctx, void *arg)
{
	const struct curl_transfer *t = arg;

	(void)easy;
	return tls_dates_set(ssl_ctx, t->floor_us) < 0 ? CURLE_OUT_OF_MEMORY : CURLE_OK;
}

static int
set_options(struct curl_transfer *t, const struct http_request *req)
{
	long connect_ms = req->connect_timeout_ms ? req->connect_timeout_ms : DEFAULT_CONNECT_MS;
	long whole_ms = req->timeout_ms ? req->timeout_ms : DEFAULT_TIMEOUT_MS;
	CURL *e = t->easy;
	CURLcode c;

	c = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, req->allow_http ? "https,http" : "https");
	c = c ? c : curl_easy_setopt(e, CURLOPT_URL, req->url);
	c = c ? c : curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); /* what was signed or listed is what is asked for */
	c = c ? c : curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	c = c ? c : curl_easy_setopt(e, CURLOPT_PROXY, req->proxy ? req->proxy : "");
	c = c ? c : curl_easy_setopt(e, CURLOPT_NOPROXY, "");
	c = c ? c : curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	c = c ? c : curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, whole_ms);
	c = c ? c : curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)req->min_rate);
	c = c ? c : curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)req->min_rate_s);
	c = c ? c : curl_easy_setopt(e, CURLOPT_USERAGENT, "mainstay/" MAINSTAY_VERSION);
	c = c ? c : curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	c = c ? c : curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
	if (!c && req->gzip)
		c = curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (!c && req->ca_file)
		c = curl_easy_setopt(e, CURLOPT_CAINFO, req->ca_file);
	if (c == CURLE_OUT_OF_MEMORY)
		return FAULT(-ENOMEM);
	return c ? FAULT(-EINVAL) : set_body(t, req);
}

int
curl_transfer_new(struct curl_transfer **ret, const struct http_request *req)
{
	SCOPED(curl_transfer_freep) struct curl_transfer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return FAULT(-ENOMEM);
	t->max_reply = req->max_reply ? req->max_reply : DEFAULT_REPLY;
	t->reply.body = BUF_MAX(t->max_reply);
	t->floor_us = req->floor_us;
	t->through_proxy = req->proxy && req->proxy[0];
	t->sink = req->sink;
	t->sink_arg = req->sink_arg;
	t->ranged = req->sink && (req->range_at || req->range_len);
	t->range_at = req->range_at;
	t->range_len = t->left = req->range_len;
	t->easy = curl_easy_init();
	if (!t->easy)
		return FAULT(-ENOMEM);
	r = copy_lists(t, req);
	r = r ? r : set_options(t, req);
	if (r < 0)
		return r;
	*ret = STEAL(t);
	return 0;
}

/* --- how it ended ------------------------------------------------------------------------------------- */
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
curl_transfer_finish(struct curl_transfer *t, CURLcode code)
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
