#include "appliance/serve/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum {
	DAY_S = 24 * 3600,
	CA_DAYS = 3650,
	SERVER_DAYS = 730,
	RENEW_DAYS = 30,
	PEM_MAX = 64 * 1024,
	SERIAL_BYTES = 16,
};

/* A certificate with its key. */
struct pair {
	EVP_PKEY *key;
	X509 *cert;
};

static void
pair_done(struct pair *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->cert);
	*p = (struct pair){ 0 };
}

static void
free_bio(BIO **b)
{
	(void)BIO_free(*b);
}

/* --- files ------------------------------------------------------------------------------------------- */
static int
save_bio(int dir_fd, const char *name, BIO *bio, mode_t mode)
{
	char *p;
	long len = BIO_get_mem_data(bio, &p);

	return len > 0 ? fs_replace(dir_fd, name, p, (size_t)len, mode) : FAULT(-EIO);
}

static int
save_key(int dir_fd, const char *name, EVP_PKEY *key)
{
	SCOPED(free_bio) BIO *bio = BIO_new(BIO_s_secmem());

	if (!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return FAULT(-ENOMEM);
	return save_bio(dir_fd, name, bio, 0600);
}

/* A server's file holds its chain: what a client needs to come from it to the CA. */
static int
save_certs(int dir_fd, const char *name, X509 *first, X509 *second)
{
	SCOPED(free_bio) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509(bio, first) != 1 || (second && PEM_write_bio_X509(bio, second) != 1))
		return FAULT(-ENOMEM);
	return save_bio(dir_fd, name, bio, 0644);
}

/* Was that the cause of what the library just failed in? */
static bool
lacked_memory(void)
{
	unsigned long error;
	bool lacked = false;

	while ((error = ERR_get_error()))
		lacked = lacked || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
	return lacked;
}

/* REASON_NOT_FOUND where either file is missing, REASON_MALFORMED (not logged) where they are no certificate with its key. */
static int
load(struct pair *ret, int dir_fd, const char *cert_name, const char *key_name)
{
	SCOPED(buf_done) struct buf cert = BUF_MAX(PEM_MAX);
	SCOPED(buf_wipe) struct buf key = BUF_MAX(PEM_MAX);
	SCOPED(free_bio) BIO *cert_bio = NULL;
	SCOPED(free_bio) BIO *key_bio = NULL;
	int r;

	r = fs_read(dir_fd, cert_name, PEM_MAX, &cert);
	r = r ? r : fs_read(dir_fd, key_name, PEM_MAX, &key);
	if (r != 0)
		return r < 0 ? FAULT(r) : REASON_NOT_FOUND;
	cert_bio = BIO_new_mem_buf(cert.data, (int)cert.len);
	key_bio = BIO_new_mem_buf(key.data, (int)key.len);
	if (!cert_bio || !key_bio)
		return FAULT(-ENOMEM);
	ERR_clear_error();
	ret->cert = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
	ret->key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
	if (ret->cert && ret->key && X509_check_private_key(ret->cert, ret->key) == 1)
		return 0;
	pair_done(ret);
	return lacked_memory() ? FAULT(-ENOMEM) : REASON_MALFORMED;
}

/* --- making ------------------------------------------------------------------------------------------ */
static int
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	int ok;

	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (!extension)
		return FAULT(-EINVAL);
	ok = X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	return ok == 1 ? 0 : FAULT(-ENOMEM);
}

static int
set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *number;
	int ok;

	fs_random(bytes, sizeof(bytes));
	bytes[0] &= 0x7f; /* positive */
	bytes[0] |= 0x40; /* and of full length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok ? 0 : FAULT(-ENOMEM);
}

/* A new key and a certificate for it, not yet signed; issuer NULL: its own. */
static int
make(struct pair *ret, const char *organization, const char *common, int days, X509 *issuer)
{
	X509_NAME *subject;

	ret->key = EVP_EC_gen("P-256");
	ret->cert = X509_new();
	if (!ret->key || !ret->cert)
		return FAULT(-ENOMEM);
	subject = X509_get_subject_name(ret->cert);
	if (X509_set_version(ret->cert, X509_VERSION_3) != 1 || set_serial(ret->cert) != 0 ||
		!X509_gmtime_adj(X509_getm_notBefore(ret->cert), -DAY_S) ||
		!X509_time_adj_ex(X509_getm_notAfter(ret->cert), days, 0, NULL) ||
		X509_NAME_add_entry_by_txt(
			subject, "O", MBSTRING_UTF8, (const uint8_t *)organization, -1, -1, 0) != 1 ||
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)common, -1, -1, 0) != 1 ||
		X509_set_issuer_name(ret->cert, issuer ? X509_get_subject_name(issuer) : subject) != 1 ||
		X509_set_pubkey(ret->cert, ret->key) != 1)
		return FAULT(-EINVAL);
	return 0;
}

static int
make_ca(struct pair *ret, const char *name)
{
	int r;

	r = make(ret, name, "development CA", CA_DAYS, NULL);
	r = r ? r : add_extension(ret->cert, ret->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	r = r ? r : add_extension(ret->cert, ret->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	r = r ? r : add_extension(ret->cert, ret->cert, NID_subject_key_identifier, "hash");
	if (r == 0 && X509_sign(ret->cert, ret->key, EVP_sha256()) <= 0)
		r = -EIO;
	return r < 0 ? FAULT(r) : r;
}

static int
make_server(struct pair *ret, const char *name, const char *host, const struct pair *ca)
{
	uint8_t address[16];
	char names[300];
	bool literal = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
	int r;

	(void)snprintf(names, sizeof(names), "%s:%s", literal ? "IP" : "DNS", host);
	r = make(ret, name, "hub", SERVER_DAYS, ca->cert);
	r = r ? r : add_extension(ret->cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
	r = r ? r : add_extension(ret->cert, ca->cert, NID_key_usage, "critical,digitalSignature");
	r = r ? r : add_extension(ret->cert, ca->cert, NID_ext_key_usage, "serverAuth");
	r = r ? r : add_extension(ret->cert, ca->cert, NID_subject_key_identifier, "hash");
	r = r ? r : add_extension(ret->cert, ca->cert, NID_authority_key_identifier, "keyid");
	r = r ? r : add_extension(ret->cert, ca->cert, NID_subject_alt_name, names);
	if (r == 0 && X509_sign(ret->cert, ca->key, EVP_sha256()) <= 0)
		r = -EIO;
	return r < 0 ? FAULT(r) : r;
}

/* Good for this host, of this CA, and for some time yet. */
static bool
still_good(const struct pair *server, const struct pair *ca, const char *host)
{
	int days = 0, seconds = 0;

	ERR_clear_error();
	return X509_verify(server->cert, ca->key) == 1 &&
		(X509_check_ip_asc(server->cert, host, 0) == 1 || X509_check_host(server->cert, host, 0, 0, NULL) == 1) &&
		ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(server->cert)) == 1 && days >= RENEW_DAYS;
}

int
tls_ensure(int dir_fd, const char *name, const char *host)
{
	SCOPED(pair_done) struct pair ca = { 0 };
	SCOPED(pair_done) struct pair server = { 0 };
	int r;

	/* host goes into a configuration language of OpenSSL's, so only a host's letters may. */
	if (strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-") != strlen(host))
		return FAULT(-EINVAL);
	r = load(&ca, dir_fd, "ca.pem", "ca.key");
	if (r == REASON_NOT_FOUND) {
		r = make_ca(&ca, name);
		r = r ? r : save_key(dir_fd, "ca.key", ca.key);
		r = r ? r : save_certs(dir_fd, "ca.pem", ca.cert, NULL);
	}
	if (r == REASON_MALFORMED) /* sites were told of it: one in its place would be trusted by none of them */
		return REFUSE(REASON_MALFORMED, "ca.pem", "and ca.key are no certificate with its key: put back what they were");
	if (r != 0)
		return FAULT(r);
	r = load(&server, dir_fd, "server.pem", "server.key");
	if (r == 0 && still_good(&server, &ca, host))
		return 0;
	if (r == 0 && lacked_memory())
		r = -ENOMEM;
	if (r < 0)
		return FAULT(r);
	pair_done(&server);
	r = make_server(&server, name, host, &ca);
	r = r ? r : save_key(dir_fd, "server.key", server.key);
	r = r ? r : save_certs(dir_fd, "server.pem", server.cert, ca.cert);
	return r < 0 ? FAULT(r) : r;
}
