/* The profile's rules, which signing and verifying share.  Inside of this room only. */
#pragma once

#include <stdbool.h>

#include "appliance/trust/httpsig.h"

#define HTTPSIG_OPERAND "signature"
#define HTTPSIG_LABEL "sig"
#define HTTPSIG_TAG "mainstay-v1"
#define HTTPSIG_ALG "ed25519"

/* One component that must be covered. */
struct httpsig_rule {
	const char *name; /* NULL ends the list */
	bool always;	  /* else: when the header is there */
};
extern const struct httpsig_rule httpsig_profile_request[];
extern const struct httpsig_rule httpsig_profile_reply[];

bool httpsig_profile_has(const struct httpsig_message *m, const char *name);
