/* Every signed message type: its namespace, who signs it, how large it may be.
 *
 * People (engineer, approver, owner) sign with SSHSIG (envelope_seal_person()), daemons with their raw Ed25519 key
 * (envelope_seal()).  A message's type never comes from outside as a number: it is MESSAGE_MAX or more only by a
 * programmer's mistake, which nothing here looks for.  Texts are static. */
#pragma once

#include <stddef.h>

enum message {
	MESSAGE_REQUEST,    /* engineer */
	MESSAGE_PERMIT,	    /* approver */
	MESSAGE_OWNER,	    /* owner */
	MESSAGE_SITE,	    /* engineer: the site record */
	MESSAGE_LOGIN,	    /* engineer */
	MESSAGE_ROLLOUT,    /* engineer */
	MESSAGE_STATEMENT,  /* site key */
	MESSAGE_RESULT,	    /* site key */
	MESSAGE_PLAN,	    /* site key */
	MESSAGE_DAEMON,	    /* site key */
	MESSAGE_ENROL,	    /* site key, before anybody knows it */
	MESSAGE_ASSIGNMENT, /* director key */
	MESSAGE_ROTATE,	    /* site key, the old one and the new one */
	MESSAGE_GOODBYE,    /* site key: it leaves */
	MESSAGE_DRY_RUN,    /* engineer: a request's members; asks for the plan alone */
	MESSAGE_CANCEL,	    /* engineer: ends a request */
	MESSAGE_PROGRESS,   /* site key: what a running request says meanwhile */
	MESSAGE_PERMITS,    /* site key: which standing permits it has */
	MESSAGE_MAX
};

/* "request@mainstay" */
const char *message_namespace(enum message m);
/* MESSAGE_MAX where it is none of them */
enum message message_of(const char *name_space);
/* "request": the word for it in refusals and audit leaves */
const char *message_word(enum message m);
/* bytes of its canonical payload at most */
size_t message_payload_max(enum message m);
/* bytes of its envelope's text at most */
size_t message_envelope_max(enum message m);
