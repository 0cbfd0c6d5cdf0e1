#include "appliance/trust/sshsig.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/armour.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshagent.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/vectors.h"

#define NS "request@mainstay"
#define MSG "{\"what\":\"restart\"}"

static void
keygen(const struct scratch *s, const char *type, const char *name, const char *phrase)
{
	const char *argv[] = { "ssh-keygen", "-q", "-t", type, "-N", phrase, "-C", "a comment",
		"-f", name, NULL };

	assert_int_equal(scratch_run(s, argv, NULL, 0, NULL), 0);
}

static void
path_of(char out[128], const struct scratch *s, const char *name)
{
	snprintf(out, 128, "%s/%s", s->path, name);
}

static void
read_public(struct sshkey_public *key, const struct scratch *s, const char *name)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);

	scratch_read(s, name, &b);
	b.data[b.len - 1] = 0; /* its LF */
	assert_int_equal(sshkey_parse(key, (const char *)b.data, name), 0);
}

static void
put_string(struct buf *out, const void *p, size_t len)
{
	buf_u32(out, (uint32_t)len);
	buf_put(out, p, len);
}

/* ssh-keygen signs, we verify. */
static void
we_take_what_ssh_keygen_makes(void **state)
{
	static const char *const types[] = { "ed25519", "ecdsa" };
	struct scratch s;

	(void)state;
	scratch_make(&s);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		SCOPED(buf_done)
		struct buf text = BUF_MAX(SSHSIG_ARMOUR_MAX), blob = BUF_MAX(SSHSIG_BLOB_MAX);
		char pub[32];
		const char *argv[] = { "ssh-keygen", "-Y", "sign", "-q", "-f", types[i], "-n", NS,
			NULL };
		struct sshkey_public key, other;
		uint64_t bad = refuse_count(REASON_BAD_SIGNATURE);

		keygen(&s, types[i], types[i], "");
		snprintf(pub, sizeof(pub), "%s.pub", types[i]);
		read_public(&key, &s, pub);
		assert_int_equal(scratch_run(&s, argv, MSG, strlen(MSG), &text), 0);
		assert_int_equal(sshsig_dearmour(&blob, text.data, text.len, "sig"), 0);
		assert_int_equal(sshsig_verify(blob.data, blob.len, &key, NS, MSG, strlen(MSG),
					 "m"),
			0);

		assert_int_equal(sshsig_verify(blob.data, blob.len, &key, "permit@mainstay", MSG,
					 strlen(MSG), "m"),
			REASON_BAD_SIGNATURE);
		assert_int_equal(sshsig_verify(blob.data, blob.len, &key, NS, MSG, strlen(MSG) - 1,
					 "m"),
			REASON_BAD_SIGNATURE);
		assert_int_equal(refuse_count(REASON_BAD_SIGNATURE) - bad, 2);
		keygen(&s, "ed25519", i ? "other2" : "other1", "");
		read_public(&other, &s, i ? "other2.pub" : "other1.pub");
		assert_int_equal(sshsig_verify(blob.data, blob.len, &other, NS, MSG, strlen(MSG),
					 "m"),
			REASON_UNKNOWN_KEY);
		/* no byte of it may differ, be missing or be added */
		for (size_t at = 0; at < blob.len; at++) {
			blob.data[at] ^= 0x40;
			assert_int_not_equal(sshsig_verify(blob.data, blob.len, &key, NS, MSG,
						     strlen(MSG), "m"),
				0);
			blob.data[at] ^= 0x40;
			assert_int_not_equal(sshsig_verify(blob.data, at, &key, NS, MSG,
						     strlen(MSG), "m"),
				0);
		}
		buf_u8(&blob, 0);
		assert_int_equal(sshsig_verify(blob.data, blob.len, &key, NS, MSG, strlen(MSG),
					 "m"),
			REASON_MALFORMED);
	}
	scratch_remove(&s);
}

/* We sign, ssh-keygen verifies: by a file and by the agent. */
static void
check_with_ssh_keygen(const struct scratch *s, const struct sshkey_signer *signer, bool expect)
{
	SCOPED(buf_done)
	struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX), text = BUF_MAX(SSHSIG_ARMOUR_MAX);
	SCOPED(buf_done) struct buf allowed = BUF_MAX(4096);
	const char *argv[] = { "ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "anna@vendor",
		"-n", NS, "-s", "our.sig", NULL };
	char line[SSHKEY_LINE_MAX];

	assert_int_equal(sshsig_sign(&blob, signer, NS, MSG, strlen(MSG)), 0);
	sshsig_armour(&text, blob.data, blob.len);
	buf_printf(&allowed, "anna@vendor %s\n", sshkey_line(line, sshkey_signer_public(signer)));
	scratch_write(s, "our.sig", text.data, text.len);
	scratch_write(s, "allowed", allowed.data, allowed.len);
	assert_int_equal(scratch_run(s, argv, MSG, strlen(MSG), NULL) == 0, expect);
	assert_int_not_equal(scratch_run(s, argv, "other", 5, NULL), 0);
}

static void
ssh_keygen_takes_what_we_make(void **state)
{
	SCOPED(sshkey_signer_freep) struct sshkey_signer *signer = NULL;
	struct scratch s;
	char path[128];

	(void)state;
	scratch_make(&s);
	keygen(&s, "ed25519", "anna", "");
	path_of(path, &s, "anna");
	assert_int_equal(sshkey_signer_open(&signer, path), 0);
	check_with_ssh_keygen(&s, signer, true);
	scratch_remove(&s);
}

static void
the_agent_signs(void **state)
{
	static const char *const types[] = { "ed25519", "ecdsa" };
	SCOPED(sshkey_signer_freep) struct sshkey_signer *signer = NULL;
	struct scratch s;
	char sock[128], path[128];
	int r, tries = 0;
	pid_t agent;

	(void)state;
	scratch_make(&s);
	path_of(sock, &s, "agent");
	unsetenv("SSH_AUTH_SOCK");
	assert_int_equal(sshkey_signer_open(&signer, NULL), REASON_UNREACHABLE);
	setenv("SSH_AUTH_SOCK", sock, 1);
	assert_int_equal(sshkey_signer_open(&signer, NULL), REASON_UNREACHABLE);
	agent = scratch_start(&s, (const char *[]){ "ssh-agent", "-D", "-a", "agent", NULL });
	/* Its socket is there before it listens. */
	while ((r = sshkey_signer_open(&signer, NULL)) == REASON_UNREACHABLE && tries++ < 500)
		usleep(10000);
	assert_int_equal(r, REASON_NOT_FOUND);
	/* a key we do not take stands in nobody's way */
	keygen(&s, "rsa", "rsa", "");
	assert_int_equal(scratch_run(&s, (const char *[]){ "ssh-add", "-q", "rsa", NULL }, NULL, 0,
				 NULL),
		0);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		char pub[32];

		keygen(&s, types[i], types[i], "");
		assert_int_equal(scratch_run(&s,
					 (const char *[]){ "ssh-add", "-q", types[i], NULL }, NULL,
					 0, NULL),
			0);
		if (i == 0) {
			assert_int_equal(sshkey_signer_open(&signer, NULL), 0);
			check_with_ssh_keygen(&s, signer, true);
			signer = sshkey_signer_free(signer);
		}
		snprintf(pub, sizeof(pub), "%s.pub", types[i]);
		path_of(path, &s, pub);
		assert_int_equal(sshkey_signer_open(&signer, path), 0);
		check_with_ssh_keygen(&s, signer, true);
		signer = sshkey_signer_free(signer);
	}
	assert_int_equal(sshkey_signer_open(&signer, NULL), REASON_USAGE); /* which of the two? */
	assert_non_null(strstr(refuse_last()->text, "--key"));

	/* gone from the agent between choosing and signing */
	assert_int_equal(sshkey_signer_open(&signer, path), 0);
	assert_int_equal(scratch_run(&s, (const char *[]){ "ssh-add", "-q", "-D", NULL }, NULL, 0,
				 NULL),
		0);
	{
		SCOPED(buf_done) struct buf out = BUF_MAX(4096);

		assert_int_equal(sshkey_signer_sign(signer, MSG, strlen(MSG), &out),
			REASON_NOT_APPROVED);
		assert_int_equal(out.len, 0);
	}
	signer = sshkey_signer_free(signer);
	assert_int_equal(sshkey_signer_open(&signer, path), REASON_NOT_FOUND);
	assert_null(signer);
	scratch_stop(agent);
	scratch_remove(&s);
}

static void
key_files_that_are_refused_name_the_way_out(void **state)
{
	struct sshkey_signer *signer = NULL;
	struct scratch s;
	char path[128];

	(void)state;
	scratch_make(&s);
	keygen(&s, "ed25519", "locked", "a phrase");
	path_of(path, &s, "locked");
	assert_int_equal(sshkey_signer_open(&signer, path), REASON_USAGE);
	assert_non_null(strstr(refuse_last()->text, "ssh-agent"));
	keygen(&s, "ecdsa", "curve", "");
	path_of(path, &s, "curve");
	assert_int_equal(sshkey_signer_open(&signer, path), REASON_USAGE);
	assert_non_null(strstr(refuse_last()->text, "ssh-add"));
	path_of(path, &s, "absent");
	assert_int_equal(sshkey_signer_open(&signer, path), REASON_NOT_FOUND);
	scratch_write(&s, "junk", "what is this?\n", 14);
	path_of(path, &s, "junk");
	assert_int_equal(sshkey_signer_open(&signer, path), REASON_MALFORMED);
	assert_null(signer);
	{
		SCOPED(buf_done) struct buf b = BUF_MAX(4096);

		keygen(&s, "ed25519", "torn", "");
		scratch_read(&s, "torn", &b);
		b.data[b.len / 2] ^= 1;
		scratch_write(&s, "torn", b.data, b.len);
		path_of(path, &s, "torn");
		assert_int_not_equal(sshkey_signer_open(&signer, path), 0);
		assert_null(signer);
	}
	scratch_remove(&s);
}

static void
keys_that_are_refused(void **state)
{
	static const struct {
		const char *name, *line;
		enum reason reason;
		const char *text;
	} rows[] = {
		{ "nothing", "", REASON_MALFORMED, "on one line" },
		{ "RSA", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAIQC7", REASON_MALFORMED,
			"key type is none of" },
		{ "no base64", "ssh-ed25519 !!!!", REASON_MALFORMED, "base64" },
		{ "two lines", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB\nx", REASON_MALFORMED,
			"on one line" },
		{ "all zero, of small order",
			"ssh-ed25519 "
			"AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
			REASON_LOW_ORDER_KEY, "" },
		{ "another type before it",
			"ecdsa-sha2-nistp256 "
			"AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
			REASON_MALFORMED, "" },
		{ "a good one",
			"ssh-ed25519 "
			"AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti me",
			REASON_NONE, NULL },
		{ "cut short",
			"ssh-ed25519 "
			"AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSg==",
			REASON_MALFORMED, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sshkey_public key = { 0 };
		int r = sshkey_parse(&key, rows[i].line, "key");

		if (r != (int)rows[i].reason)
			fail_msg("%s: %d", rows[i].name, r);
		assert_int_equal(key.blob_len != 0, r == 0);
		if (r)
			assert_int_equal(refuse_last()->reason, rows[i].reason);
		if (rows[i].text && !strstr(refuse_last()->text, rows[i].text))
			fail_msg("%s: %s", rows[i].name, refuse_last()->text);
	}
}

/* A token of our own making: an Ed25519 or P-256 key that signs as PROTOCOL.u2f says. */
static void
token_public(struct sshkey_public *key, const char *type, const uint8_t *raw, size_t len,
	bool curve)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SSHKEY_BLOB_MAX);

	put_string(&b, type, strlen(type));
	if (curve)
		put_string(&b, "nistp256", 8);
	put_string(&b, raw, len);
	put_string(&b, "ssh:", 4);
	assert_int_equal(sshkey_parse_blob(key, b.data, b.len, "token"), 0);
}

static void
token_message(struct buf *out, uint8_t flags, const char *msg)
{
	uint8_t d[32];

	sha256_of(d, "ssh:", 4);
	buf_put(out, d, 32);
	buf_u8(out, flags);
	buf_u32(out, 7);
	sha256_of(d, msg, strlen(msg));
	buf_put(out, d, 32);
}

static void
a_token_must_say_that_its_user_was_there(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *k = NULL;
	struct sshkey_public key;

	(void)state;
	assert_int_equal(ed25519_generate(&k), 0);
	token_public(&key, "sk-ssh-ed25519@openssh.com", ed25519_public(k), 32, false);
	for (uint8_t flags = 0; flags < 6; flags++) {
		SCOPED(buf_done) struct buf m = BUF_MAX(256), sig = BUF_MAX(256);
		uint8_t raw[64];

		token_message(&m, flags, MSG);
		assert_int_equal(ed25519_sign(k, m.data, m.len, raw), 0);
		put_string(&sig, "sk-ssh-ed25519@openssh.com", 26);
		put_string(&sig, raw, 64);
		buf_u8(&sig, flags);
		buf_u32(&sig, 7);
		assert_int_equal(sshkey_verify(&key, sig.data, sig.len, MSG, strlen(MSG), "m"),
			flags & 1 ? 0 : (int)REASON_BAD_SIGNATURE);
		sig.data[sig.len - 1] ^= 1; /* the counter is signed, too */
		assert_int_equal(sshkey_verify(&key, sig.data, sig.len, MSG, strlen(MSG), "m"),
			REASON_BAD_SIGNATURE);
		assert_int_equal(sshkey_verify(&key, sig.data, sig.len - 5, MSG, strlen(MSG), "m"),
			REASON_MALFORMED);
	}
}

static void
a_p256_token(void **state)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	SCOPED(buf_done) struct buf m = BUF_MAX(256), sig = BUF_MAX(256), rs = BUF_MAX(128);
	struct sshkey_public key;
	uint8_t point[65], der[80];
	const uint8_t *at = der;
	size_t len = sizeof(point), n = sizeof(der);
	ECDSA_SIG *es;

	(void)state;
	assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, len,
				 &len),
		1);
	token_public(&key, "sk-ecdsa-sha2-nistp256@openssh.com", point, len, true);
	token_message(&m, 1, MSG);
	assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(c, der, &n, m.data, m.len), 1);
	es = d2i_ECDSA_SIG(NULL, &at, (long)n);
	for (int i = 0; i < 2; i++) {
		const BIGNUM *v = i ? ECDSA_SIG_get0_s(es) : ECDSA_SIG_get0_r(es);
		uint8_t bytes[33] = { 0 };
		int bn = BN_bn2bin(v, bytes + 1);
		bool high = bytes[1] & 0x80;

		put_string(&rs, high ? bytes : bytes + 1, (size_t)bn + high);
	}
	put_string(&sig, "sk-ecdsa-sha2-nistp256@openssh.com", 34);
	put_string(&sig, rs.data, rs.len);
	buf_u8(&sig, 1);
	buf_u32(&sig, 7);
	assert_int_equal(sshkey_verify(&key, sig.data, sig.len, MSG, strlen(MSG), "m"), 0);
	assert_int_equal(sshkey_verify(&key, sig.data, sig.len, "other", 5, "m"),
		REASON_BAD_SIGNATURE);
	ECDSA_SIG_free(es);
	EVP_MD_CTX_free(c);
	EVP_PKEY_free(pkey);
}

/* Made once by tests/fakes/authenticator.py, as a FIDO token and OpenSSH would; ssh-keygen -Y verify takes those that were
 * touched (and the others, too: trust/README.md).  They never change. */
static const struct {
	const char *name, *key, *text;
	bool good;
} tokens[] = {
	{ "an Ed25519 token, touched",
		"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIIqOpl1jS9q7i"
		"KhGa6Vlj8XMEJD+nN4eY5VYLC7wqfXFAAAABHNzaDo=",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAgio6mXW\n"
		"NL2ruIqEZrpWWPxcwQkP6c3h5jlVgsLvCp9cUAAAAEc3NoOgAAABByZXF1ZXN0QG1haW5z\n"
		"dGF5AAAAAAAAAAZzaGE1MTIAAABnAAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAA\n"
		"AAQDxLzssKcRVjvAEk96f8h1Uj/gcWXe0dptVhi3k1eX25Ma7YWvlWWp4TqphJgp6cHYrD\n"
		"xlP59hDNEH7xoK1BCQQBAAAABw==\n"
		"-----END SSH SIGNATURE-----\n",
		true },
	{ "an Ed25519 token, touched, and the person verified",
		"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIIqOpl1jS9q7i"
		"KhGa6Vlj8XMEJD+nN4eY5VYLC7wqfXFAAAABHNzaDo=",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAgio6mXW\n"
		"NL2ruIqEZrpWWPxcwQkP6c3h5jlVgsLvCp9cUAAAAEc3NoOgAAABByZXF1ZXN0QG1haW5z\n"
		"dGF5AAAAAAAAAAZzaGE1MTIAAABnAAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAA\n"
		"AAQKc/nSzOFHVGus3Z1w5xr6tPfnPJ6Ib/ueKlnINdxKcRYDPf9p3KaXmA+0ZMO5rwcCe7\n"
		"SQ42cuKApTA8F5dT6w4F/////w==\n"
		"-----END SSH SIGNATURE-----\n",
		true },
	{ "an Ed25519 token, not touched",
		"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIIqOpl1jS9q7i"
		"KhGa6Vlj8XMEJD+nN4eY5VYLC7wqfXFAAAABHNzaDo=",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAgio6mXW\n"
		"NL2ruIqEZrpWWPxcwQkP6c3h5jlVgsLvCp9cUAAAAEc3NoOgAAABByZXF1ZXN0QG1haW5z\n"
		"dGF5AAAAAAAAAAZzaGE1MTIAAABnAAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAA\n"
		"AAQEoV3ijlyrvqebQY1iRR06jjPFD6tx39leWEhWnhQuok5k0njX/De4AxBPpn2M0KY7XC\n"
		"uqHUNXM7wpjBr3aUOAAAAAAACA==\n"
		"-----END SSH SIGNATURE-----\n",
		false },
	{ "an Ed25519 token, verified, not touched",
		"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIIqOpl1jS9q7i"
		"KhGa6Vlj8XMEJD+nN4eY5VYLC7wqfXFAAAABHNzaDo=",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAgio6mXW\n"
		"NL2ruIqEZrpWWPxcwQkP6c3h5jlVgsLvCp9cUAAAAEc3NoOgAAABByZXF1ZXN0QG1haW5z\n"
		"dGF5AAAAAAAAAAZzaGE1MTIAAABnAAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAA\n"
		"AAQG9PctsQ9xyLjzxbaaEk1Nw8lcuVKFn8VSo/kvPWn4fKGIvU/8WwXPS5haqfHRDrmdKb\n"
		"nK50RSFBWOeq/dl66AAEAAAACQ==\n"
		"-----END SSH SIGNATURE-----\n",
		false },
	{ "a P-256 token, touched",
		"sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb"
		"20AAAAIbmlzdHAyNTYAAABBBIy5Q8YQv82E7z7ytqhaL2jhcpRjc9pyjLb32fvOf1ALOqiTaB/3XoT3RYjsG"
		"V1v4W3KNvJa1IYvrCeu0OneUX4AAAAEc3NoOg==",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAH8AAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVuc3NoLmNvbQ\n"
		"AAAAhuaXN0cDI1NgAAAEEEjLlDxhC/zYTvPvK2qFovaOFylGNz2nKMtvfZ+85/UAs6qJNo\n"
		"H/dehPdFiOwZXW/hbco28lrUhi+sJ67Q6d5RfgAAAARzc2g6AAAAEHJlcXVlc3RAbWFpbn\n"
		"N0YXkAAAAAAAAABnNoYTUxMgAAAHcAAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVu\n"
		"c3NoLmNvbQAAAEgAAAAgF0Z7zxoRyNyGx/1RH2PbS36i6TaKiJ9MAfCt9M6Fk5QAAAAgax\n"
		"sFrk2eoAGVlOCOvsBkrh27hvZUUWmtuA0kvlLnC20BAAAABw==\n"
		"-----END SSH SIGNATURE-----\n",
		true },
	{ "a P-256 token, touched, and the person verified",
		"sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb"
		"20AAAAIbmlzdHAyNTYAAABBBIy5Q8YQv82E7z7ytqhaL2jhcpRjc9pyjLb32fvOf1ALOqiTaB/3XoT3RYjsG"
		"V1v4W3KNvJa1IYvrCeu0OneUX4AAAAEc3NoOg==",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAH8AAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVuc3NoLmNvbQ\n"
		"AAAAhuaXN0cDI1NgAAAEEEjLlDxhC/zYTvPvK2qFovaOFylGNz2nKMtvfZ+85/UAs6qJNo\n"
		"H/dehPdFiOwZXW/hbco28lrUhi+sJ67Q6d5RfgAAAARzc2g6AAAAEHJlcXVlc3RAbWFpbn\n"
		"N0YXkAAAAAAAAABnNoYTUxMgAAAHgAAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVu\n"
		"c3NoLmNvbQAAAEkAAAAgRp66N2buQ0CnGPNK+KYIvjbe7Pekr5QzsP6gWBlE3IEAAAAhAP\n"
		"iVOmgq/nGEv3Qa4kcUW6jqkD77vpbpV+//Pk1rZ996Bf////8=\n"
		"-----END SSH SIGNATURE-----\n",
		true },
	{ "a P-256 token, not touched",
		"sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb"
		"20AAAAIbmlzdHAyNTYAAABBBIy5Q8YQv82E7z7ytqhaL2jhcpRjc9pyjLb32fvOf1ALOqiTaB/3XoT3RYjsG"
		"V1v4W3KNvJa1IYvrCeu0OneUX4AAAAEc3NoOg==",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAH8AAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVuc3NoLmNvbQ\n"
		"AAAAhuaXN0cDI1NgAAAEEEjLlDxhC/zYTvPvK2qFovaOFylGNz2nKMtvfZ+85/UAs6qJNo\n"
		"H/dehPdFiOwZXW/hbco28lrUhi+sJ67Q6d5RfgAAAARzc2g6AAAAEHJlcXVlc3RAbWFpbn\n"
		"N0YXkAAAAAAAAABnNoYTUxMgAAAHgAAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVu\n"
		"c3NoLmNvbQAAAEkAAAAgFxlwwhX89ZyMGv/BRahlflrBfzem/IHK+ryWE88qxMgAAAAhAL\n"
		"s0/2tyER75DP3oStEkrfgeGBuIEP04u9llaWSDnfLuAAAAAAg=\n"
		"-----END SSH SIGNATURE-----\n",
		false },
	{ "a P-256 token, verified, not touched",
		"sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb"
		"20AAAAIbmlzdHAyNTYAAABBBIy5Q8YQv82E7z7ytqhaL2jhcpRjc9pyjLb32fvOf1ALOqiTaB/3XoT3RYjsG"
		"V1v4W3KNvJa1IYvrCeu0OneUX4AAAAEc3NoOg==",
		"-----BEGIN SSH SIGNATURE-----\n"
		"U1NIU0lHAAAAAQAAAH8AAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVuc3NoLmNvbQ\n"
		"AAAAhuaXN0cDI1NgAAAEEEjLlDxhC/zYTvPvK2qFovaOFylGNz2nKMtvfZ+85/UAs6qJNo\n"
		"H/dehPdFiOwZXW/hbco28lrUhi+sJ67Q6d5RfgAAAARzc2g6AAAAEHJlcXVlc3RAbWFpbn\n"
		"N0YXkAAAAAAAAABnNoYTUxMgAAAHgAAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVu\n"
		"c3NoLmNvbQAAAEkAAAAhAM/HLNq4hTSpFIKZwmxqqMR6p9haabglf/NcboMp8mveAAAAIC\n"
		"h0oWrZ+q701u7SSzgvitwy/MwNSq/IEiu1jMdoOwc7BAAAAAk=\n"
		"-----END SSH SIGNATURE-----\n",
		false },
};

static void
fixed_signatures_of_tokens(void **state)
{
	static const char message[] = "restart redis\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX);
		uint64_t before = refuse_count(REASON_BAD_SIGNATURE);
		struct sshkey_public key;
		int r;

		assert_int_equal(sshkey_parse(&key, tokens[i].key, "token"), 0);
		assert_string_equal(key.application, "ssh:");
		assert_int_equal(sshsig_dearmour(&blob, tokens[i].text, strlen(tokens[i].text), "sig"), 0);
		r = sshsig_verify(blob.data, blob.len, &key, NS, message, strlen(message), "m");
		if (r != (tokens[i].good ? 0 : (int)REASON_BAD_SIGNATURE))
			fail_msg("%s: %d", tokens[i].name, r);
		assert_int_equal(refuse_count(REASON_BAD_SIGNATURE), before + !tokens[i].good);
		if (!tokens[i].good)
			assert_non_null(strstr(refuse_last()->text, "presence"));
		assert_int_not_equal(sshsig_verify(blob.data, blob.len, &key, NS, message, strlen(message) - 1, "m"), 0);
	}
}

/* Wycheproof's signatures are DER; those with a strict SEQUENCE of two INTEGERs translate byte for
 * byte to SSH's two numbers, whose encoding is the same.  The others have no SSH form. */
static bool
der_to_ssh(struct buf *out, const uint8_t *p, size_t len)
{
	size_t at = 2;

	if (len < 8 || p[0] != 0x30 || p[1] != len - 2)
		return false;
	for (int i = 0; i < 2; i++) {
		if (at + 2 > len || p[at] != 0x02 || p[at + 1] >= 0x80 || at + 2 + p[at + 1] > len)
			return false;
		put_string(out, p + at + 2, p[at + 1]);
		at += 2 + p[at + 1];
	}
	return at == len;
}

static void
wycheproof_p256(void **state)
{
	json_t *v = vectors_load("wycheproof/ecdsa_secp256r1_sha256_test.json"), *group, *test;
	size_t i, j, good = 0, bad = 0, none = 0;

	(void)state;
	json_array_foreach(json_object_get(v, "testGroups"), i, group) {
		SCOPED(buf_done) struct buf blob = BUF_MAX(SSHKEY_BLOB_MAX);
		const char *hex =
			json_string_value(json_object_get(json_object_get(group, "publicKey"),
				"uncompressed"));
		struct sshkey_public key;
		uint8_t point[65];

		assert_true(hex_decode(point, sizeof(point), hex));
		put_string(&blob, "ecdsa-sha2-nistp256", 19);
		put_string(&blob, "nistp256", 8);
		put_string(&blob, point, sizeof(point));
		assert_int_equal(sshkey_parse_blob(&key, blob.data, blob.len, "key"), 0);
		json_array_foreach(json_object_get(group, "tests"), j, test) {
			SCOPED(buf_done) struct buf rs = BUF_MAX(8192), sig = BUF_MAX(8192);
			const char *m = json_string_value(json_object_get(test, "msg"));
			const char *s = json_string_value(json_object_get(test, "sig"));
			bool valid = !strcmp(json_string_value(json_object_get(test, "result")),
				"valid");
			uint8_t msg[64], der[8192];
			bool ok;

			assert_true(strlen(m) / 2 <= sizeof(msg) && strlen(s) / 2 <= sizeof(der));
			assert_true(hex_decode(msg, strlen(m) / 2, m) &&
				hex_decode(der, strlen(s) / 2, s));
			if (!der_to_ssh(&rs, der, strlen(s) / 2)) {
				assert_false(valid);
				none++;
				continue;
			}
			put_string(&sig, "ecdsa-sha2-nistp256", 19);
			put_string(&sig, rs.data, rs.len);
			ok = sshkey_verify(&key, sig.data, sig.len, msg, strlen(m) / 2, "m") == 0;
			if (ok != valid)
				fail_msg("case %lld: %d",
					json_integer_value(json_object_get(test, "tcId")), ok);
			*(valid ? &good : &bad) += 1;
		}
	}
	vectors_ran("wycheproof p256", good + bad, none); /* not as SSH writes them */
	assert_int_equal(good + bad + none, 484);
	assert_true(good > 150 && bad > 80);
	json_decref(v);
}

static void
armour_is_strict(void **state)
{
	static const struct {
		const char *name, *text;
		bool good;
	} rows[] = {
		{ "whole", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
			true },
		{ "blanks around",
			"\n -----BEGIN SSH SIGNATURE-----\nAA\nAA\n-----END SSH SIGNATURE-----\n\n",
			true },
		{ "another label",
			"-----BEGIN SSH PUBLIC KEY-----\nAAAA\n-----END SSH PUBLIC KEY-----\n",
			false },
		{ "no end", "-----BEGIN SSH SIGNATURE-----\nAAAA\n", false },
		{ "bytes before",
			"x-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
			false },
		{ "empty", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n", false },
		{ "end on the same line",
			"-----BEGIN SSH SIGNATURE-----\nAAAA-----END SSH SIGNATURE-----\n", false },
		{ "no base64", "-----BEGIN SSH SIGNATURE-----\nAA*A\n-----END SSH SIGNATURE-----\n",
			false },
		{ "nothing", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(SSHSIG_BLOB_MAX);
		int r = sshsig_dearmour(&b, rows[i].text, strlen(rows[i].text), "sig");

		if (r != (rows[i].good ? 0 : (int)REASON_MALFORMED))
			fail_msg("%s: %d", rows[i].name, r);
	}
	{
		SCOPED(buf_done) struct buf b = BUF_MAX(SSHSIG_BLOB_MAX);
		static const char big[SSHSIG_ARMOUR_MAX + 1];

		assert_int_equal(sshsig_dearmour(&b, big, sizeof(big), "sig"), REASON_TOO_LARGE);
	}
}

/* An agent that answers everything with these bytes, then closes. */
static pid_t
fake_agent(const struct scratch *s, const char *path, const uint8_t *answer, size_t len)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	(void)unlinkat(s->fd, "fake", 0);
	memcpy(to.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(fd, 4), 0);
	pid = fork();
	if (pid == 0) {
		uint8_t waste[4096];
		int peer = accept(fd, NULL, NULL);

		if (read(peer, waste, sizeof(waste)) > 0)
			(void)!write(peer, answer, len);
		usleep(20000); /* its length and its message may come in two pieces */
		_exit(0);
	}
	close(fd);
	return pid;
}

static void
agents_that_talk_nonsense(void **state)
{
	static const struct {
		const char *name, *answer;
		size_t len;
		enum reason reason;
		const char *text;
	} rows[] = {
		{ "says nothing", "", 0, REASON_UNREACHABLE, "" },
		{ "stops in the middle", "\0\0\0\5\14", 5, REASON_UNREACHABLE, "" },
		{ "too long", "\377\0\0\0", 4, REASON_MALFORMED, "" },
		{ "empty", "\0\0\0\0", 4, REASON_MALFORMED, "" },
		{ "a failure", "\0\0\0\1\5", 5, REASON_MALFORMED, "does not list" },
		{ "a million keys", "\0\0\0\5\14\0\20\0\0", 9, REASON_MALFORMED,
			"lists 1048576 keys" },
		{ "one key, absent", "\0\0\0\5\14\0\0\0\1", 9, REASON_MALFORMED, "" },
		{ "no keys", "\0\0\0\5\14\0\0\0\0", 9, REASON_NOT_FOUND, "" },
	};
	struct sshkey_signer *signer = NULL;
	struct scratch s;
	char path[256];

	(void)state;
	scratch_make(&s);
	path_of(path, &s, "fake");
	setenv("SSH_AUTH_SOCK", path, 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		pid_t pid = fake_agent(&s, path, (const uint8_t *)rows[i].answer, rows[i].len);
		int r = sshkey_signer_open(&signer, NULL);

		if (r != (int)rows[i].reason || signer ||
			(rows[i].text && !strstr(refuse_last()->text, rows[i].text)))
			fail_msg("%s: %d, %s", rows[i].name, r, refuse_last()->text);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	{
		/* a signature that is cut short */
		static const uint8_t answer[] = { 0, 0, 0, 5, 14, 0, 0, 0, 9 };
		SCOPED(buf_done) struct buf out = BUF_MAX(256);
		struct sshkey_public key = { .blob_len = 4 };
		pid_t pid = fake_agent(&s, path, answer, sizeof(answer));
		int fd = -1;

		assert_int_equal(sshagent_connect(&fd), 0);
		assert_int_equal(sshagent_sign(fd, &key, "x", 1, &out), REASON_MALFORMED);
		assert_int_equal(out.len, 0);
		close(fd);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	setenv("SSH_AUTH_SOCK", path, 1);
	assert_int_equal(sshkey_signer_open(&signer, NULL), REASON_UNREACHABLE);
	scratch_remove(&s);
}

/* Private keys that a program with a fault might write. */
static void
private_keys_that_are_damaged(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *k = NULL, *other = NULL;
	struct scratch s;
	char path[128];

	(void)state;
	scratch_make(&s);
	path_of(path, &s, "key");
	assert_int_equal(ed25519_generate(&k), 0);
	assert_int_equal(ed25519_generate(&other), 0);
	for (int bad = 0; bad < 6; bad++) {
		SCOPED(buf_done)
		struct buf pub = BUF_MAX(256), secret = BUF_MAX(512), b = BUF_MAX(1024);
		SCOPED(buf_done) struct buf text = BUF_MAX(4096);
		struct sshkey_signer *signer = NULL;
		uint8_t seed[64] = { 7 };
		SCOPED(ed25519_freep) struct ed25519 *real = NULL;
		int r;

		assert_int_equal(ed25519_from_seed(&real, seed), 0);
		put_string(&pub, "ssh-ed25519", 11);
		put_string(&pub, ed25519_public(bad == 1 ? other : real), 32);
		buf_u32(&secret, 5);
		buf_u32(&secret, bad == 2 ? 6 : 5);
		put_string(&secret, "ssh-ed25519", 11);
		put_string(&secret, ed25519_public(real), 32);
		memcpy(seed + 32, ed25519_public(real), 32);
		put_string(&secret, seed, bad == 3 ? 63 : 64);
		put_string(&secret, "c", 1);
		buf_u8(&secret, bad == 4 ? 2 : 1);
		buf_put(&b, bad == 5 ? "openssh-key-v2" : "openssh-key-v1", 15);
		put_string(&b, "none", 4);
		put_string(&b, "none", 4);
		put_string(&b, "", 0);
		buf_u32(&b, 1);
		put_string(&b, pub.data, pub.len);
		put_string(&b, secret.data, secret.len);
		armour_write(&text, "OPENSSH PRIVATE KEY", b.data, b.len);
		scratch_write(&s, "key", text.data, text.len);
		r = sshkey_signer_open(&signer, path);
		assert_int_equal(r, bad ? (int)REASON_MALFORMED : 0);
		assert_int_equal(signer != NULL, bad == 0);
		sshkey_signer_free(signer);
	}
	{
		static char big[SSHKEY_FILE_MAX + 1];
		struct sshkey_signer *signer = NULL;

		scratch_write(&s, "key", "-----BEGIN OPENSSH PRIVATE KEY-----\n!!!\n", 40);
		assert_refused(sshkey_signer_open(&signer, path), REASON_MALFORMED, "no base64");
		scratch_write(&s, "key", "a\0b\n", 4);
		assert_refused(sshkey_signer_open(&signer, path), REASON_MALFORMED,
			"neither an OpenSSH private key");
		scratch_write(&s, "key", big, sizeof(big));
		assert_int_equal(sshkey_signer_open(&signer, path), REASON_TOO_LARGE);
		assert_null(signer);
	}
	scratch_remove(&s);
}

static void
odd_key_blobs(void **state)
{
	static const uint8_t big[SSHKEY_BLOB_MAX + 1], raw[32] = { 9 }, point[65] = { 4, 1 };
	SCOPED(buf_done) struct buf a = BUF_MAX(1024), b = BUF_MAX(1024), c = BUF_MAX(1024);
	struct sshkey_public key = { 0 };

	(void)state;
	assert_int_equal(sshkey_parse_blob(&key, big, sizeof(big), "key"), REASON_TOO_LARGE);
	put_string(&a, "sk-ssh-ed25519@openssh.com", 26);
	put_string(&a, raw, 32);
	put_string(&a, "", 0); /* no application */
	assert_int_equal(sshkey_parse_blob(&key, a.data, a.len, "key"), REASON_MALFORMED);
	put_string(&b, "ssh-ed25519", 11);
	put_string(&b, raw, 32);
	buf_u8(&b, 0); /* left over */
	assert_int_equal(sshkey_parse_blob(&key, b.data, b.len, "key"), REASON_MALFORMED);
	put_string(&c, "ecdsa-sha2-nistp256", 19);
	put_string(&c, "nistp256", 8);
	put_string(&c, point, sizeof(point)); /* not on the curve */
	assert_int_equal(sshkey_parse_blob(&key, c.data, c.len, "key"), REASON_MALFORMED);
	buf_reset(&c);
	put_string(&c, "ecdsa-sha2-nistp256", 19);
	put_string(&c, "nistp384", 8);
	put_string(&c, point, sizeof(point));
	assert_refused(sshkey_parse_blob(&key, c.data, c.len, "key"), REASON_MALFORMED,
		"not on the curve its type names");
	assert_int_equal(key.blob_len, 0);
}

/* Forms that no ssh-keygen writes. */
static void
odd_blobs(void **state)
{
	static const struct {
		const char *name, *magic, *name_space, *reserved, *hash;
		uint32_t version;
		enum reason reason;
	} rows[] = {
		{ "good form", "SSHSIG", NS, "", "sha512", 1, REASON_NONE },
		{ "version 2", "SSHSIG", NS, "", "sha512", 2, REASON_MALFORMED },
		{ "another magic", "SSHSIH", NS, "", "sha512", 1, REASON_MALFORMED },
		{ "no namespace", "SSHSIG", "", "", "sha512", 1, REASON_MALFORMED },
		{ "something reserved", "SSHSIG", NS, "x", "sha512", 1, REASON_MALFORMED },
		{ "another hash", "SSHSIG", NS, "", "sha1", 1, REASON_MALFORMED },
		{ "long hash", "SSHSIG", NS, "", "sha512256", 1, REASON_MALFORMED },
	};
	SCOPED(ed25519_freep) struct ed25519 *k = NULL;
	SCOPED(buf_done) struct buf key = BUF_MAX(256);

	(void)state;
	assert_int_equal(ed25519_generate(&k), 0);
	put_string(&key, "ssh-ed25519", 11);
	put_string(&key, ed25519_public(k), 32);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(SSHSIG_BLOB_MAX);
		struct sshsig sig;

		buf_puts(&b, rows[i].magic);
		buf_u32(&b, rows[i].version);
		put_string(&b, key.data, key.len);
		put_string(&b, rows[i].name_space, strlen(rows[i].name_space));
		put_string(&b, rows[i].reserved, strlen(rows[i].reserved));
		put_string(&b, rows[i].hash, strlen(rows[i].hash));
		put_string(&b, "x", 1);
		if (sshsig_parse(&sig, b.data, b.len, "sig") != (int)rows[i].reason)
			fail_msg("%s", rows[i].name);
	}
	{
		static const uint8_t big[SSHSIG_BLOB_MAX + 1];
		struct sshsig sig;

		assert_int_equal(sshsig_parse(&sig, big, sizeof(big), "sig"), REASON_TOO_LARGE);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(we_take_what_ssh_keygen_makes),
		cmocka_unit_test(ssh_keygen_takes_what_we_make),
		cmocka_unit_test(the_agent_signs),
		cmocka_unit_test(key_files_that_are_refused_name_the_way_out),
		cmocka_unit_test(keys_that_are_refused),
		cmocka_unit_test(a_token_must_say_that_its_user_was_there),
		cmocka_unit_test(a_p256_token),
		cmocka_unit_test(fixed_signatures_of_tokens),
		cmocka_unit_test(wycheproof_p256),
		cmocka_unit_test(agents_that_talk_nonsense),
		cmocka_unit_test(private_keys_that_are_damaged),
		cmocka_unit_test(odd_key_blobs),
		cmocka_unit_test(armour_is_strict),
		cmocka_unit_test(odd_blobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
