/* Powers: what a release may do beyond running its exec in the standard sandbox, as texts that a person accepts. */
#include <errno.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/service/definition.h"
#include "appliance/trust/sha256.h"

enum { POWERS_MAX = 64, POWER_MAX = 160 };

struct powers {
	char text[POWERS_MAX][POWER_MAX];
	size_t n;
};

static void __attribute__((format(printf, 2, 3)))
add(struct powers *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->text[p->n++], POWER_MAX, fmt, ap);
	va_end(ap);
}

static int
add_block(struct powers *p, const char *name, const json_t *block)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	uint8_t digest[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1];
	int r = json_canonical(&b, block);

	r = r ?: buf_error(&b);
	if (r)
		return r < 0 ? FAULT(r) : r;
	sha256_of(digest, b.data, b.len);
	hex_encode(hex, digest, sizeof(digest));
	add(p, "%s=sha256:%s", name, hex);
	return 0;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

int
definition_powers(const struct definition *d, json_t **ret)
{
	SCOPED(scope_free) struct powers *p = calloc(1, sizeof(*p));
	SCOPED_JSON *all = json_array();
	const struct definition_limits *l = &d->limits;
	char name[32];
	int r = 0;

	_Static_assert(DEFINITION_SECRETS_MAX + DEFINITION_HOOK_MAX + 8 <= POWERS_MAX, "all have room");
	if (!p || !all)
		return FAULT(-ENOMEM);
	if (d->network != DEFINITION_NETWORK_NONE)
		add(p, "network=%s", definition_network_text(d->network));
	for (enum definition_hooks i = 0; r == 0 && i < DEFINITION_HOOK_MAX; i++) {
		(void)snprintf(name, sizeof(name), "hook.%s", definition_hook_text(i));
		if (d->hooks[i].present)
			r = add_block(p, name, d->hooks[i].json);
	}
	if (r == 0 && d->prepare.present)
		r = add_block(p, "prepare", d->prepare.json);
	if (r)
		return r;
	for (size_t i = 0; i < d->n_secrets; i++)
		add(p, "secret.%s", d->secrets[i].name);
	if (l->memory > DEFINITION_MEMORY_DEFAULT)
		add(p, "limit.memory=%llu", (unsigned long long)l->memory);
	if (l->processes > DEFINITION_PROCESSES_DEFAULT)
		add(p, "limit.processes=%u", l->processes);
	if (l->files > DEFINITION_FILES_DEFAULT)
		add(p, "limit.files=%u", l->files);
	if (d->requires_memory)
		add(p, "require.memory=%llu", (unsigned long long)d->requires_memory);
	qsort(p->text, p->n, POWER_MAX, by_text);
	for (size_t i = 0; i < p->n; i++) {
		if (json_array_append_new(all, json_string(p->text[i])) < 0)
			return FAULT(-ENOMEM);
	}
	*ret = STEAL(all);
	return 0;
}

/* How wide a network is; -1: it is none of them. */
static int
width(const char *network)
{
	for (enum definition_network i = DEFINITION_NETWORK_NONE; i <= DEFINITION_NETWORK_HOST; i++) {
		if (!strcmp(network, definition_network_text(i)))
			return (int)i;
	}
	return -1;
}

static bool
is_less(const char *power, const char *than)
{
	size_t name = strcspn(power, "=");
	uint64_t asked, had;

	if (!power[name] || strncmp(power, than, name + 1) != 0)
		return false;
	power += name + 1;
	than += name + 1;
	if (width(power) >= 0)
		return width(power) <= width(than);
	return number_u64(&asked, power, UINT64_MAX) == 0 && number_u64(&had, than, UINT64_MAX) == 0 &&
		asked <= had;
}

bool
definition_power_within(const char *power, const json_t *accepted)
{
	const json_t *one;
	size_t i;

	json_array_foreach(accepted, i, one) {
		const char *had = json_string_value(one);

		if (had && (!strcmp(power, had) || is_less(power, had)))
			return true;
	}
	return false;
}
