/* Numbers of patches: seven bits a byte, lowest first, the highest bit says that another follows; in the shortest form alone. */
#pragma once

#include <stdint.h>

struct buf;
struct cursor;

enum { NUMBER_MAX = 10 }; /* bytes of the longest */

void number_put(struct buf *out, uint64_t v);
/* 63 bits at most; else, or in a longer form than need be, or cut short, the cursor fails and this is 0. */
uint64_t number_get(struct cursor *c);
