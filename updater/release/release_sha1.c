#include "updater/release/release_sha1.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

static void
context_free(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

int
release_sha1_fd(int fd, uint8_t ret[SHA1_LEN])
{
	SCOPED(context_free) EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t chunk[64 * 1024];
	off_t at = 0;
	ssize_t n;

	if (!c || EVP_DigestInit_ex(c, EVP_sha1(), NULL) != 1)
		return FAULT(-ENOMEM);
	while ((n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
		if (EVP_DigestUpdate(c, chunk, (size_t)n) != 1)
			return FAULT(-EIO);
		at += n;
	}
	if (n < 0)
		return FAULT(-errno);
	return EVP_DigestFinal_ex(c, ret, NULL) == 1 ? 0 : FAULT(-EIO);
}

int
release_sha1(const void *p, unsigned long len, uint8_t ret[SHA1_LEN])
{
	return EVP_Digest(p, len, ret, NULL, EVP_sha1(), NULL) == 1 ? 0 : FAULT(-EIO);
}
