/* What stood in the way of an answer, and what a person can do about it. */
#pragma once

enum http_trouble {
	HTTP_TROUBLE_NONE,
	HTTP_TROUBLE_DNS,        /* the name of the hub, or of the proxy, is not found */
	HTTP_TROUBLE_CONNECT,    /* nobody listens, or a firewall says no */
	HTTP_TROUBLE_PROXY,      /* the proxy does not let us through */
	HTTP_TROUBLE_PROXY_AUTH, /* the proxy wants a name and a password (407) */
	HTTP_TROUBLE_TLS,        /* the certificate was not accepted, or there was no TLS */
	HTTP_TROUBLE_TIME,       /* no answer in time */
	HTTP_TROUBLE_BROKEN,     /* the answer broke off or was none */
	HTTP_TROUBLE_MAX
};

/* "proxy-auth": for status and the courier's word to the monitor; "" for none. */
const char *http_trouble_text(enum http_trouble trouble);
/* What to do about it, in one line. */
const char *http_trouble_remedy(enum http_trouble trouble);
