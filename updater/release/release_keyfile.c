#include "updater/release/release_keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"

#define FIRST "mainstay-key ed25519 "
#define NO_PASSPHRASE " no-passphrase"
#define FORMER "ed25519:"

enum { FILE_BYTES_MAX = 4096, SALT_LEN = 16, SCRYPT_R = 8, LOG_N_MAX = 14 };

#define SCOPED_SSL(type, fn)                                                                       \
	static void fn##_p(type **p)                                                               \
	{                                                                                          \
		fn(*p);                                                                            \
	}
SCOPED_SSL(BIO, BIO_free_all)
SCOPED_SSL(X509_SIG, X509_SIG_free)
SCOPED_SSL(X509_ALGOR, X509_ALGOR_free)
SCOPED_SSL(EVP_PKEY, EVP_PKEY_free)
SCOPED_SSL(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)
SCOPED_SSL(PBE2PARAM, PBE2PARAM_free)
SCOPED_SSL(SCRYPT_PARAMS, SCRYPT_PARAMS_free)

void
release_keyfile_done(struct release_keyfile *f)
{
	buf_wipe(&f->pem);
	*f = (struct release_keyfile){ .plain = false };
}

/* --- what is in it ------------------------------------------------------------------------------- */
static X509_SIG *
read_encrypted(const struct buf *pem)
{
	SCOPED(BIO_free_all_p) BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	X509_SIG *sig = bio ? PEM_read_bio_PKCS8(bio, NULL, NULL, NULL) : NULL;

	ERR_clear_error();
	return sig;
}

/* log2 of N * p of a key that was encrypted as we do it; 0 for any other way. */
static unsigned
cost_of(const X509_SIG *sig)
{
	SCOPED(PBE2PARAM_free_p) PBE2PARAM *pbe = NULL;
	SCOPED(SCRYPT_PARAMS_free_p) SCRYPT_PARAMS *scrypt = NULL;
	const X509_ALGOR *algor;
	uint64_t n = 0, r = 0, p = 0;
	unsigned cost = 0;

	X509_SIG_get0(sig, &algor, NULL);
	if (OBJ_obj2nid(algor->algorithm) != NID_pbes2)
		return 0;
	pbe = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), algor->parameter);
	if (!pbe || OBJ_obj2nid(pbe->keyfunc->algorithm) != NID_id_scrypt ||
		OBJ_obj2nid(pbe->encryption->algorithm) != NID_aes_256_cbc)
		return 0;
	scrypt = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), pbe->keyfunc->parameter);
	if (!scrypt || !ASN1_INTEGER_get_uint64(&n, scrypt->costParameter) ||
		!ASN1_INTEGER_get_uint64(&r, scrypt->blockSize) ||
		!ASN1_INTEGER_get_uint64(&p, scrypt->parallelizationParameter) || r != SCRYPT_R || n > 1 << LOG_N_MAX ||
		p > 1 << (RELEASE_KEYFILE_COST_MAX - LOG_N_MAX))
		return 0;
	while (n * p >> (cost + 1))
		cost++;
	return n && p && n * p == UINT64_C(1) << cost ? cost : 0;
}

/* The first line; what follows it is *ret_rest. */
static bool
parse_first(struct release_keyfile *f, const char *text, const char **ret_rest)
{
	const char *end = strchr(text, '\n'), *hex = text + sizeof(FIRST) - 1;
	size_t len = end ? (size_t)(end - text) : 0;
	char digits[ED25519_HEX_MAX];

	if (strncmp(text, FIRST, sizeof(FIRST) - 1) != 0 || len < sizeof(FIRST) - 1 + 64)
		return false;
	(void)snprintf(digits, sizeof(digits), "%s", hex);
	f->plain = len == sizeof(FIRST) - 1 + 64 + sizeof(NO_PASSPHRASE) - 1 &&
		!strncmp(hex + 64, NO_PASSPHRASE, sizeof(NO_PASSPHRASE) - 1);
	*ret_rest = end + 1;
	return hex_decode(f->public, sizeof(f->public), digits) && (f->plain || len == sizeof(FIRST) - 1 + 64);
}

static int
parse_former(struct release_keyfile *f, const char *text, const char *name)
{
	uint8_t seed[ED25519_KEY_LEN];
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	char digits[ED25519_HEX_MAX];
	int r;

	(void)snprintf(digits, sizeof(digits), "%s", text + sizeof(FORMER) - 1);
	if (strlen(text) != sizeof(FORMER) - 1 + 65 || !hex_decode(seed, sizeof(seed), digits))
		r = REFUSE(REASON_MALFORMED, name, "no Ed25519 key file");
	else
		r = ed25519_from_seed(&key, seed);
	sha256_wipe(seed, sizeof(seed));
	sha256_wipe(digits, sizeof(digits));
	if (r)
		return r;
	memcpy(f->public, ed25519_public(key), sizeof(f->public));
	f->former = true;
	buf_puts(&f->pem, text);
	return FAULT(buf_error(&f->pem));
}

static int
parse(struct release_keyfile *f, const char *text, const char *name)
{
	SCOPED(X509_SIG_free_p) X509_SIG *sig = NULL;
	const char *pem;

	f->pem = BUF_MAX(FILE_BYTES_MAX);
	if (!strncmp(text, FORMER, sizeof(FORMER) - 1))
		return parse_former(f, text, name);
	if (!parse_first(f, text, &pem))
		return REFUSE(REASON_MALFORMED, name, "no key file of mainstay-release");
	buf_puts(&f->pem, pem);
	if (buf_error(&f->pem))
		return FAULT(buf_error(&f->pem));
	if (f->plain)
		return 0;
	errno = 0; /* where there is no memory malloc() sets it; a file of another form leaves it */
	sig = read_encrypted(&f->pem);
	f->cost = sig ? cost_of(sig) : 0;
	if (f->cost < RELEASE_KEYFILE_COST_MIN)
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, name,
			"is not encrypted as ours are: PKCS#8 with scrypt (2^%d to 2^%d) and AES-256-CBC", RELEASE_KEYFILE_COST_MIN,
			RELEASE_KEYFILE_COST_MAX);
	return 0;
}

int
release_keyfile_read(struct release_keyfile *ret, int dir_fd, const char *name)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(FILE_BYTES_MAX + 1);
	SCOPED(release_keyfile_done) struct release_keyfile f = { .plain = false };
	SCOPED(scope_close) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT ? (int)REASON_NOT_FOUND : FAULT(-errno);
	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (st.st_mode & 077)
		return REFUSE(REASON_MALFORMED, name, "key file has mode %04o: others may read it; chmod 600",
			st.st_mode & 07777);
	r = fs_read_fd(fd, FILE_BYTES_MAX, &b);
	if (r < 0)
		return FAULT(r);
	if (r > 0 || memchr(buf_text(&b), 0, b.len))
		return REFUSE(REASON_MALFORMED, name, "no key file");
	r = parse(&f, buf_text(&b), name);
	if (r)
		return r;
	*ret = f;
	f.pem = (struct buf){ 0 };
	return 0;
}

/* --- opening ------------------------------------------------------------------------------------- */
static PKCS8_PRIV_KEY_INFO *
decrypt(const struct release_keyfile *f, const char *pass, size_t len)
{
	SCOPED(X509_SIG_free_p) X509_SIG *sig = NULL;
	SCOPED(BIO_free_all_p) BIO *bio = NULL;
	PKCS8_PRIV_KEY_INFO *info;

	if (f->plain) {
		bio = BIO_new_mem_buf(f->pem.data, (int)f->pem.len);
		info = bio ? PEM_read_bio_PKCS8_PRIV_KEY_INFO(bio, NULL, NULL, NULL) : NULL;
	} else {
		sig = read_encrypted(&f->pem);
		info = sig ? PKCS8_decrypt(sig, pass, (int)len) : NULL;
	}
	ERR_clear_error();
	return info;
}

static int
check_public(const struct release_keyfile *f, const char *name, const uint8_t seed[32])
{
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	int r = ed25519_from_seed(&key, seed);

	if (r)
		return FAULT(r);
	if (memcmp(ed25519_public(key), f->public, sizeof(f->public)) != 0)
		return REFUSE(REASON_ALTERED, name, "its first line is of another key than the one inside");
	return 0;
}

int
release_keyfile_open(const struct release_keyfile *f, const char *name, const char *pass, size_t len,
	uint8_t seed[32])
{
	SCOPED(PKCS8_PRIV_KEY_INFO_free_p) PKCS8_PRIV_KEY_INFO *info = NULL;
	SCOPED(EVP_PKEY_free_p) EVP_PKEY *pkey = NULL;
	size_t n = ED25519_KEY_LEN;
	bool good;

	if (f->former) {
		char digits[ED25519_HEX_MAX];

		(void)snprintf(digits, sizeof(digits), "%s", buf_text(&f->pem) + sizeof(FORMER) - 1);
		(void)hex_decode(seed, ED25519_KEY_LEN, digits); /* as it was when it was read */
		sha256_wipe(digits, sizeof(digits));
		return 0;
	}
	errno = 0; /* as above */
	info = decrypt(f, pass, len);
	pkey = info ? EVP_PKCS82PKEY(info) : NULL;
	good = pkey && EVP_PKEY_is_a(pkey, "ED25519") && EVP_PKEY_get_raw_private_key(pkey, seed, &n) == 1 &&
		n == ED25519_KEY_LEN;
	ERR_clear_error();
	if (!good && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!info)
		return f->plain ? REFUSE(REASON_MALFORMED, name, "holds no private key") : (int)REASON_DENIED;
	if (!good)
		return REFUSE(REASON_MALFORMED, name, "holds no Ed25519 key");
	return check_public(f, name, seed);
}

/* --- writing ------------------------------------------------------------------------------------- */
static X509_SIG *
encrypt(PKCS8_PRIV_KEY_INFO *info, const char *pass, size_t len, unsigned cost)
{
	unsigned log_n = cost < LOG_N_MAX ? cost : LOG_N_MAX;
	unsigned char salt[SALT_LEN];
	SCOPED(X509_ALGOR_free_p) X509_ALGOR *pbe = NULL;
	X509_SIG *sig;

	fs_random(salt, sizeof(salt));
	pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), salt, sizeof(salt), NULL, UINT64_C(1) << log_n, SCRYPT_R,
		UINT64_C(1) << (cost - log_n));
	sig = pbe ? PKCS8_set0_pbe(pass, (int)len, info, pbe) : NULL;
	if (sig)
		pbe = NULL; /* sig's now */
	return sig;
}

/* The PEM of this key, appended. */
static int
put_pem(struct buf *out, const uint8_t seed[32], const char *pass, size_t len, unsigned cost)
{
	SCOPED(EVP_PKEY_free_p) EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	SCOPED(PKCS8_PRIV_KEY_INFO_free_p) PKCS8_PRIV_KEY_INFO *info = pkey ? EVP_PKEY2PKCS8(pkey) : NULL;
	SCOPED(BIO_free_all_p) BIO *bio = BIO_new(BIO_s_secmem());
	SCOPED(X509_SIG_free_p) X509_SIG *sig = info && pass ? encrypt(info, pass, len, cost) : NULL;
	bool good = bio && info && (!pass || sig);
	char *text;
	long n;

	good = good && (pass ? PEM_write_bio_PKCS8(bio, sig) : PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, info)) == 1;
	ERR_clear_error();
	if (!good)
		return FAULT(-ENOMEM);
	n = BIO_get_mem_data(bio, &text);
	buf_put(out, text, (size_t)n);
	return FAULT(buf_error(out));
}

int
release_keyfile_write(int dir_fd, const char *name, const uint8_t seed[32], const char *pass, size_t len,
	unsigned cost)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	int r = ed25519_from_seed(&key, seed);

	if (r)
		return FAULT(r);
	buf_printf(&b, FIRST "%s%s\n", ed25519_public_hex(key), pass ? "" : NO_PASSPHRASE);
	r = put_pem(&b, seed, pass, len, cost);
	if (r)
		return r;
	r = dir_fd == AT_FDCWD ? fs_replace_path(name, b.data, b.len, 0600)
			       : fs_replace(dir_fd, name, b.data, b.len, 0600);
	return FAULT(r);
}

/* --- public keys --------------------------------------------------------------------------------- */
int
release_keyfile_public(uint8_t raw[32], const char *text)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	char digits[ED25519_HEX_MAX];
	const char *at;
	int r;

	if (strlen(text) == 64 && hex_decode(raw, ED25519_KEY_LEN, text))
		return ed25519_check_public(raw, text);
	r = fs_read(AT_FDCWD, text, FILE_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, text, "is neither 64 hex digits nor a file of a key");
	if (r < 0)
		return FAULT(r);
	at = buf_text(&b);
	at += !strncmp(at, FIRST, sizeof(FIRST) - 1) ? sizeof(FIRST) - 1 : !strncmp(at, "ed25519 ", 8) ? 8 : 0;
	(void)snprintf(digits, sizeof(digits), "%s", at);
	if (r || at == buf_text(&b) || !hex_decode(raw, ED25519_KEY_LEN, digits))
		return REFUSE(REASON_MALFORMED, text, "its first line holds no public key: \"ed25519 HEX64\"");
	return ed25519_check_public(raw, text);
}
