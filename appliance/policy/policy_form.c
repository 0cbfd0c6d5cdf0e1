#include "appliance/policy/policy_form.h"

#include <string.h>

#include "appliance/base/scope.h"
#include "appliance/policy/hours.h"
#include "appliance/policy/policy.h"

static const char *const risks[] = { "observe", "change", "destroy", "session" };
static const char *const decisions[] = { "allow", "ask", "deny" };
static const char *const fates[] = { "send", "review", "keep" };
static const char *const events[] = { "request", "alert", "update", "refusal",
	"clone", "switch", "policy" };
static const char *const windows[] = { POLICY_WINDOW_UPDATES, POLICY_WINDOW_REMOTE };

static const struct {
	const char *name;
	const char *wanted;
	const char *const *words;
	size_t n_words;
} forms[POLICY_FORM_MAX] = {
	[POLICY_FORM_SERVICES] = { "services", "the name of a service", NULL, 0 },
	[POLICY_FORM_OPERATIONS] = { "operations", "the name of an operation", NULL, 0 },
	[POLICY_FORM_RISK] = { "risk", "one of observe, change, destroy, session", risks,
		ARRAY_LEN(risks) },
	[POLICY_FORM_ROLES] = { "roles", "the name of a role", NULL, 0 },
	[POLICY_FORM_ENGINEERS] = { "engineers", "the name of an engineer", NULL, 0 },
	[POLICY_FORM_HOURS] = { "hours",
		"a span like \"08:00-18:00\" or \"mon-fri 08:00-18:00\" (UTC)", NULL, 0 },
	[POLICY_FORM_DECISION] = { "decision", "one of allow, ask, deny", decisions,
		ARRAY_LEN(decisions) },
	[POLICY_FORM_APPROVERS] = { "approvers", "the name of an approver", NULL, 0 },
	[POLICY_FORM_NOTIFY] = { "notify", "one of request, alert, update, refusal, clone, switch, policy",
		events,
		ARRAY_LEN(events) },
	[POLICY_FORM_CLASS] = { "classes", "one of send, review, keep", fates, ARRAY_LEN(fates) },
	[POLICY_FORM_KEY] = { "keys", "an OpenSSH public key without a comment", NULL, 0 },
	[POLICY_FORM_WINDOW] = { "windows", "one of updates, remote", windows, ARRAY_LEN(windows) },
	[POLICY_FORM_NAME] = { "name", "a name of letters, digits, '.', '_', '-', '@'", NULL, 0 },
};

/* "*" stands for everything, where a list is about what may come (not where a person or a name is meant). */
static bool
is_everything(enum policy_form form, const char *s)
{
	return form <= POLICY_FORM_ENGINEERS && form != POLICY_FORM_RISK && strcmp(s, "*") == 0;
}

static bool
is_word(const char *s)
{
	static const char taken[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@";
	size_t len = strlen(s);

	return len > 0 && len <= POLICY_FORM_WORD_MAX && strspn(s, taken) == len;
}

/* Form only; the curve's point is judged where a signature is checked. */
static bool
is_key(const char *s)
{
	static const char *const types[] = { "ssh-ed25519 ", "sk-ssh-ed25519@openssh.com ",
		"ecdsa-sha2-nistp256 ", "sk-ecdsa-sha2-nistp256@openssh.com " };
	static const char taken[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=";

	if (strlen(s) >= POLICY_KEY_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		size_t n = strlen(types[i]);

		if (strncmp(s, types[i], n) == 0)
			return s[n] && strspn(s + n, taken) == strlen(s + n);
	}
	return false;
}

const char *
policy_form_check(enum policy_form form, const char *text)
{
	struct hours h;
	bool good = false;

	if (form == POLICY_FORM_HOURS)
		good = hours_parse(&h, text);
	else if (form == POLICY_FORM_KEY)
		good = is_key(text);
	else if (!forms[form].words)
		good = is_word(text) || is_everything(form, text);
	for (size_t i = 0; i < forms[form].n_words; i++)
		good = good || strcmp(forms[form].words[i], text) == 0;
	return good ? NULL : forms[form].wanted;
}

const char *const *
policy_form_words(enum policy_form form, size_t *ret_n)
{
	*ret_n = forms[form].n_words;
	return forms[form].words;
}

const char *
policy_form_name(enum policy_form form)
{
	return forms[form].name;
}
