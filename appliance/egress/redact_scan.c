/* One pass over the bytes.  64 at a time become bit sets of classes; shifts of these find the few places where
 * something could begin: keywords end at = : or a space, addresses have @ or digits around a dot, tokens are long words.
 * What is really there is for the finders. */
#include <string.h>

#include "appliance/egress/redact_room.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 64, LONG_WORD = 15 };

typedef unsigned __int128 pair_t; /* two blocks, so that a shift looks into the next */

#ifdef __SSE2__
static inline __m128i
within(__m128i v, char from, char span)
{
	__m128i x = _mm_sub_epi8(v, _mm_set1_epi8(from));

	return _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(span)), x);
}

static inline __m128i
same(__m128i v, char c)
{
	return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static inline uint64_t
bits(__m128i v)
{
	return (uint16_t)_mm_movemask_epi8(v);
}

static void
classify(struct redact_bits *out, const char *p)
{
	*out = (struct redact_bits){ 0 };
	for (unsigned i = 0; i < BLOCK; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i alpha = within(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 25);
		__m128i digit = within(v, '0', 9), dash = same(v, '-');
		__m128i alnum = _mm_or_si128(alpha, digit);
		__m128i anchor = _mm_or_si128(
			_mm_or_si128(_mm_or_si128(same(v, '='), same(v, ':')),
				_mm_or_si128(same(v, '@'), same(v, ' '))),
			_mm_or_si128(same(v, '%'), same(v, '$')));

		out->alnum |= bits(alnum) << i;
		out->digit |= bits(digit) << i;
		out->dash |= bits(dash) << i;
		out->word |= bits(_mm_or_si128(alnum, _mm_or_si128(dash, same(v, '_')))) << i;
		out->dot |= bits(same(v, '.')) << i;
		out->anchor |= bits(anchor) << i;
	}
}
#else
static void
classify(struct redact_bits *out, const char *p)
{
	*out = (struct redact_bits){ 0 };
	for (unsigned i = 0; i < BLOCK; i++) {
		uint64_t bit = UINT64_C(1) << i;

		out->alnum |= redact_is(p[i], REDACT_ALNUM) ? bit : 0;
		out->digit |= redact_is(p[i], REDACT_DIGIT) ? bit : 0;
		out->dash |= p[i] == '-' ? bit : 0;
		out->word |= redact_is(p[i], REDACT_WORD) ? bit : 0;
		out->dot |= p[i] == '.' ? bit : 0;
		out->anchor |= p[i] && strchr("=:@ %$", p[i]) ? bit : 0;
	}
}
#endif

static void
load(const struct redact_scan *s, size_t at, struct redact_bits *out)
{
	char last[BLOCK] = { 0 };

	if (at >= s->len) {
		*out = (struct redact_bits){ 0 };
	} else if (s->len - at >= BLOCK) {
		classify(out, s->p + at);
	} else {
		memcpy(last, s->p + at, s->len - at);
		classify(out, last);
	}
}

/* Where runs of at least 4 begin (not only at their first). */
static inline pair_t
fours(pair_t m)
{
	m &= m >> 1;
	return m & m >> 2;
}

static inline uint64_t
begins(uint64_t m, uint64_t before)
{
	return m & ~(m << 1 | before >> 63);
}

static uint64_t
look(const struct redact_scan *s)
{
	pair_t word = (pair_t)s->next.word << 64 | s->here.word;
	pair_t alnum = (pair_t)s->next.alnum << 64 | s->here.alnum;
	pair_t dash = (pair_t)s->next.dash << 64 | s->here.dash;
	pair_t digit = (pair_t)s->next.digit << 64 | s->here.digit;
	pair_t four = fours(alnum), eight = fours(word), groups, dots;

	eight &= eight >> 4;
	word = eight & eight >> (LONG_WORD - 8);
	/* 4111 1111 1111 and DE89 3704 0044, 3782 822463 10005 */
	groups = four & four >> 5 & (four >> 10 | four >> 12) & ~(alnum >> 4);
	dash = fours(dash) & dash >> 4;
	dots = (digit << 1 | s->last_digit >> 63) & s->here.dot & digit >> 1;
	return s->here.anchor | begins((uint64_t)word, s->last_word) |
		(uint64_t)groups |
		((uint64_t)dash & begins(s->here.dash, s->last_dash)) | (uint64_t)dots;
}

void
redact_scan_init(struct redact_scan *s, const char *p, size_t len)
{
	*s = (struct redact_scan){ .p = p, .len = len };
	load(s, 0, &s->here);
	load(s, BLOCK, &s->next);
	s->found = look(s);
}

static void
step(struct redact_scan *s)
{
	s->last_word = s->here.word;
	s->last_digit = s->here.digit;
	s->last_dash = s->here.dash;
	s->here = s->next;
	s->block += BLOCK;
	load(s, s->block + BLOCK, &s->next);
	s->found = look(s);
}

/* Most spaces end no keyword: seen from their last letter. */
static bool
may_announce(const struct redact_scan *s, size_t at)
{
	static const bool ends[256] = { ['r'] = 1, ['R'] = 1, ['c'] = 1, ['C'] = 1, ['h'] = 1, ['H'] = 1, ['s'] = 1,
		['S'] = 1, ['d'] = 1, ['D'] = 1, ['y'] = 1, ['Y'] = 1, ['n'] = 1, ['t'] = 1, ['"'] = 1, ['\''] = 1,
		['e'] = 1 };

	return s->p[at] != ' ' || (at > 0 && ends[(uint8_t)s->p[at - 1]]);
}

size_t
redact_scan_next(struct redact_scan *s, size_t from)
{
	size_t at;

	for (;;) {
		while (from >= s->block + BLOCK && s->block < s->len)
			step(s);
		if (s->block >= s->len)
			return s->len;
		if (from > s->block)
			s->found &= ~UINT64_C(0) << (from - s->block);
		if (s->found == 0) {
			from = s->block + BLOCK;
			continue;
		}
		at = s->block + (size_t)__builtin_ctzll(s->found);
		s->found &= s->found - 1;
		if (may_announce(s, at))
			return at;
	}
}
