#include "appliance/base/nearest.h"

#include <string.h>

enum { WORD_MAX = 64 };

/* How many letters to add, drop or change. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t above = row[j];
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[lb];
}

const char *
nearest_word(const char *word, const char *const names[], size_t n)
{
	size_t len = strlen(word), best = len < 3 ? 1 : len < 6 ? 2 : 3;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, names[i]);

		if (d < best || (d == best && !found)) {
			best = d;
			found = names[i];
		}
	}
	for (size_t i = 0; i < n && !found && len >= 3; i++)
		if (strncmp(word, names[i], len) == 0 ||
			(strlen(names[i]) >= 3 && strncmp(word, names[i], strlen(names[i])) == 0))
			found = names[i];
	return found;
}
