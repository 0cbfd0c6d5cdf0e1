/* Blobs, armour, key lines and signatures of SSH; nothing of them may verify, since nobody signed
 * them. */
#include "appliance/trust/sshsig.h"

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

enum { LINE_LEN_MAX = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
blob(const void *p, size_t len)
{
	struct sshsig sig;

	if (sshsig_parse(&sig, p, len, "fuzz"))
		return;
	(void)sshsig_verify(p, len, &sig.key, sig.name_space, "message", 7, "fuzz");
}

static void
line(const uint8_t *p, size_t len)
{
	char text[LINE_LEN_MAX], again[SSHKEY_LINE_MAX];
	struct sshkey_public key, other;

	if (len >= sizeof(text))
		return;
	memcpy(text, p, len);
	text[len] = 0;
	if (sshkey_parse(&key, text, "fuzz"))
		return;
	if (sshkey_parse(&other, sshkey_line(again, &key), "fuzz") || !sshkey_same(&key, &other))
		__builtin_trap();
}

/* What came out of one armour comes out of ours. */
static void
armour(const struct buf *bytes)
{
	SCOPED(buf_done)
	struct buf text = BUF_MAX(4 * SSHSIG_BLOB_MAX),
		   again = BUF_MAX(SSHSIG_BLOB_MAX);

	sshsig_armour(&text, bytes->data, bytes->len);
	if (sshsig_dearmour(&again, text.data, text.len, "again") || again.len != bytes->len ||
		(again.len && memcmp(again.data, bytes->data, again.len)))
		__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SSHSIG_BLOB_MAX);

	log_quiet_refusals(true);
	blob(data, size);
	line(data, size);
	if (!sshsig_dearmour(&b, data, size, "fuzz")) {
		blob(b.data, b.len);
		armour(&b);
	}
	return 0;
}
