/* One pass over the bytes.  64 at a time become bit sets of classes; shifts of these find the few places where
 * something could begin: keywords end at = : or a space, addresses have @ or digits around a dot, tokens are long words.
 * What is really there is for the finders. */
#include <string.h>

#include "appliance/egress/redact_room.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { BLOCK = 64, LONG_WORD = 15 };

typedef unsigned __int128 pair_t; /* two blocks, so that a shift looks into the next */

#ifdef __x86_64__
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
classify_16(struct redact_bits *out, const char *p)
{
	uint64_t word = 0, alnum = 0, digits = 0, dashes = 0, dots = 0, anchors = 0;

#pragma GCC unroll 4
	for (unsigned i = 0; i < BLOCK; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i alpha = within(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 25);
		__m128i digit = within(v, '0', 9), dash = same(v, '-');
		__m128i letter = _mm_or_si128(alpha, digit);
		/* $ and %, = and > */
		__m128i anchor = _mm_or_si128(_mm_or_si128(within(v, '$', 1), _mm_or_si128(within(v, '=', 1), same(v, ':'))),
			_mm_or_si128(same(v, '@'), same(v, ' ')));

		alnum |= bits(letter) << i;
		digits |= bits(digit) << i;
		dashes |= bits(dash) << i;
		word |= bits(_mm_or_si128(letter, _mm_or_si128(dash, same(v, '_')))) << i;
		dots |= bits(same(v, '.')) << i;
		anchors |= bits(anchor) << i;
	}
	*out = (struct redact_bits){ word, alnum, digits, dashes, dots, anchors };
}
/* The same 32 bytes at a time, where the processor can. */
#define WIDE __attribute__((target("avx2")))

WIDE static inline __m256i
within_32(__m256i v, char from, char span)
{
	__m256i x = _mm256_sub_epi8(v, _mm256_set1_epi8(from));

	return _mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8(span)), x);
}

WIDE static inline __m256i
same_32(__m256i v, char c)
{
	return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

WIDE static inline uint64_t
bits_32(__m256i v)
{
	return (uint32_t)_mm256_movemask_epi8(v);
}

WIDE static void
classify_32(struct redact_bits *out, const char *p)
{
	uint64_t word = 0, alnum = 0, digits = 0, dashes = 0, dots = 0, anchors = 0;

#pragma GCC unroll 2
	for (unsigned i = 0; i < BLOCK; i += 32) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
		__m256i alpha = within_32(_mm256_or_si256(v, _mm256_set1_epi8(0x20)), 'a', 25);
		__m256i digit = within_32(v, '0', 9), dash = same_32(v, '-');
		__m256i letter = _mm256_or_si256(alpha, digit);
		__m256i anchor = _mm256_or_si256(
			_mm256_or_si256(within_32(v, '$', 1), _mm256_or_si256(within_32(v, '=', 1), same_32(v, ':'))),
			_mm256_or_si256(same_32(v, '@'), same_32(v, ' ')));

		alnum |= bits_32(letter) << i;
		digits |= bits_32(digit) << i;
		dashes |= bits_32(dash) << i;
		word |= bits_32(_mm256_or_si256(letter, _mm256_or_si256(dash, same_32(v, '_')))) << i;
		dots |= bits_32(same_32(v, '.')) << i;
		anchors |= bits_32(anchor) << i;
	}
	*out = (struct redact_bits){ word, alnum, digits, dashes, dots, anchors };
}
#else
static void
classify_16(struct redact_bits *out, const char *p)
{
	*out = (struct redact_bits){ 0 };
	for (unsigned i = 0; i < BLOCK; i++) {
		uint64_t bit = UINT64_C(1) << i;

		out->alnum |= redact_is(p[i], REDACT_ALNUM) ? bit : 0;
		out->digit |= redact_is(p[i], REDACT_DIGIT) ? bit : 0;
		out->dash |= p[i] == '-' ? bit : 0;
		out->word |= redact_is(p[i], REDACT_WORD) ? bit : 0;
		out->dot |= p[i] == '.' ? bit : 0;
		out->anchor |= p[i] && strchr("=>:@ %$", p[i]) ? bit : 0;
	}
}
#endif

static void (*classify)(struct redact_bits *, const char *) = classify_16;

void
redact_scan_prepare(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		classify = classify_32;
#endif
}

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

/* The bits n further on. */
static inline uint64_t
ahead(uint64_t here, uint64_t next, unsigned n)
{
	return here >> n | next << (BLOCK - n);
}

/* Does a run of LONG_WORD lie in it, or end or begin there?  Then it fills a whole byte of the bits. */
static inline bool
has_full_byte(uint64_t m)
{
	const uint64_t ones = UINT64_MAX / 255;

	return (~m - ones) & m & ones << 7;
}

static uint64_t
long_words(const struct redact_scan *s)
{
	pair_t word = (pair_t)s->next.word << 64 | s->here.word, eight;
	uint64_t m;

	word &= word >> 1;
	word &= word >> 2;
	eight = word & word >> 4;
	m = (uint64_t)(eight & eight >> (LONG_WORD - 8));
	return m & ~(m << 1 | s->last_word >> 63);
}

static uint64_t
look(const struct redact_scan *s)
{
	const struct redact_bits *h = &s->here, *n = &s->next;
	uint64_t found = h->anchor, dash = h->dash & ahead(h->dash, n->dash, 1);

	/* 4111 1111 1111 and DE89 3704 0044, 3782 822463 10005: the first group, and that another one follows. */
	found |= h->alnum & ahead(h->alnum, n->alnum, 1) & ahead(h->digit, n->digit, 2) & ahead(h->digit, n->digit, 3) &
		~ahead(h->alnum, n->alnum, 4) & ahead(h->alnum, n->alnum, 5);
	found |= (h->digit << 1 | s->last_digit >> 63) & h->dot & ahead(h->digit, n->digit, 1);
	if (dash) {
		dash &= ahead(h->dash, n->dash, 2) & ahead(h->dash, n->dash, 3) & ahead(h->dash, n->dash, 4);
		found |= dash & ~(h->dash << 1 | s->last_dash >> 63);
	}
	if (has_full_byte(h->word) || has_full_byte(n->word))
		found |= long_words(s);
	return found;
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

/* Most separators end no keyword: seen from the three letters before them. */
static bool
ends_keyword(const struct redact_scan *s, size_t at, const uint32_t *ends)
{
	for (unsigned n = 0; n < REDACT_GAP_MAX && at > 0 && redact_is(s->p[at - 1], REDACT_GAP); n++)
		at--;
	return at >= 3 ? redact_assign_ends_in(ends, s->p + at) : at == 2;
}

static bool
may_be(const struct redact_scan *s, size_t at)
{
	const char *p = s->p + at;
	char next = at + 1 < s->len ? p[1] : '\0';

	switch (*p) {
	case ' ':
		return (next == '-' && at + 2 < s->len && p[2] != ' ') || ends_keyword(s, at, redact_assign_spoken);
	case ':':
		if (next == '/' || next == ':')
			return true;
		/* Of an address the first colon: the others are seen from there. */
		if (at > 0 && redact_is(next, REDACT_HEX) && redact_is(p[-1], REDACT_HEX) && (at < 3 || p[-3] != ':'))
			return true;
		return ends_keyword(s, at, redact_assign_keys);
	case '>':
	case '=':
		return ends_keyword(s, at, redact_assign_keys);
	case '%':
		return next == '3' || next == '4';
	default:
		return true;
	}
}

/* Behind a word, most of them: none of its separators. */
static inline bool
is_plain(const struct redact_scan *s, size_t at)
{
	const char *p = s->p + at;

	if (at < 3 || at + 1 >= s->len || !redact_is(p[-1], REDACT_LOWER | REDACT_DIGIT))
		return false;
	if (*p == ' ')
		return p[1] != '-' && !redact_assign_ends_in(redact_assign_spoken, p);
	return (*p == '=' || *p == '>') && !redact_assign_ends_in(redact_assign_keys, p);
}

size_t
redact_scan_next(struct redact_scan *s, size_t from)
{
	for (;; from = s->block + BLOCK) {
		uint64_t found;

		while (from >= s->block + BLOCK && s->block < s->len)
			step(s);
		if (s->block >= s->len)
			return s->len;
		found = s->found & (from > s->block ? ~UINT64_C(0) << (from - s->block) : ~UINT64_C(0));
		for (; found; found &= found - 1) {
			size_t at = s->block + (size_t)__builtin_ctzll(found);

			if (is_plain(s, at) || !may_be(s, at))
				continue;
			s->found = found & (found - 1);
			return at;
		}
		s->found = 0;
	}
}
