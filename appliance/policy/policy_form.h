/* What words may stand where in a policy: shared by the reader of the compiled form and the compiler, so that
 * both refuse the same things, the compiler with line and column. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum policy_form {
	POLICY_FORM_SERVICES,
	POLICY_FORM_OPERATIONS,
	POLICY_FORM_RISK,
	POLICY_FORM_ROLES,
	POLICY_FORM_ENGINEERS,
	POLICY_FORM_HOURS,
	POLICY_FORM_DECISION,
	POLICY_FORM_APPROVERS,
	POLICY_FORM_NOTIFY,
	POLICY_FORM_CLASS,
	POLICY_FORM_KEY,
	POLICY_FORM_NAME,
	POLICY_FORM_WINDOW,
	POLICY_FORM_MAX
};

enum { POLICY_FORM_WORD_MAX = 64, POLICY_FORM_LIST_MAX = 64 };

/* NULL where text may stand there, else what was wanted: "one of observe, change, destroy, session". */
const char *policy_form_check(enum policy_form form, const char *text);

/* The words of a closed list, for "did you mean"; NULL where the list is open. */
const char *const *policy_form_words(enum policy_form form, size_t *ret_n);

/* "risk", the member's name in a rule. */
const char *policy_form_name(enum policy_form form);
