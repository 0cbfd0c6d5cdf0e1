#include "telemetry/alert/notify_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"

void
notify_message_done(struct notify_message *m)
{
	buf_wipe(&m->secret);
	buf_done(&m->body);
	explicit_bzero(m->header, sizeof(m->header));
}

/* User and password, a line each: the secret's own bytes, cut in two. */
static int
set_mail(struct notify_message *m, const struct notify_target *t)
{
	char *line = m->secret.len > 0 ? strchr((char *)m->secret.data, '\n') : NULL;
	char *rest = m->to_text;
	size_t n = 0;

	if (m->secret.len > 0 && (!line || strchr(line + 1, '\n')))
		return REFUSE(REASON_MALFORMED, t->secret_file, "is not two lines, a user and a password");
	(void)snprintf(m->to_text, sizeof(m->to_text), "%s", t->to);
	while (rest && n < NOTIFY_TARGET_TO_MAX)
		m->to[n++] = strsep(&rest, ",");
	m->mail = (struct http_mail){ .from = t->from, .to = m->to, .plain = t->plain };
	if (line) {
		*line = '\0';
		if (line > (char *)m->secret.data && line[-1] == '\r')
			line[-1] = '\0';
		m->mail.user = (char *)m->secret.data;
		m->mail.password = line + 1;
	}
	m->request.mail = &m->mail;
	return 0;
}

static int
set_headers(struct notify_message *m, const struct notify_form *f)
{
	size_t n = 0;
	int r;

	m->headers[n++] = "Content-Type: application/json";
	if (m->secret.len > 0) {
		r = notify_form_header(f, &m->secret, &m->body, m->header);
		if (r != 0)
			return r;
		m->headers[n++] = m->header;
	}
	m->request.headers = m->headers;
	return 0;
}

int
notify_message_make(struct notify_message *m, const struct notify_form *f)
{
	const struct notify_target *t = f->target;
	int r;

	*m = (struct notify_message){ .body = BUF_MAX(NOTIFY_FORM_BODY_MAX), .secret = BUF_MAX(NOTIFY_TARGET_SECRET_MAX) };
	r = t->secret_file[0] ? notify_target_secret(t, &m->secret) : 0;
	r = r ? r : notify_form_body(f, &m->body);
	notify_form_url(t, m->url);
	m->request = (struct http_request){ .method = "POST", .url = m->url, .body = m->body.data, .body_len = m->body.len,
		.ca_file = t->ca_file[0] ? t->ca_file : NULL, .max_reply = NOTIFY_MESSAGE_REPLY_MAX,
		.connect_timeout_ms = NOTIFY_MESSAGE_CONNECT_MS, .timeout_ms = NOTIFY_MESSAGE_TIMEOUT_MS, .allow_http = t->plain };
	return r ? r : t->kind == NOTIFY_SMTP ? set_mail(m, t) : set_headers(m, f);
}

int
notify_message_result(const struct notify_target *t, const struct http_reply *reply, char why[NOTIFY_QUEUE_ERROR_MAX])
{
	long status = reply->status;
	bool http = t->kind != NOTIFY_SMTP;

	why[0] = '\0';
	if (http && status >= 200 && status < 300)
		return 0; /* whatever else it had to say */
	if (!http && reply->result == 0)
		return 0;
	if (reply->result != 0)
		(void)snprintf(why, NOTIFY_QUEUE_ERROR_MAX, "%s", reply->error[0] ? reply->error : refuse_token((enum reason)reply->result));
	else
		(void)snprintf(why, NOTIFY_QUEUE_ERROR_MAX, "it answered with %ld", status);
	return http && status >= 400 && status < 500 && status != 408 && status != 429 ? NOTIFY_NEVER : NOTIFY_AGAIN;
}
