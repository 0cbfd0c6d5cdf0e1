/* Lines as OTLP takes them: UTF-8, without NUL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Can these bytes stand as they are? */
bool log_text_is_clean(const void *p, size_t len);

/* Append them; each byte that is no part of UTF-8, and NUL, becomes \xHH.  Returns how many were. */
size_t log_text_clean(struct buf *out, const void *p, size_t len);
