#include <errno.h>
#include <stdlib.h>

#include "appliance/base/fault.h"
#include "appliance/loop/curl_transfer.h"

enum { CONNECTIONS_MAX = 2, LOOK_MS = 1000 };

struct http_line {
	CURLM *multi; /* keeps the connections */
};

int
http_line_new(struct http_line **ret)
{
	SCOPED(http_line_freep) struct http_line *line = calloc(1, sizeof(*line));

	if (!line)
		return FAULT(-ENOMEM);
	line->multi = curl_multi_init();
	if (!line->multi || curl_multi_setopt(line->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX))
		return FAULT(-ENOMEM);
	*ret = STEAL(line);
	return 0;
}

struct http_line *
http_line_free(struct http_line *line)
{
	if (!line)
		return NULL;
	if (line->multi)
		(void)curl_multi_cleanup(line->multi);
	free(line);
	return NULL;
}

/* As curl_easy_perform(), but the connections stay with the line. */
static CURLcode
perform(struct http_line *line, CURL *easy)
{
	CURLcode code = CURLE_FAILED_INIT;
	int running = 1, left;
	CURLMsg *msg;

	if (curl_multi_add_handle(line->multi, easy))
		return CURLE_OUT_OF_MEMORY;
	while (running && !curl_multi_perform(line->multi, &running) && running)
		if (curl_multi_poll(line->multi, NULL, 0, LOOK_MS, NULL))
			break;
	while ((msg = curl_multi_info_read(line->multi, &left)))
		if (msg->msg == CURLMSG_DONE && msg->easy_handle == easy)
			code = msg->data.result;
	(void)curl_multi_remove_handle(line->multi, easy);
	return code;
}

int
http_perform(struct http_line *line, const struct http_request *req, struct http_reply *reply)
{
	SCOPED(curl_transfer_freep) struct curl_transfer *t = NULL;
	int r;

	*reply = (struct http_reply){ 0 };
	r = curl_transfer_new(&t, req);
	if (r < 0)
		return reply->result = r;
	curl_reply_finish(t, line ? perform(line, t->easy) : curl_easy_perform(t->easy));
	*reply = t->reply;
	t->reply = (struct http_reply){ 0 };
	return reply->result;
}
