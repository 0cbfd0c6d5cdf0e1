/* A log in a scratch folder, its keys and a witness. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/audit/audit.h"
#include "appliance/audit/bundle.h"
#include "appliance/audit/tile.h"
#include "appliance/audit/verify.h"
#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/scratch.h"

#define NOW (UINT64_C(1800000000) * CLOCK_US_PER_S)

struct fixture {
	struct scratch s;
	struct ed25519 *key, *hub;
	struct note_key witness;
	struct audit *log;
};

static inline void
reopen(struct fixture *f)
{
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(audit_open(&f->log, f->s.fd, "plant7", f->key), 0);
}

static inline int
reopen_refused(struct fixture *f)
{
	audit_free(f->log);
	f->log = NULL;
	return audit_open(&f->log, f->s.fd, "plant7", f->key);
}

/* A leaf, and its checkpoint. */
static inline void
add(struct fixture *f, const char *object)
{
	uint8_t digest[32];
	uint64_t n = 0, size = audit_size(f->log);

	sha256_of(digest, object, strlen(object));
	assert_int_equal(audit_append(f->log, AUDIT_START, "anna", object, digest, REASON_NONE,
				 NULL, &n),
		0);
	assert_int_equal(n, size);
	assert_int_equal(audit_size(f->log), size + 1);
	assert_int_equal(audit_commit(f->log), 0);
}

static inline int
begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	clock_fake(NOW, 0);
	scratch_make(&f->s);
	assert_int_equal(ed25519_generate(&f->key), 0);
	assert_int_equal(ed25519_generate(&f->hub), 0);
	assert_int_equal(note_key_make(&f->witness, "hub.example", NOTE_TYPE_COSIGNATURE,
				 ed25519_public(f->hub)),
		0);
	reopen(f);
	*state = f;
	return 0;
}

static inline int
end(void **state)
{
	struct fixture *f = *state;

	audit_free(f->log);
	ed25519_free(f->key);
	ed25519_free(f->hub);
	scratch_remove(&f->s);
	free(f);
	clock_real();
	return 0;
}

static inline void
cosign(struct fixture *f, uint64_t old, struct buf *note)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(WITNESS_BODY_MAX), reply = BUF_MAX(4096);
	const char *head = audit_checkpoint(f->log);
	struct merkle_proof proof;

	assert_int_equal(audit_consistency(f->log, old, &proof), 0);
	witness_request(&body, old, &proof, head, strlen(head));
	assert_int_equal(witness_parse(&s, body.data, body.len), 0);
	assert_int_equal(witness_cosignature(&reply, &s, "hub.example", f->hub,
				 NOW / CLOCK_US_PER_S),
		0);
	assert_int_equal(witness_accept(note, head, strlen(head), reply.data, reply.len,
				 &f->witness),
		0);
}

/* n leaves under one checkpoint. */
static inline void
add_many(struct fixture *f, size_t n)
{
	struct audit_leaf *leaves = calloc(n, sizeof(*leaves));
	uint64_t first = 0, size = audit_size(f->log);

	for (size_t i = 0; i < n; i++)
		leaves[i] = (struct audit_leaf){
			.kind = AUDIT_START, .actor = "anna", .object = "many"
		};
	assert_int_equal(audit_append_many(f->log, leaves, n, &first), 0);
	assert_int_equal(first, size);
	assert_int_equal(audit_size(f->log), size + n);
	assert_int_equal(audit_commit(f->log), 0);
	free(leaves);
}

/* Cosign the present head and keep it. */
static inline void
witnessed(struct fixture *f)
{
	SCOPED(buf_done) struct buf note = BUF_MAX(8192);

	cosign(f, audit_cosigned(f->log), &note);
	assert_int_equal(audit_keep_cosigned(f->log, note.data, note.len, &f->witness), 0);
}

static inline int
verify(struct fixture *f, struct verify_report *ret)
{
	return verify_log(ret, f->s.fd, ed25519_public(f->key), &f->witness);
}

/* --- files, for doing them harm --------------------------------------------------------------- */
static inline int
open_file(const struct fixture *f, const char *name)
{
	int fd = openat(f->s.fd, name, O_RDWR);

	assert_true(fd >= 0);
	return fd;
}

static inline bool
there(const struct fixture *f, const char *name)
{
	return faccessat(f->s.fd, name, F_OK, 0) == 0;
}

/* Counts them into *arg. */
static inline int
count(const struct audit_entry *e, void *arg)
{
	uint64_t *n = arg;

	assert_string_equal(e->actor, "anna");
	(*n)++;
	return 0;
}

/* A record as it stands in the file. */
#define ENTRY(n, kind, digest, reason)                                                             \
	"{\"actor\":\"\",\"digest\":\"" digest "\",\"kind\":\"" kind "\",\"n\":" n                 \
	",\"object\":\"\",\"reason\":\"" reason                                                    \
	"\",\"salt\":\"00\",\"time\":\"2027-01-01T00:00:00Z\"}"

#define LOG_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
