/* How a spec writes what it has a number for: for spec*.c alone. */
#pragma once

#include <stdbool.h>

enum spec_words { SPEC_WORDS_HEAL, SPEC_WORDS_HEALTH, SPEC_WORDS_NETWORK, SPEC_WORDS_MAX };

/* The word of value, which is one of enum spec_heal, spec_health or spec_network. */
const char *spec_words_text(enum spec_words words, unsigned value);
/* The value of a word; -1 where none is called so. */
int spec_words_value(enum spec_words words, const char *text);

/* Signals a service can be told something by: "" for 0, or for another one. */
const char *spec_words_signal_text(int number);
/* The signal that may stop a service, or else make it reload; 0 where none is called so. */
int spec_words_signal(const char *name, bool stops);
