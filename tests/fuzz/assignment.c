/* The director's word: the first byte chooses between a payload that is signed rightly (a director that was stolen) and
 * signatures of any form over a good one. */
#include "updater/activate/assignment.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ed25519 *director;

static json_t *
sign(const uint8_t *p, size_t len)
{
	SCOPED(buf_done) struct buf base = BUF_MAX(1 << 20);
	uint8_t sig[ED25519_SIG_LEN];
	char hex[2 * ED25519_SIG_LEN + 1];

	buf_puts(&base, "assignment@mainstay");
	buf_u8(&base, 0);
	buf_put(&base, p, len);
	if (ed25519_sign(director, base.data, base.len, sig) != 0)
		abort();
	return json_pack("[{s:s, s:s}]", "keyid", ed25519_keyid(director), "sig",
		hex_encode(hex, sig, sizeof(sig)));
}

static void
clean_up(void)
{
	director = ed25519_free(director);
}

static void
set_up(void)
{
	if (ed25519_generate(&director) != 0)
		abort();
	(void)atexit(clean_up);
}

/* What a stolen director signed and a site took must not keep its monitor from starting again. */
static void
check_kept(const struct assignment *a)
{
	struct assignment back;

	if (assignment_save(a, folder_fd()) != 0 || assignment_load(&back, folder_fd()) != 0)
		__builtin_trap();
	if (back.n != a->n || back.counter != a->counter)
		__builtin_trap();
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(back.releases[i].target, a->releases[i].target) != 0)
			__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct assignment_facts facts = {
		.site = "site1", .counter = 5, .now_us = UINT64_C(1795262400000000)
	};
	SCOPED_JSON *sigs = NULL;
	struct assignment a;

	log_quiet_refusals(true);
	if (!director)
		set_up();
	facts.director = ed25519_public(director);
	if (!size)
		return 0;
	if (data[0] == 's') {
		sigs = json_loadb((const char *)data + 1, size - 1, 0, NULL);
		/* No bytes of others are a signature. */
		if (sigs && assignment_check(&a, "{}", 2, sigs, &facts) == 0)
			__builtin_trap();
		return 0;
	}
	sigs = sign(data + 1, size - 1);
	if (assignment_check(&a, data + 1, size - 1, sigs, &facts) != 0)
		return 0;
	if (a.n > ASSIGNMENT_RELEASES_MAX || a.counter < facts.counter ||
		a.not_before_us > facts.now_us || a.not_after_us < facts.now_us)
		__builtin_trap();
	for (size_t i = 0; i < a.n; i++)
		if (assignment_find(&a, a.releases[i].service) != &a.releases[i])
			__builtin_trap();
	check_kept(&a);
	return 0;
}
