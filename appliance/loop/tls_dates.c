#include "appliance/loop/tls_dates.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"

/* Where the floor stands in an SSL_CTX: as whole seconds in the pointer itself, so that nothing has to live as long as
 * a connection that is kept. */
static int
floor_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return index;
}

static int
on_verify(int good, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	int why = X509_STORE_CTX_get_error(store);
	time_t floor_s;
	int later;

	if (good)
		return 1;
	if (!ssl || !cert || (why != X509_V_ERR_CERT_HAS_EXPIRED && why != X509_V_ERR_CERT_NOT_YET_VALID))
		return 0;
	floor_s = (time_t)(uintptr_t)SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), floor_index());
	/* 1: later than the floor; 0 where the date cannot be read, or nobody could look. */
	errno = 0;
	later = X509_cmp_time(X509_get0_notAfter(cert), &floor_s);
	if (later == 0 && errno == ENOMEM)
		log_fault(FAULT(-ENOMEM), "reading a certificate's date");
	if (later != 1)
		return 0;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

int
tls_dates_set(void *ssl_ctx, uint64_t floor_us)
{
	uintptr_t floor_s = (uintptr_t)(floor_us / CLOCK_US_PER_S);
	SSL_CTX *ctx = ssl_ctx;

	X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(ctx), (time_t)(clock_now_us() / CLOCK_US_PER_S));
	if (floor_s == 0)
		return 0;
	if (floor_index() < 0 || SSL_CTX_set_ex_data(ctx, floor_index(), (void *)floor_s) != 1)
		return FAULT(-ENOMEM);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	return 0;
}
