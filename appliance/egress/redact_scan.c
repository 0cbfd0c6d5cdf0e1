/* One pass over the bytes: where could something begin?  Shifts of a block's bits find the few places: keywords end before
 * = : > or a space, addresses have @ or digits around dots, tokens are long words.  What is really there is for the finders. */
#include <string.h>

#include "appliance/base/scope.h"
#include "appliance/egress/redact_room.h"

enum { BLOCK = REDACT_BLOCK, LONG_WORD = 15, GROUP_MAX = 4 /* digits of an IPv6 address's groups */, ESCAPE_MAX = 6 };

typedef unsigned __int128 pair_t; /* two blocks, so that a shift looks into the next */

/* The bits n further on, and those one before. */
static inline uint64_t
ahead(uint64_t here, uint64_t next, unsigned n)
{
	return here >> n | next << (BLOCK - n);
}

static inline uint64_t
before(uint64_t here, uint64_t last)
{
	return here << 1 | last >> (BLOCK - 1);
}

/* Does a run of LONG_WORD lie in it, or end or begin there?  Then it fills a whole byte of the bits. */
static inline bool
has_full_byte(uint64_t m)
{
	const uint64_t ones = UINT64_MAX / 255;

	return (~m - ones) & m & ones << 7;
}

static uint64_t
long_words(const struct redact_bits *here, const struct redact_bits *next, uint64_t last)
{
	pair_t word = (pair_t)next->word << 64 | here->word, eight;
	uint64_t m;

	word &= word >> 1;
	word &= word >> 2;
	eight = word & word >> 4;
	m = (uint64_t)(eight & eight >> (LONG_WORD - 8));
	return m & ~before(m, last);
}

/* --- behind keywords --------------------------------------------------------------------------------------- */
static void
put(struct redact_scan *s, size_t at, uint64_t *found)
{
	if (at - s->block < BLOCK)
		*found |= UINT64_C(1) << (at - s->block);
	else
		s->beyond |= UINT64_C(1) << (at - s->block - BLOCK);
}

/* The separators behind a word that ends before at, and behind the gap after it. */
static void
behind_word(struct redact_scan *s, size_t at, uint64_t *found)
{
	bool key = at >= 3 ? redact_assign_ends_in(redact_assign_keys, s->p + at) : at == 2;
	bool spoken = at >= 3 ? redact_assign_ends_in(redact_assign_spoken, s->p + at) : at == 2;

	if (!key && !spoken)
		return;
	for (unsigned n = 0; n <= REDACT_GAP_MAX && at < s->len; n++, at++) {
		char c = s->p[at];

		if (c == ' ' ? spoken : key && (c == '=' || c == ':' || c == '>'))
			put(s, at, found);
		if (!redact_is(c, REDACT_GAP))
			break;
	}
}

static uint64_t
behind_words(struct redact_scan *s, uint64_t ends)
{
	uint64_t found = s->beyond;

	s->beyond = 0;
	for (; ends; ends &= ends - 1)
		behind_word(s, s->block + (size_t)__builtin_ctzll(ends) + 1, &found);
	return found;
}

/* --- a second look ----------------------------------------------------------------------------------------- */
/* Is there an escape so near before that it ends, or gives its letters to, the word here? */
static bool
near_escape(const struct redact_scan *s, size_t at)
{
	for (size_t n = 1; n <= ESCAPE_MAX && n <= at; n++)
		if (s->p[at - n] == '\\' || s->p[at - n] == '%')
			return true;
	return false;
}

/* Of 4111-1111 and DE89 3704: does it begin as a card or an account does, where a word or the end of an address is? */
static bool
may_be_number(const struct redact_scan *s, size_t at)
{
	const char *p = s->p + at;

	if (near_escape(s, at))
		return true;
	if (at > 0 && redact_is(p[-1], REDACT_ALNUM) && !(redact_is(p[-1], REDACT_DIGIT) && redact_is(*p, REDACT_UPPER)))
		return false;
	if (redact_is(*p, REDACT_UPPER))
		return redact_is(p[1], REDACT_UPPER) && p[4] == ' ' && redact_is(p[5], REDACT_UPPER | REDACT_DIGIT);
	return redact_is(p[5], REDACT_DIGIT) && (*p == '2' ? p[1] >= '2' && p[1] <= '7' : *p >= '3' && *p <= '6');
}

/* $6$salt$..., $argon2id$..., SCRAM-SHA-256$4096:... */
static bool
may_be_hash(const struct redact_scan *s, size_t at)
{
	return (at > 0 && s->p[at - 1] == '6') || (at + 1 < s->len && s->p[at + 1] && strchr("12567yaps", s->p[at + 1]));
}

/* Behind a group of an IPv6 address's digits the next colon; len where there is none. */
static size_t
next_colon(const struct redact_scan *s, size_t at)
{
	size_t end = at + GROUP_MAX;

	while (at < s->len && at < end && redact_is(s->p[at], REDACT_HEX))
		at++;
	return at < s->len && s->p[at] == ':' ? at : s->len;
}

/* Of an address the first colon: the others are seen from there.  Two more follow it, or a pair, where the pair is not
 * found by itself; of times there are fewer. */
static bool
may_be_address(const struct redact_scan *s, size_t at)
{
	const char *p = s->p + at;

	if (!redact_is(p[1], REDACT_HEX) || !redact_is(p[-1], REDACT_HEX) || (at >= 3 && p[-3] == ':'))
		return false;
	at = next_colon(s, at + 1);
	return at < s->len && next_colon(s, at + 1) < s->len;
}

static bool
may_be(const struct redact_scan *s, size_t at)
{
	switch (s->p[at]) {
	case ':':
		return may_be_address(s, at);
	case '%':
		return at + 1 < s->len && (s->p[at + 1] == '3' || s->p[at + 1] == '4');
	case '@':
		return s->pseudonyms & 1U << PSEUDONYM_EMAIL;
	case '$':
		return may_be_hash(s, at);
	default:
		return may_be_number(s, at);
	}
}

/* --- one block --------------------------------------------------------------------------------------------- */
static uint64_t
look(struct redact_scan *s)
{
	const struct redact_bits *l = &s->bits[s->now - 1], *h = l + 1, *n = h + 1;
	const uint64_t alnum_1 = ahead(h->alnum, n->alnum, 1), digit_1 = ahead(h->digit, n->digit, 1);
	const uint64_t dash_1 = ahead(h->dash, n->dash, 1), slash_1 = ahead(h->slash, n->slash, 1);
	uint64_t found, judged, dash = h->dash & dash_1;

	found = behind_words(s, (h->ending << 2 | l->ending >> (BLOCK - 2)) & h->alnum & ~alnum_1);
	/* -p of a command; :// */
	found |= h->space & dash_1 & ~ahead(h->space, n->space, 2);
	found |= h->colon & slash_1 & ahead(h->slash, n->slash, 2);
	/* 4111 1111 1111 and DE89 3704 0044, 3782-822463-10005: the first group, and that another one follows. */
	judged = h->alnum & alnum_1 & ahead(h->digit, n->digit, 2) & ahead(h->digit, n->digit, 3) &
		ahead(h->space | h->dash, n->space | n->dash, 4) & ahead(h->alnum, n->alnum, 5);
	judged |= h->rare;
	if (s->pseudonyms & 1U << PSEUDONYM_IP) {
		found |= h->colon & ahead(h->colon, n->colon, 1);
		found |= before(h->digit, l->digit) & h->dot & digit_1 &
			(ahead(h->dot, n->dot, 2) | ahead(h->dot, n->dot, 3) | ahead(h->dot, n->dot, 4));
		judged |= before(h->alnum, l->alnum) & h->colon & alnum_1;
	}
	if (dash) {
		dash &= ahead(h->dash, n->dash, 2) & ahead(h->dash, n->dash, 3) & ahead(h->dash, n->dash, 4);
		found |= dash & ~before(h->dash, l->dash);
	}
	if (has_full_byte(h->word) || has_full_byte(n->word))
		found |= long_words(h, n, l->word);
	for (judged &= ~found; judged; judged &= judged - 1)
		if (may_be(s, s->block + (size_t)__builtin_ctzll(judged)))
			found |= judged & -judged;
	return found;
}

/* The bits of the blocks from that one on, as many as have room and stand in the text: and one behind it, for the last one's
 * look ahead. */
static void
fill(struct redact_scan *s, unsigned first)
{
	size_t at = s->block + (first - s->now) * (size_t)BLOCK, left = at < s->len ? s->len - at : 0;
	size_t room = ARRAY_LEN(s->bits) - first, want = left / BLOCK + 2;

	redact_block(&s->bits[first], want < room ? want : room, s->p + (left ? at : 0), left);
}

static void
step(struct redact_scan *s)
{
	s->block += BLOCK;
	s->now++;
	if (s->now + 1 == ARRAY_LEN(s->bits)) {
		s->bits[0] = s->bits[s->now - 1];
		s->bits[1] = s->bits[s->now];
		s->now = 1;
		fill(s, 2);
	}
	s->found = look(s);
}

size_t
redact_scan_seek(struct redact_scan *s, size_t from)
{
	for (;;) {
		size_t past = from > s->block ? from - s->block : 0;

		s->found &= past < BLOCK ? ~UINT64_C(0) << past : 0;
		if (s->found)
			return s->at = s->block + (size_t)__builtin_ctzll(s->found);
		if (s->len - s->block <= BLOCK)
			return s->at = s->len;
		step(s);
	}
}

void
redact_scan_init(struct redact_scan *s, const char *p, size_t len, unsigned pseudonyms)
{
	s->p = p;
	s->len = len;
	s->pseudonyms = pseudonyms;
	s->block = 0;
	s->beyond = 0;
	s->bits[0] = (struct redact_bits){ .ending = UINT64_MAX /* what has fewer letters before it */ };
	s->now = 1;
	fill(s, 1);
	s->found = look(s);
	(void)redact_scan_seek(s, 0);
}
