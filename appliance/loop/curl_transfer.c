#include "appliance/loop/curl_transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/loop/tls_dates.h"

enum {
	DEFAULT_REPLY = 1024 * 1024,
	DEFAULT_CONNECT_MS = 10 * 1000,
	DEFAULT_TIMEOUT_MS = 60 * 1000,
};

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
add_range(struct curl_transfer *t)
{
	char line[80], last[24] = "";

	if (!t->ranged)
		return 0;
	if (t->range_len)
		(void)snprintf(last, sizeof(last), "%llu", (unsigned long long)(t->range_at + t->range_len - 1));
	(void)snprintf(line, sizeof(line), "Range: bytes=%llu-%s", (unsigned long long)t->range_at, last);
	return add_header(t, line);
}

static int
copy_want(struct curl_transfer *t, const char *const *names)
{
	size_t n = 0;

	if (!names)
		return 0;
	while (names[n])
		n++;
	t->want = calloc(n + 1, sizeof(*t->want));
	if (!t->want)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++) {
		t->want[i] = strdup(names[i]);
		if (!t->want[i])
			return FAULT(-ENOMEM);
	}
	return 0;
}

static int
copy_lists(struct curl_transfer *t, const struct http_request *req)
{
	int r = add_header(t, "Expect:"); /* no round trip before the body */

	for (size_t i = 0; r == 0 && req->headers && req->headers[i]; i++)
		r = add_header(t, req->headers[i]);
	r = r ? r : add_range(t);
	return r ? r : copy_want(t, req->want_headers);
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
option_fault(CURLcode c)
{
	return c == CURLE_OUT_OF_MEMORY ? FAULT(-ENOMEM) : c ? FAULT(-EINVAL) : 0;
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
	return option_fault(c);
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
		return option_fault(curl_easy_setopt(e, CURLOPT_NOBODY, 1L));
	t->body = malloc(req->body_len + 1);
	if (!t->body)
		return FAULT(-ENOMEM);
	if (req->body_len > 0)
		memcpy(t->body, req->body, req->body_len);
	c = curl_easy_setopt(e, CURLOPT_POST, 1L);
	c = c ? c : curl_easy_setopt(e, CURLOPT_POSTFIELDS, (char *)t->body);
	c = c ? c : curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
	c = c ? c : curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
	return option_fault(c);
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
	c = c ? c : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, curl_reply_header);
	c = c ? c : curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, curl_reply_body);
	c = c ? c : curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	c = c ? c : curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
	if (!c && req->gzip)
		c = curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (!c && req->ca_file)
		c = curl_easy_setopt(e, CURLOPT_CAINFO, req->ca_file);
	return option_fault(c) ?: set_body(t, req);
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
