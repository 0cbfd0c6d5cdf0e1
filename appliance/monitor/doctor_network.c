/* The way out: one GET of the hub's /healthz, and at which of its steps it ended.  Nothing is sent where every switch
 * is off and nobody names a hub. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/monitor/doctor.h"
#include "appliance/monitor/floor.h"
#include "appliance/monitor/proxy.h"

enum { URL_BYTES = 600, TEXT_BYTES = 700 };

#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt"

struct way {
	char url[URL_BYTES];
	char ca[sizeof(((struct paths *)0)->etc) + 16]; /* "": the system's */
	char proxy[PROXY_MAX];				/* "": none */
};

/* --- what the customer set -------------------------------------------------------------------- */
static size_t
certificates(const char *file, size_t *ret_ended)
{
	FILE *f = fopen(file, "re");
	size_t n = 0;
	X509 *x;

	*ret_ended = 0;
	while (f && (x = PEM_read_X509(f, NULL, NULL, NULL)) != NULL) {
		n++;
		*ret_ended += X509_cmp_current_time(X509_get0_notAfter(x)) < 0;
		X509_free(x);
	}
	ERR_clear_error(); /* the end of the file is an error to it */
	if (f)
		(void)fclose(f);
	return n;
}

static void
check_ca(struct doctor *d, struct way *w)
{
	bool own;
	size_t n, ended;
	char text[TEXT_BYTES];

	(void)snprintf(w->ca, sizeof(w->ca), "%s/ca.pem", d->call->paths.etc);
	own = access(w->ca, F_OK) == 0;
	n = certificates(own ? w->ca : SYSTEM_CAS, &ended);
	(void)snprintf(text, sizeof(text), "%s: %zu certificates, %zu of them past their end", own ? w->ca : SYSTEM_CAS, n, ended);
	doctor_test(d, "ca", n > 0 && (!own || ended < n), text,
		own ? "mainstay enrol --ca FILE, or write the CA that the hub, or your TLS-opening proxy, shows there"
		    : "apt-get install ca-certificates, or name the hub's CA: mainstay enrol --ca FILE");
	if (!own)
		w->ca[0] = '\0';
}

/* Returns whether the request can be made. */
static bool
check_proxy(struct doctor *d, struct way *w)
{
	char shown[PROXY_MAX], text[TEXT_BYTES];
	int r = proxy_read(w->proxy, d->call->paths.etc);

	if (r && r != REASON_NOT_FOUND) {
		doctor_test(d, "proxy-set", false, refuse_last()->text, "write etc/proxy anew: http://NAME:PASSWORD@HOST:PORT");
		return false;
	}
	if (r)
		w->proxy[0] = '\0';
	(void)snprintf(text, sizeof(text), "%s%s", w->proxy[0] ? "by way of " : "none is set",
		w->proxy[0] ? proxy_shown(shown, w->proxy) : "");
	doctor_test(d, "proxy-set", true, text, "");
	return true;
}

/* --- the way ---------------------------------------------------------------------------------- */
/* What each step is called, what it says when it went well, and the trouble that ends the way there.  Through a proxy the
 * proxy finds the name and dials. */
static const struct step {
	const char *name, *good;
	enum http_trouble trouble[2];
	bool direct, proxied;
} steps[] = {
	{ "proxy", "lets us through", { HTTP_TROUBLE_PROXY, HTTP_TROUBLE_PROXY_AUTH }, false, true },
	{ "dns", "the hub's name is found", { HTTP_TROUBLE_DNS, HTTP_TROUBLE_DNS }, true, false },
	{ "tcp", "its port is reached", { HTTP_TROUBLE_CONNECT, HTTP_TROUBLE_CONNECT }, true, false },
	{ "tls", "its certificate is accepted", { HTTP_TROUBLE_TLS, HTTP_TROUBLE_TLS }, true, true },
};

static bool
ends_at(const struct step *s, enum http_trouble trouble)
{
	return trouble != HTTP_TROUBLE_NONE && (s->trouble[0] == trouble || s->trouble[1] == trouble);
}

/* An end in time, or a broken answer, may be of any step. */
static bool
is_of_a_step(enum http_trouble trouble)
{
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (ends_at(&steps[i], trouble))
			return true;
	return false;
}

static void
tell_steps(struct doctor *d, const struct way *w, const struct http_reply *reply, const char *text)
{
	enum http_trouble trouble = reply->trouble;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct step *s = &steps[i];

		if (w->proxy[0] ? !s->proxied : !s->direct)
			continue;
		if (ends_at(s, trouble)) {
			doctor_test(d, s->name, false, text, http_trouble_remedy(trouble));
			return;
		}
		doctor_test(d, s->name, true, s->good, "");
	}
}

static void
try_hub(struct doctor *d, const struct way *w)
{
	SCOPED(http_reply_done) struct http_reply reply = { 0 };
	char text[TEXT_BYTES];
	int r = http_perform(NULL, &(struct http_request){ .method = "GET",
				     .url = w->url,
				     .proxy = w->proxy[0] ? w->proxy : NULL,
				     .ca_file = w->ca[0] ? w->ca : NULL,
				     .floor_us = FLOOR_LEAST_US },
		&reply);

	if (r == 0)
		(void)snprintf(text, sizeof(text), "%s answered %ld in %u ms", w->url, reply.status, reply.used_ms);
	else
		(void)snprintf(text, sizeof(text), "%s: %s", w->url, reply.error);
	if (r == 0 || is_of_a_step(reply.trouble))
		tell_steps(d, w, &reply, text);
	if (r == 0)
		doctor_test(d, "hub", reply.status == 200, text,
			reply.status < 500 ? "something between here and the hub answers in its place: check the address and the proxy"
					   : "the hub has trouble of its own: tell the vendor");
	else if (!is_of_a_step(reply.trouble))
		doctor_test(d, "hub", false, text, http_trouble_remedy(reply.trouble));
}

/* --- whether ---------------------------------------------------------------------------------- */
static bool
any_switch_on(const struct doctor *d)
{
	const json_t *switches = json_object_get(d->status, "switches");

	return json_is_true(json_object_get(switches, "telemetry")) || json_is_true(json_object_get(switches, "updates")) ||
	       json_is_true(json_object_get(switches, "remote"));
}

static bool
find_hub(struct doctor *d, struct way *w)
{
	const char *named = command_option(d->call, "hub"), *url = json_text(json_object_get(d->status, "hub"), "url");
	char text[TEXT_BYTES];

	if (!named && !*url) {
		doctor_tell(d, "hub", DOCTOR_NOTE, d->status ? "not enrolled: no hub to reach" : "not tried: the monitor knows which it is",
			"mainstay doctor --hub URL tries the way to one");
		return false;
	}
	if (!named && !any_switch_on(d)) {
		(void)snprintf(text, sizeof(text), "mainstay doctor --hub %s tries it", url);
		doctor_tell(d, "hub", DOCTOR_NOTE, "not tried: every switch is off, so nothing is sent", text);
		return false;
	}
	if (named && strncmp(named, "https://", strlen("https://")) != 0) {
		doctor_test(d, "hub", false, named, "give it as https://HOST:PORT");
		return false;
	}
	(void)snprintf(w->url, sizeof(w->url), "%s/healthz", named ?: url);
	return true;
}

void
doctor_network(struct doctor *d)
{
	struct way w = { .url = "" };

	check_ca(d, &w);
	if (check_proxy(d, &w) && find_hub(d, &w))
		try_hub(d, &w);
}
