#include "appliance/trust/sfield.h"

#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sfield_parser.h"

/* Everything of one field lives in a chain of chunks and dies at once. */
struct sfield_arena {
	struct sfield_arena *next;
	size_t used, size;
	_Alignas(16) uint8_t bytes[];
};

enum { CHUNK = 4096 };

void *
sfield_parser_take(struct sfield_parser *s, size_t len)
{
	struct sfield_arena *a = s->f->arena;
	void *p;

	len = (len + 15) & ~(size_t)15;
	if (!a || a->size - a->used < len) {
		size_t size = len > CHUNK ? len : CHUNK;

		a = calloc(1, sizeof(*a) + size);
		if (!a) {
			s->fault = FAULT(-ENOMEM);
			return NULL;
		}
		a->size = size;
		a->next = s->f->arena;
		s->f->arena = a;
	}
	p = a->bytes + a->used;
	a->used += len;
	return p;
}

struct sfield *
sfield_free(struct sfield *f)
{
	if (!f)
		return NULL;
	while (f->arena) {
		struct sfield_arena *a = f->arena;

		f->arena = a->next;
		free(a);
	}
	free(f);
	return NULL;
}

bool
sfield_parser_fail(struct sfield_parser *s, const char *why)
{
	if (!s->why)
		s->why = why;
	return false;
}

static void
skip_spaces(struct sfield_parser *s)
{
	while (sfield_parser_eat(s, ' '))
		;
}

static void
skip_blanks(struct sfield_parser *s)
{
	while (sfield_parser_eat(s, ' ') || sfield_parser_eat(s, '\t'))
		;
}

/* --- parameters, items, lists ----------------------------------------------------------------- */
/* A key that comes again: refused, or its first place gets the later value. */
static bool
parse_params(struct sfield_parser *s, struct sfield_param **first)
{
	while (sfield_parser_eat(s, ';')) {
		struct sfield_param **at = first;
		const char *key;

		skip_spaces(s);
		if (!sfield_parser_key(s, &key))
			return false;
		while (*at && strcmp((*at)->key, key))
			at = &(*at)->next;
		if (*at && (s->flags & SFIELD_UNIQUE))
			return sfield_parser_fail(s, "a parameter comes twice");
		if (!*at)
			*at = sfield_parser_take(s, sizeof(**at));
		if (!*at)
			return false;
		(*at)->key = key;
		(*at)->value = (struct sfield_value){ .kind = SFIELD_BOOLEAN, .number = 1 };
		if (sfield_parser_eat(s, '=')) {
			(*at)->value = (struct sfield_value){ 0 };
			if (!sfield_parser_value(s, &(*at)->value))
				return false;
		}
	}
	return true;
}

static bool
parse_plain(struct sfield_parser *s, struct sfield_item *item)
{
	return sfield_parser_value(s, &item->value) && parse_params(s, &item->params);
}

static bool
parse_inner(struct sfield_parser *s, struct sfield_item *list)
{
	struct sfield_item **tail = &list->items;

	s->p++; /* the parenthesis */
	list->value.kind = SFIELD_INNER;
	for (;;) {
		skip_spaces(s);
		if (sfield_parser_eat(s, ')'))
			return parse_params(s, &list->params);
		if (s->p == s->end)
			return sfield_parser_fail(s, "an inner list does not end");
		*tail = sfield_parser_take(s, sizeof(**tail));
		if (!*tail || !parse_plain(s, *tail))
			return false;
		if (sfield_parser_peek(s) != ' ' && sfield_parser_peek(s) != ')')
			return sfield_parser_fail(s, "an inner list's items are not apart");
		tail = &(*tail)->next;
	}
}

static bool
parse_member(struct sfield_parser *s, struct sfield_item *item)
{
	return sfield_parser_peek(s) == '(' ? parse_inner(s, item) : parse_plain(s, item);
}

static bool
parse_keyed(struct sfield_parser *s, struct sfield_item *item)
{
	if (sfield_parser_eat(s, '='))
		return parse_member(s, item);
	item->value = (struct sfield_value){ .kind = SFIELD_BOOLEAN, .number = 1 };
	return parse_params(s, &item->params);
}

/* Where a member named key goes: the end, or where that key already stands. */
static struct sfield_item **
place_of(struct sfield_parser *s, struct sfield_item **tail, const char *key)
{
	struct sfield_item **at = &s->f->items;

	while (at != tail && strcmp((*at)->key, key))
		at = &(*at)->next;
	return at;
}

static bool
parse_members(struct sfield_parser *s)
{
	struct sfield_item **tail = &s->f->items, **at;
	struct sfield_item *item;
	const char *key = NULL;

	while (s->p < s->end) {
		item = sfield_parser_take(s, sizeof(*item));
		if (!item)
			return false;
		at = tail;
		if (s->f->form == SFIELD_DICTIONARY) {
			if (!sfield_parser_key(s, &key))
				return false;
			at = place_of(s, tail, key);
			if (at != tail && (s->flags & SFIELD_UNIQUE))
				return sfield_parser_fail(s, "a key comes twice");
			item->key = key;
		}
		if (!(key ? parse_keyed(s, item) : parse_member(s, item)))
			return false;
		if (at == tail) {
			*tail = item;
			tail = &item->next;
		} else {
			/* the later value, in the first one's place */
			item->next = (*at)->next;
			if (tail == &(*at)->next)
				tail = &item->next;
			*at = item;
		}
		skip_blanks(s);
		if (s->p == s->end)
			return true;
		if (!sfield_parser_eat(s, ','))
			return sfield_parser_fail(s, "members are not apart by a comma");
		skip_blanks(s);
		if (s->p == s->end)
			return sfield_parser_fail(s, "a comma ends it");
	}
	return true;
}

int
sfield_parse(struct sfield **ret, enum sfield_form form, const char *text, size_t len,
	unsigned flags, const char *operand)
{
	SCOPED(sfield_freep) struct sfield *f = calloc(1, sizeof(*f));
	struct sfield_parser s = {
		.start = text, .p = text, .end = text + len, .f = f, .flags = flags
	};
	bool good;

	if (!f)
		return FAULT(-ENOMEM);
	f->form = form;
	skip_spaces(&s);
	if (form == SFIELD_ITEM) {
		f->items = sfield_parser_take(&s, sizeof(*f->items));
		good = f->items && parse_plain(&s, f->items);
	} else {
		good = parse_members(&s);
	}
	skip_spaces(&s);
	if (s.fault)
		return FAULT(s.fault);
	if (good && s.p != s.end)
		good = sfield_parser_fail(&s, "something is left over");
	if (!good && flags & SFIELD_QUIET)
		return REASON_MALFORMED;
	if (!good)
		return REFUSE(REASON_MALFORMED, operand, "structured field, column %zu: %s",
			(size_t)(s.p - s.start) + 1, s.why);
	*ret = STEAL(f);
	return 0;
}

const struct sfield_item *
sfield_get(const struct sfield *f, const char *key)
{
	for (const struct sfield_item *i = f->items; i; i = i->next) {
		if (i->key && !strcmp(i->key, key))
			return i;
	}
	return NULL;
}

const struct sfield_param *
sfield_param(const struct sfield_item *item, const char *key)
{
	for (const struct sfield_param *p = item->params; p; p = p->next) {
		if (!strcmp(p->key, key))
			return p;
	}
	return NULL;
}
