#include "appliance/trust/ed25519.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

#define FILE_PREFIX "ed25519:"
enum { FILE_LEN = sizeof(FILE_PREFIX) - 1 + 2 * ED25519_KEY_LEN + 1 };

struct ed25519 {
	EVP_PKEY *pkey;
	uint8_t seed[ED25519_KEY_LEN]; /* secret */
	uint8_t pub[ED25519_KEY_LEN];
	char hex[ED25519_HEX_MAX];
	char keyid[ED25519_KEYID_MAX];
};

static void
pkey_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void
md_freep(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

int
ed25519_from_seed(struct ed25519 **ret, const uint8_t seed[ED25519_KEY_LEN])
{
	SCOPED(ed25519_freep) struct ed25519 *k = calloc(1, sizeof(*k));
	size_t len = sizeof(k->pub);

	if (!k)
		return FAULT(-ENOMEM);
	memcpy(k->seed, seed, sizeof(k->seed));
	k->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_KEY_LEN);
	if (!k->pkey || EVP_PKEY_get_raw_public_key(k->pkey, k->pub, &len) != 1 ||
		len != sizeof(k->pub))
		return FAULT(-ENOMEM);
	hex_encode(k->hex, k->pub, sizeof(k->pub));
	ed25519_keyid_of(k->keyid, k->pub);
	*ret = STEAL(k);
	return 0;
}

int
ed25519_generate(struct ed25519 **ret)
{
	uint8_t seed[ED25519_KEY_LEN];
	int r;

	fs_random(seed, sizeof(seed));
	r = ed25519_from_seed(ret, seed);
	sha256_wipe(seed, sizeof(seed));
	return r;
}

struct ed25519 *
ed25519_free(struct ed25519 *k)
{
	if (!k)
		return NULL;
	EVP_PKEY_free(k->pkey);
	sha256_wipe(k, sizeof(*k));
	free(k);
	return NULL;
}

int
ed25519_load(struct ed25519 **ret, int dir_fd, const char *name)
{
	SCOPED(buf_wipe) struct buf b = BUF_MAX(FILE_LEN + 1);
	SCOPED(scope_close) int fd = -1;
	uint8_t seed[ED25519_KEY_LEN];
	struct stat st;
	int r;

	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? (int)REASON_NOT_FOUND : FAULT(-errno);
	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (st.st_mode & 077)
		return REFUSE(REASON_MALFORMED, name,
			"key file has mode %04o: others may read it; chmod 600",
			st.st_mode & 07777);
	r = fs_read_fd(fd, FILE_LEN, &b);
	if (r < 0)
		return FAULT(r);
	if (r > 0 || b.len != FILE_LEN || b.data[FILE_LEN - 1] != '\n' ||
		memcmp(b.data, FILE_PREFIX, sizeof(FILE_PREFIX) - 1) != 0)
		return REFUSE(REASON_MALFORMED, name, "no Ed25519 key file");
	b.data[FILE_LEN - 1] = 0;
	if (!hex_decode(seed, sizeof(seed), (const char *)b.data + sizeof(FILE_PREFIX) - 1))
		return REFUSE(REASON_MALFORMED, name, "no Ed25519 key file");
	r = ed25519_from_seed(ret, seed);
	sha256_wipe(seed, sizeof(seed));
	return r;
}

int
ed25519_save(const struct ed25519 *k, int dir_fd, const char *name)
{
	char text[FILE_LEN + 1];
	int r;

	memcpy(text, FILE_PREFIX, sizeof(FILE_PREFIX) - 1);
	hex_encode(text + sizeof(FILE_PREFIX) - 1, k->seed, sizeof(k->seed));
	text[FILE_LEN - 1] = '\n';
	r = fs_replace(dir_fd, name, text, FILE_LEN, 0600);
	sha256_wipe(text, sizeof(text));
	return FAULT(r);
}

int
ed25519_load_or_make(struct ed25519 **ret, int dir_fd, const char *name)
{
	SCOPED(ed25519_freep) struct ed25519 *k = NULL;
	int r;

	r = ed25519_load(ret, dir_fd, name);
	if (r != REASON_NOT_FOUND)
		return r;
	r = ed25519_generate(&k);
	if (r < 0)
		return FAULT(r);
	r = ed25519_save(k, dir_fd, name);
	if (r < 0) {
		/* It may have its name, and be gone after a power cut: nobody is to find it and go by it. */
		(void)unlinkat(dir_fd, name, 0);
		return FAULT(r);
	}
	*ret = STEAL(k);
	return 0;
}

const uint8_t *
ed25519_public(const struct ed25519 *k)
{
	return k->pub;
}

const char *
ed25519_public_hex(const struct ed25519 *k)
{
	return k->hex;
}

const char *
ed25519_keyid(const struct ed25519 *k)
{
	return k->keyid;
}

int
ed25519_sign(const struct ed25519 *k, const void *p, size_t len, uint8_t sig[ED25519_SIG_LEN])
{
	SCOPED(md_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t n = ED25519_SIG_LEN;

	if (!c || EVP_DigestSignInit(c, NULL, NULL, NULL, k->pkey) != 1 ||
		EVP_DigestSign(c, sig, &n, p, len) != 1 || n != ED25519_SIG_LEN)
		return FAULT(-ENOMEM);
	return 0;
}

bool
ed25519_verify(const uint8_t key[ED25519_KEY_LEN], const void *p, size_t len,
	const uint8_t sig[ED25519_SIG_LEN])
{
	SCOPED(pkey_freep) EVP_PKEY *pkey = NULL;
	SCOPED(md_freep) EVP_MD_CTX *c = NULL;

	errno = 0;
	pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_KEY_LEN);
	c = EVP_MD_CTX_new();
	if (!pkey || !c || EVP_DigestVerifyInit(c, NULL, NULL, NULL, pkey) != 1) {
		errno = ENOMEM; /* any 32 bytes are a key to OpenSSL */
		return false;
	}
	return EVP_DigestVerify(c, sig, ED25519_SIG_LEN, p, len) == 1;
}

/* y of the points of small order, little endian; the last bit (the sign of x) masked away.  Order
 * 1, 2, 4 and the two of order 8. */
static const uint8_t small_order[][ED25519_KEY_LEN] = {
	{ 1 },
	{ 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0x7f },
	{ 0 },
	{ 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
		0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d,
		0x53, 0xfc, 0x05 },
	{ 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
		0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92,
		0xac, 0x03, 0x7a },
};

/* y not below p = 2^255 - 19: the same point has another, shorter encoding. */
static bool
beyond_field(const uint8_t y[ED25519_KEY_LEN])
{
	if (y[31] != 0x7f || y[0] < 0xed)
		return false;
	for (int i = 1; i < 31; i++) {
		if (y[i] != 0xff)
			return false;
	}
	return true;
}

const char *
ed25519_weakness(const uint8_t key[ED25519_KEY_LEN])
{
	uint8_t y[ED25519_KEY_LEN];

	memcpy(y, key, sizeof(y));
	y[31] &= 0x7f;
	if (beyond_field(y))
		return "public key is not encoded canonically";
	for (size_t i = 0; i < ARRAY_LEN(small_order); i++) {
		if (!memcmp(y, small_order[i], sizeof(y)))
			return "public key is a point of small order: one signature would fit many messages";
	}
	return NULL;
}

int
ed25519_check_public(const uint8_t key[ED25519_KEY_LEN], const char *operand)
{
	const char *weak = ed25519_weakness(key);

	return weak ? REFUSE(REASON_LOW_ORDER_KEY, operand, "%s", weak) : 0;
}

char *
ed25519_keyid_of(char out[ED25519_KEYID_MAX], const uint8_t key[ED25519_KEY_LEN])
{
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, key, ED25519_KEY_LEN);
	return hex_encode(out, digest, sizeof(digest));
}
