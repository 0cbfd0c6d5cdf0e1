/* POST /v1/enrol: how a site introduces itself.
 *
 *   site -> hub  body: envelope enrol@mainstay by the new site key, payload {"v":1,"site",
 *                "key":HEX,"audit_key":HEX,"hmac":HEX,"daemon":ENVELOPE,"platform","time"};
 *                header Mainstay-Nonce: HEX (no RFC 9421: the hub does not know the key yet)
 *   hub -> site  200 {"v":1,"site","customer","status":"pending"|"accepted","record":ENVELOPE if
 *                accepted}, signed by the reply key over that nonce; 401 bad-signature, 403
 *                wrong-addressee or low-order-key, 404 not-found (no such token), 410 used-token
 *                or expired
 *
 * hmac = HMAC-SHA256(token secret, "enrol@mainstay" NUL site NUL key audit_key).  The same key may
 * ask again until the token expires and gets the same answer.  "daemon" is the courier's key,
 * signed by the site key:
 *   envelope daemon@mainstay {"v":1,"site","role":"courier","key":HEX,"not_after":TIME} */
#pragma once

enum {
	ENROL_WIRE_BODY_MAX = 32 * 1024,
	ENROL_WIRE_REPLY_MAX = 64 * 1024,
	ENROL_WIRE_PLATFORM_MAX = 64,
	ENROL_WIRE_DAEMON_DAYS = 7,
};
#define ENROL_WIRE_PATH "/v1/enrol"
/* Envelope goodbye@mainstay {"v":1,"site","time"} by the site key: 200 {"v":1,"site"}; its keys are nobody's then. */
#define ENROL_WIRE_LEAVE "/v1/leave"
#define ENROL_WIRE_NONCE_HEADER "Mainstay-Nonce"
#define ENROL_WIRE_ROLE "courier"
#define ENROL_WIRE_PENDING "pending"
#define ENROL_WIRE_ACCEPTED "accepted"
