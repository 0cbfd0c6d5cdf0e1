/* What the scan sees of 64 bytes at once: a bit a byte for each class, and where three letters stand in which a keyword may
 * end.  By registers of 32 bytes where the processor has them, else of 16, else byte by byte. */
#include <string.h>

#include "appliance/egress/redact_room.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* --- three letters that may end a keyword ------------------------------------------------------------------ */
/* By each letter's halves a set of endings that it may belong to, one of eight: what is in one set by all three of its
 * letters may be an ending.  More is than are; redact_assign_ends_in() knows. */
enum { LETTERS = 3, HALVES = 16 };

static struct letter {
	uint8_t low[HALVES], high[HALVES];
} letters[LETTERS];

static void
learn_letter(struct letter *l, char c, uint8_t set)
{
	uint8_t b = (uint8_t)c;

	l->low[b & 15] |= set;
	l->high[b >> 4] |= set;
	if (redact_is(c, REDACT_LOWER | REDACT_UPPER))
		l->high[(b ^ 0x20) >> 4] |= set;
}

void
redact_block_learn(const char *word)
{
	static const char marks[] = { '-', '_', '.' }; /* may stand inside */
	const size_t n = strlen(word);
	const unsigned last = word[n - 1] & 31;
	const uint8_t set = (uint8_t)(1U << ((last ^ last >> 3) & 7));

	learn_letter(&letters[2], word[n - 1], set);
	learn_letter(&letters[1], word[n - 2], set);
	for (size_t i = 0; i < sizeof(marks); i++) {
		learn_letter(&letters[0], marks[i], set);
		if (((word[n - 2] ^ marks[i]) & 31) == 0) /* redact_assign_ends_in() takes them for each other */
			learn_letter(&letters[1], marks[i], set);
	}
	if (n > 2)
		learn_letter(&letters[0], word[n - 3], set);
	for (unsigned i = 0; n == 2 && i < HALVES; i++) { /* behind anything */
		letters[0].low[i] |= set;
		letters[0].high[i] |= set;
	}
}

/* --- classes ----------------------------------------------------------------------------------------------- */
#ifdef __x86_64__
typedef uint8_t narrow_t __attribute__((vector_size(16)));
typedef uint8_t wide_t __attribute__((vector_size(32)));

#define WIDE __attribute__((target("avx2")))

/* One body for both widths: the compiler knows how to compare vectors, the rest is given.  Many blocks in one go, for that
 * what they are compared with is made once. */
#define CLASSIFY(vector_t, load, mask, endings) \
	for (const char *end = p + n * REDACT_BLOCK; p < end; p += REDACT_BLOCK, out++) { \
		struct redact_bits b = { 0 }; \
\
		_Pragma("GCC unroll 4") \
		for (unsigned i = 0; i < REDACT_BLOCK; i += sizeof(vector_t)) { \
			const vector_t v = (vector_t)load((const void *)(p + i)); \
			const vector_t digit = (vector_t)((vector_t)(v - '0') <= 9); \
			const vector_t alnum = digit | (vector_t)((vector_t)((v | 0x20) - 'a') <= 25); \
			const vector_t dash = (vector_t)(v == '-'); \
			const vector_t rare = (vector_t)(v == '@') | (vector_t)((vector_t)(v - '$') <= 1); /* $ % */ \
\
			b.alnum |= mask(alnum) << i; \
			b.digit |= mask(digit) << i; \
			b.dash |= mask(dash) << i; \
			b.word |= mask(alnum | dash | (vector_t)(v == '_')) << i; \
			b.dot |= mask((vector_t)(v == '.')) << i; \
			b.space |= mask((vector_t)(v == ' ')) << i; \
			b.colon |= mask((vector_t)(v == ':')) << i; \
			b.slash |= mask((vector_t)(v == '/')) << i; \
			b.rare |= mask(rare) << i; \
			b.ending |= endings(p + i) << i; \
		} \
		*out = b; \
	}

#define LOAD_16(at) _mm_loadu_si128(at)
#define MASK_16(v)  ((uint64_t)(uint16_t)_mm_movemask_epi8((__m128i)(v)))
#define ANY_16(at)  ((void)(at), UINT64_C(0xffff)) /* no way to look them up: each word's end is looked at */

static void
classify_16(struct redact_bits *out, const char *p, size_t n)
{
	CLASSIFY(narrow_t, LOAD_16, MASK_16, ANY_16)
}

#define LOAD_32(at) _mm256_loadu_si256(at)
#define MASK_32(v)  ((uint64_t)(uint32_t)_mm256_movemask_epi8((__m256i)(v)))

WIDE static inline __m256i
sets_32(const struct letter *l, const char *p)
{
	const __m256i half = _mm256_set1_epi8(0x0f), v = LOAD_32((const void *)p);
	const __m256i low = _mm256_broadcastsi128_si256(LOAD_16((const void *)l->low));
	const __m256i high = _mm256_broadcastsi128_si256(LOAD_16((const void *)l->high));

	return _mm256_and_si256(_mm256_shuffle_epi8(low, _mm256_and_si256(v, half)),
		_mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(v, 4), half)));
}

WIDE static inline uint64_t
endings_32(const char *p)
{
	__m256i sets = _mm256_and_si256(sets_32(&letters[0], p),
		_mm256_and_si256(sets_32(&letters[1], p + 1), sets_32(&letters[2], p + 2)));

	return (uint32_t)~_mm256_movemask_epi8(_mm256_cmpeq_epi8(sets, _mm256_setzero_si256()));
}

WIDE static void
classify_32(struct redact_bits *out, const char *p, size_t n)
{
	CLASSIFY(wide_t, LOAD_32, MASK_32, endings_32)
}
#else
static void
classify_16(struct redact_bits *out, const char *p, size_t n)
{
	for (; n > 0; n--, out++, p += REDACT_BLOCK) {
		*out = (struct redact_bits){ .ending = UINT64_MAX };
		for (unsigned i = 0; i < REDACT_BLOCK; i++) {
			uint64_t bit = UINT64_C(1) << i;

			out->alnum |= redact_is(p[i], REDACT_ALNUM) ? bit : 0;
			out->digit |= redact_is(p[i], REDACT_DIGIT) ? bit : 0;
			out->word |= redact_is(p[i], REDACT_WORD) ? bit : 0;
			out->dash |= p[i] == '-' ? bit : 0;
			out->dot |= p[i] == '.' ? bit : 0;
			out->space |= p[i] == ' ' ? bit : 0;
			out->colon |= p[i] == ':' ? bit : 0;
			out->slash |= p[i] == '/' ? bit : 0;
			out->rare |= p[i] == '@' || p[i] == '$' || p[i] == '%' ? bit : 0;
		}
	}
}
#endif

static void (*classify)(struct redact_bits *out, const char *p, size_t n) = classify_16;

void
redact_block_prepare(bool wide)
{
	classify = classify_16;
#ifdef __x86_64__
	if (wide && __builtin_cpu_supports("avx2"))
		classify = classify_32;
#else
	(void)wide;
#endif
}

void
redact_block(struct redact_bits *out, size_t n, const char *p, size_t len)
{
	const size_t more = LETTERS - 1; /* of the last ending, in the next block */
	const size_t whole = len > more ? (len - more) / REDACT_BLOCK : 0, direct = whole < n ? whole : n;
	char last[REDACT_BLOCK + LETTERS - 1];

	classify(out, p, direct);
	for (size_t i = direct; i < n; i++) {
		size_t from = i * REDACT_BLOCK, rest = from < len ? len - from : 0;

		memset(last, 0, sizeof(last));
		memcpy(last, p + (rest ? from : 0), rest < sizeof(last) ? rest : sizeof(last));
		classify(&out[i], last, 1);
	}
}
