#include "appliance/trust/sfield.h"

#include <errno.h>
#include <inttypes.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"

#define INTEGER_MAX INT64_C(999999999999999) /* 15 digits; as thousandths 12 and 3 */

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
write_key(struct buf *out, const char *key)
{
	if (!is_lower(key[0]) && key[0] != '*')
		return REASON_MALFORMED;
	for (const char *c = key; *c; c++) {
		if (!is_lower(*c) && !is_digit(*c) && !strchr("_-.*", *c))
			return REASON_MALFORMED;
	}
	buf_puts(out, key);
	return 0;
}

static int
write_string(struct buf *out, const struct sfield_value *v)
{
	buf_u8(out, '"');
	for (size_t i = 0; i < v->len; i++) {
		char c = v->text[i];

		if (c < 0x20 || c > 0x7e)
			return REASON_MALFORMED;
		if (c == '"' || c == '\\')
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)c);
	}
	buf_u8(out, '"');
	return 0;
}

static int
write_token(struct buf *out, const struct sfield_value *v)
{
	for (size_t i = 0; i < v->len; i++) {
		char c = v->text[i];
		bool alpha = is_lower(c) || (c >= 'A' && c <= 'Z');

		if (!alpha && !(i && is_digit(c)) && c != '*' &&
			!(i && c && strchr("!#$%&'+-.^_`|~:/", c)))
			return REASON_MALFORMED;
	}
	if (!v->len)
		return REASON_MALFORMED;
	buf_put(out, v->text, v->len);
	return 0;
}

static int
write_display(struct buf *out, const struct sfield_value *v)
{
	buf_puts(out, "%\"");
	for (size_t i = 0; i < v->len; i++) {
		uint8_t c = (uint8_t)v->text[i];

		if (c == '%' || c == '"' || c < 0x20 || c > 0x7e)
			buf_printf(out, "%%%02x", c);
		else
			buf_u8(out, c);
	}
	buf_u8(out, '"');
	return 0;
}

static int
write_decimal(struct buf *out, int64_t thousandths)
{
	uint64_t n = (uint64_t)(thousandths < 0 ? -thousandths : thousandths);
	char fraction[4];
	size_t len = 3;

	snprintf(fraction, sizeof(fraction), "%03u", (unsigned)(n % 1000));
	while (len > 1 && fraction[len - 1] == '0')
		len--;
	buf_printf(out, "%s%" PRIu64 ".%.*s", thousandths < 0 ? "-" : "", n / 1000, (int)len,
		fraction);
	return 0;
}

int
sfield_write_value(struct buf *out, const struct sfield_value *v)
{
	switch (v->kind) {
	case SFIELD_INTEGER:
	case SFIELD_DECIMAL:
	case SFIELD_DATE:
		if (v->number > INTEGER_MAX || v->number < -INTEGER_MAX)
			return REASON_MALFORMED;
		if (v->kind == SFIELD_DECIMAL)
			return write_decimal(out, v->number);
		buf_printf(out, "%s%" PRId64, v->kind == SFIELD_DATE ? "@" : "", v->number);
		return 0;
	case SFIELD_STRING:
		return write_string(out, v);
	case SFIELD_TOKEN:
		return write_token(out, v);
	case SFIELD_BYTES:
		buf_u8(out, ':');
		hex_base64(out, v->text, v->len);
		buf_u8(out, ':');
		return 0;
	case SFIELD_BOOLEAN:
		buf_puts(out, v->number ? "?1" : "?0");
		return 0;
	case SFIELD_DISPLAY:
		return write_display(out, v);
	case SFIELD_INNER:
		break;
	}
	return REASON_MALFORMED;
}

static bool
is_true(const struct sfield_value *v)
{
	return v->kind == SFIELD_BOOLEAN && v->number;
}

static int
write_params(struct buf *out, const struct sfield_param *p)
{
	int r = 0;

	for (; p && r == 0; p = p->next) {
		buf_u8(out, ';');
		r = write_key(out, p->key);
		if (r == 0 && !is_true(&p->value)) {
			buf_u8(out, '=');
			r = sfield_write_value(out, &p->value);
		}
	}
	return r;
}

int
sfield_write_item(struct buf *out, const struct sfield_item *item)
{
	int r = 0;

	if (item->value.kind == SFIELD_INNER) {
		buf_u8(out, '(');
		for (const struct sfield_item *i = item->items; i && r == 0; i = i->next) {
			if (i != item->items)
				buf_u8(out, ' ');
			if (i->value.kind == SFIELD_INNER)
				return REASON_MALFORMED;
			r = sfield_write_item(out, i);
		}
		buf_u8(out, ')');
	} else {
		r = sfield_write_value(out, &item->value);
	}
	if (r == 0)
		r = write_params(out, item->params);
	return r ? r : FAULT(buf_error(out));
}

int
sfield_write(struct buf *out, enum sfield_form form, const struct sfield_item *items)
{
	int r = 0;

	for (const struct sfield_item *i = items; i && r == 0; i = i->next) {
		if (i != items)
			buf_puts(out, ", ");
		if (form == SFIELD_DICTIONARY) {
			r = i->key ? write_key(out, i->key) : (int)REASON_MALFORMED;
			if (r == 0 && is_true(&i->value)) {
				r = write_params(out, i->params);
				continue;
			}
			buf_u8(out, '=');
		}
		if (r == 0)
			r = sfield_write_item(out, i);
	}
	return r ? r : FAULT(buf_error(out));
}
