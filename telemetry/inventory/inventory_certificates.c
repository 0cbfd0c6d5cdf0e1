/* What the certificates say of themselves that mainstay.yaml names: until when, above all. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "telemetry/inventory/inventory_room.h"
#include "telemetry/inventory/inventory_text.h"

enum { FILE_MAX = 1024 * 1024, CHAIN_MAX = 8 /* certificates of one file */, NAME_BYTES = 300 };

static void
free_bio(BIO **bio)
{
	BIO_free(*bio);
}

static void
free_certificate(X509 **x)
{
	X509_free(*x);
}

/* The common name as UTF-8, which the redactor sees before it leaves; "" where there is none. */
static int
put_common_name(json_t *to, const char *name, X509_NAME *from)
{
	int at = X509_NAME_get_index_by_NID(from, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	json_t *text = NULL;
	int n = -1;

	errno = 0;
	if (at >= 0)
		n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(from, at)));
	if (n >= 0)
		text = json_stringn((const char *)utf8, (size_t)(n > 256 ? 256 : n)); /* NULL where that is no UTF-8 */
	OPENSSL_free(utf8);
	if (!text && errno == ENOMEM)
		return FAULT(-ENOMEM);
	return json_object_set_new(to, name, text ? text : json_string(""));
}

static int
put_day(json_t *to, const char *name, const ASN1_TIME *from)
{
	struct tm tm;
	time_t t;

	if (ASN1_TIME_to_tm(from, &tm) != 1 || (t = timegm(&tm)) < 0)
		return 0;
	return json_put_time(to, name, (uint64_t)t * CLOCK_US_PER_S);
}

/* "rsaEncryption 2048", "id-ecPublicKey 256", "ED25519 256" are OpenSSL's words; people say the short ones. */
static int
put_key(json_t *to, X509 *x)
{
	EVP_PKEY *key = X509_get0_pubkey(x);
	const char *kind = key ? EVP_PKEY_get0_type_name(key) : NULL;
	char text[64];

	(void)snprintf(text, sizeof(text), "%.40s %d", kind ? kind : "unknown", key ? EVP_PKEY_get_bits(key) : 0);
	return json_put_text(to, "key", text);
}

static int
add(json_t *list, const char *path, unsigned number, X509 *x)
{
	char name[NAME_BYTES];
	json_t *item;
	int r;

	(void)snprintf(name, sizeof(name), number ? "%.256s#%u" : "%.256s", path, number + 1);
	item = json_pack("{s:s}", "name", name);
	if (!item || json_array_append_new(list, item) < 0)
		return -ENOMEM;
	if (!x)
		return json_put_text(item, "problem", "cannot be read as a certificate");
	r = put_common_name(item, "subject", X509_get_subject_name(x));
	r = r ?: put_common_name(item, "issuer", X509_get_issuer_name(x));
	r = r ?: put_day(item, "not_before", X509_get0_notBefore(x));
	r = r ?: put_day(item, "not_after", X509_get0_notAfter(x));
	r = r ?: put_key(item, x);
	return r < 0 ? -ENOMEM : 0;
}

/* Else OpenSSL would ask whoever sits at the terminal. */
static int
no_password(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/* One file: a certificate and those that follow it, as servers want them. */
static int
add_file(json_t *list, const struct inventory_ask *ask, const char *path)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(FILE_MAX);
	SCOPED(free_bio) BIO *bio = NULL;
	unsigned n = 0;
	int r = inventory_read(ask, path, &in);

	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(in.len ? (const void *)in.data : "", (int)in.len);
	if (!bio)
		return -ENOMEM;
	for (r = 0; r == 0 && n < CHAIN_MAX; n++) {
		SCOPED(free_certificate) X509 *x = NULL;

		errno = 0;
		x = PEM_read_bio_X509(bio, NULL, no_password, NULL);
		if (errno == ENOMEM) /* not the file's fault; also a key that is left out of what was read */
			r = -ENOMEM;
		else if (x || n == 0)
			r = add(list, path, n, x);
		if (!x)
			break;
	}
	ERR_clear_error();
	return r;
}

int
inventory_certificates(json_t *to, const struct inventory_ask *ask)
{
	SCOPED_JSON *list = json_array();
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < ask->n_certificates && r == 0; i++)
		r = add_file(list, ask, ask->certificates[i]);
	if (r < 0 || json_object_set(to, "certificates", list) < 0)
		return FAULT(r ?: -ENOMEM);
	return 0;
}
