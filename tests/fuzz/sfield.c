/* What parses can be written, and what was written parses to the same text. */
#include "appliance/trust/sfield.h"

#include "appliance/base/buf.h"
#include "appliance/base/log.h"

enum { WRITTEN_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is listed is found by its key, and the first of that key. */
static void
look_up(const struct sfield *f)
{
	for (const struct sfield_item *i = f->items; i; i = i->next) {
		if (i->key && !sfield_get(f, i->key))
			__builtin_trap();
		for (const struct sfield_param *p = i->params; p; p = p->next)
			if (!sfield_param(i, p->key))
				__builtin_trap();
	}
	if (sfield_get(f, "No key looks like this"))
		__builtin_trap();
}

static void
once(enum sfield_form form, const char *text, size_t len, unsigned flags)
{
	SCOPED(buf_done) struct buf one = BUF_MAX(WRITTEN_MAX), two = BUF_MAX(WRITTEN_MAX);
	SCOPED(sfield_freep) struct sfield *f = NULL, *again = NULL;

	if (sfield_parse(&f, form, text, len, flags, "fuzz"))
		return;
	look_up(f);
	if (sfield_write(&one, form, f->items) || (form == SFIELD_ITEM && !one.len))
		__builtin_trap();
	if (sfield_parse(&again, form, buf_text(&one), one.len, flags, "fuzz"))
		__builtin_trap();
	if (sfield_write(&two, form, again->items) || two.len != one.len ||
		(one.len && memcmp(one.data, two.data, one.len)))
		__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	log_quiet_refusals(true);
	if (!size || size > 8192)
		return 0;
	once((enum sfield_form)(data[0] % 3), (const char *)data + 1, size - 1, data[0] / 3 % 4);
	return 0;
}
