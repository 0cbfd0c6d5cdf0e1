/* Any OTLP/HTTP receiver that the customer names, beside the hub or instead of it for some classes.
 *
 * POST url + path, with the headers of a file and nothing of ours: no signature, no sequence.  So there is no
 * exactly-once and no acknowledgement that anybody signed: what is sent again after a lost answer is there twice, as
 * OTLP allows, and what a receiver took and lost is not ours to know. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "appliance/egress/class.h"

struct curl_loop;
struct destination;
struct destination_call;

enum {
	DESTINATIONS_MAX = 8,
	DESTINATION_NAME_MAX = 32,
	DESTINATION_URL_MAX = 512,
	DESTINATION_HEADERS_MAX = 8,
	DESTINATION_REPLY_MAX = 4 * 1024 * 1024,
};

struct destination_config {
	char name[DESTINATION_NAME_MAX + 1]; /* [a-z][a-z0-9-]* */
	char url[DESTINATION_URL_MAX];	     /* "https://otlp.example:4318", no path's "/" at the end */
	char headers_file[DESTINATION_URL_MAX]; /* "" for none: absolute path, nobody else's to read */
	char ca_file[DESTINATION_URL_MAX];   /* "" for the system's */
	unsigned classes;		     /* bits 1 << enum class_name: what goes there */
	bool instead;			     /* and not to the hub */
};

/* Lent for the time of the callback. */
struct destination_reply {
	int status;
	const void *body;
	size_t len;
	const char *retry_after, *accept_encoding; /* NULL: not said */
};

/* r: 0 with a reply; REASON_UNREACHABLE (why says it) or another reason or fault: none. */
typedef void destination_done_fn(int r, const struct destination_reply *reply, const char *why, void *arg);

/* On this machine itself, where plain http will do. */
bool destination_is_near(const char *url);

/* config is kept, not copied. */
int destination_new(struct destination **ret, sd_event *loop, const struct destination_config *config);
struct destination *destination_free(struct destination *d); /* cancels its calls */
SCOPED_DESTRUCTOR(struct destination, destination_free)

const struct destination_config *destination_config(const struct destination *d);

/* As hub_client_send().  proxy: "" for none.  The headers file is read each time: a new token needs no restart.  Returns 0;
 * REASON_DENIED where others than its owner and group may read it, REASON_MALFORMED where it holds no headers (both
 * logged); or a fault. */
int destination_send(struct destination_call **slot, struct destination *d, const char *path,
	const char *content_type, const char *coding, const void *body, size_t len, const char *proxy,
	uint64_t floor_us, destination_done_fn *done, void *arg);
struct destination_call *destination_cancel(struct destination_call *call);
