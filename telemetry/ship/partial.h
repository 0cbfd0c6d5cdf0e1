/* What an OTLP receiver's 200 says that it did not take: Export*ServiceResponse.partial_success.rejected_*. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 0 where nothing was rejected, or the body is no such response (it was a 200 all the same). */
uint64_t partial_rejected(const void *body, size_t len);
