#include "appliance/loop/http_trouble.h"

static const struct {
	const char *text, *remedy;
} troubles[HTTP_TROUBLE_MAX] = {
	[HTTP_TROUBLE_NONE] = { "", "" },
	[HTTP_TROUBLE_DNS] = { "dns", "check the name, and DNS on this host (a proxy may be the only way out)" },
	[HTTP_TROUBLE_CONNECT] = { "connect", "open the way out to it in the firewall, or name the proxy" },
	[HTTP_TROUBLE_PROXY] = { "proxy", "check the proxy's address, and that it lets this host through" },
	[HTTP_TROUBLE_PROXY_AUTH] = { "proxy-auth", "the proxy wants a login: give it as http://NAME:PASSWORD@PROXY:PORT" },
	[HTTP_TROUBLE_TLS] = { "tls", "give the CA of the hub, or of the proxy that opens TLS; and check the clock" },
	[HTTP_TROUBLE_TIME] = { "time", "no answer in time: check the firewall and the proxy" },
	[HTTP_TROUBLE_BROKEN] = { "broken", "what answers is not the hub, or breaks off: check the proxy" },
};

const char *
http_trouble_text(enum http_trouble trouble)
{
	return troubles[trouble].text;
}

const char *
http_trouble_remedy(enum http_trouble trouble)
{
	return troubles[trouble].remedy;
}
