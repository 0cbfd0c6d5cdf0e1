/* pack_list_read(): what it takes is written again byte for byte, and its members fill its packs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "updater/object/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
held(const uint8_t sha256[32], void *arg)
{
	(void)arg;
	return sha256[0] & 1;
}

static bool
spoilt(const uint8_t from[32], const uint8_t to[32], void *arg)
{
	(void)arg;
	return (from[1] ^ to[1]) & 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pack_ask ask = { .held = held, .spoilt = spoilt };
	SCOPED(pack_list_freep) struct pack_list *l = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(PACK_LIST_MAX);
	uint64_t filled[PACK_MAX] = { 0 };

	log_quiet_refusals(true);
	if (pack_list_read(&l, data, size) != 0)
		return 0;
	if (pack_list_write(l, &b) != 0 || b.len != size || memcmp(b.data, data, size) != 0)
		abort();
	for (size_t i = 0; i < l->n_members; i++) {
		const struct pack_member *m = &l->members[i];

		if (m->pack >= l->n_packs || m->at != filled[m->pack] ||
			!pack_list_has(l, m->to, m->patch ? m->from : NULL))
			abort();
		filled[m->pack] += m->length;
		m = pack_choose(l, m->to, &ask);
		if (m && memcmp(m->to, l->members[i].to, 32) != 0)
			abort();
	}
	for (size_t i = 0; i < l->n_packs; i++)
		if (filled[i] != l->packs[i].size)
			abort();
	return 0;
}
