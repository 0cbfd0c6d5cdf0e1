/* Calls on the privileged sockets (data only; any room may include this).
 *
 *	caller                                  monitor
 *	  CALL     id, VERB, {NAME VALUE}..., BODY or one descriptor (a memfd with it, or a socket)  ->
 *	                                      <- PROGRESS  id, JSON        (any number)
 *	                                      <- OK        id, JSON or one descriptor (a memfd with JSON)
 *	                                         REFUSED   id, REASON, OPERAND, PLACE, TEXT
 *	                                         FAULT     id, TEXT
 *	                                      <- EVENT     0, VERB, JSON   (to connected daemons, unasked)
 *
 * Control commands speak on control.sock, the courier on courier.sock, the collector on collect.sock;
 * the socket decides the role, the role decides the verbs. */
#pragma once

enum call_type {
	CALL_TYPE_CALL = 1,
	CALL_TYPE_OK = 2,
	CALL_TYPE_REFUSED = 3,
	CALL_TYPE_FAULT = 4,
	CALL_TYPE_PROGRESS = 5,
	CALL_TYPE_EVENT = 6,
};

enum call_tag {
	CALL_TAG_VERB = 1,  /* text, 1..64 bytes */
	CALL_TAG_NAME = 2,  /* text, 1..32 bytes; each followed by its VALUE */
	CALL_TAG_VALUE = 3, /* bytes, 0..8 KiB */
	CALL_TAG_BODY = 4,  /* bytes, 0..48 KiB */
	CALL_TAG_JSON = 5,  /* text, 0..60 KiB; longer answers come as a descriptor */
	CALL_TAG_REASON = 6,
	CALL_TAG_OPERAND = 7,
	CALL_TAG_PLACE = 8,
	CALL_TAG_TEXT = 9,
};

enum {
	CALL_VERB_MAX = 64,
	CALL_NAME_MAX = 32,
	CALL_VALUE_MAX = 8 * 1024,
	CALL_BODY_MAX = 48 * 1024,
	CALL_PARAMS_MAX = 64,
	CALL_FD_BYTES_MAX =
		16 * 1024 * 1024, /* of a body or an answer that comes as a descriptor */
};

/* Who may call a verb: the socket it came in by; on control.sock root, or the operators' group, which looks. */
#define CALL_LOOK_GROUP "mainstay"

enum call_role {
	CALL_ROLE_CONTROL = 1 << 0,
	CALL_ROLE_COURIER = 1 << 1,
	CALL_ROLE_COLLECT = 1 << 2,
	CALL_ROLE_LOOK = 1 << 3,
};
