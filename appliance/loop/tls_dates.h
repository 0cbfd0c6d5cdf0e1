/* The dates of certificates on a host whose clock is wrong.
 *
 * A chain is judged by the clock of base/clock.h.  Where nothing but a date fails by it, the certificate's end is held
 * against the floor instead: a time that is certainly past, for it stands in what the vendor's threshold of keys or the
 * customer's owners signed.  Nothing that had ended by then is taken; that a certificate begins later than the floor
 * says nothing against it.  Names, signatures and the CA are always checked. */
#pragma once

#include <stdint.h>

/* ssl_ctx: an SSL_CTX of OpenSSL's, before its first handshake.  floor_us 0: there is no floor, dates are judged by the
 * clock alone.  Returns 0 or a fault. */
int tls_dates_set(void *ssl_ctx, uint64_t floor_us);
