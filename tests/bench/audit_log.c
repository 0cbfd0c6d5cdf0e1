/* The audit log at length: how fast it takes leaves, how large a proof of one is, how long the whole takes to verify and
 * to open, in how much memory.
 *
 *	audit_log [LEAVES]     1,000,000 by default
 *
 * Beside it in the same run: SQLite (WAL, synchronous=FULL) taking the same number of records of the same size in the same
 * batches, and a plain Python recomputation of the same tree from the same files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "appliance/audit/audit.h"
#include "appliance/audit/proof.h"
#include "appliance/audit/verify.h"
#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/number.h"
#include "tests/fakes/scratch.h"

enum { SINGLES = 500, RECORD_BYTES = 230 };

static uint64_t total = 1000000;
static struct scratch scratch;
static struct ed25519 *key;
static struct audit *bench_log;
static double singles_s, batches_s;

static double
seconds(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
ratio(const char *name, double ours, double peer)
{
	print_message("%s ratio %.2f (ours %.4g, peer %.4g)\n", name, peer > 0 ? ours / peer : 0, ours,
		peer);
}

static void
reopen(void)
{
	audit_free(bench_log);
	bench_log = NULL;
	assert_int_equal(audit_open(&bench_log, scratch.fd, "plant7", key), 0);
}

/* --- appending -------------------------------------------------------------------------------- */
static void
ours_takes_leaves(void **state)
{
	static struct audit_leaf leaves[AUDIT_BATCH_MAX];
	uint8_t digest[32] = { 1 };
	double begin;

	(void)state;
	for (size_t i = 0; i < AUDIT_BATCH_MAX; i++)
		leaves[i] = (struct audit_leaf){ .kind = AUDIT_START, .actor = "anna@vendor.example",
			.object = "redis/restart", .digest = digest };
	reopen();
	begin = seconds();
	for (int i = 0; i < SINGLES; i++)
		assert_int_equal(audit_append_many(bench_log, leaves, 1, NULL), 0);
	assert_int_equal(audit_commit(bench_log), 0);
	singles_s = seconds() - begin;
	begin = seconds();
	while (audit_size(bench_log) < total) {
		uint64_t left = total - audit_size(bench_log);

		assert_int_equal(audit_append_many(bench_log, leaves,
					 left < AUDIT_BATCH_MAX ? left : AUDIT_BATCH_MAX, NULL),
			0);
	}
	assert_int_equal(audit_commit(bench_log), 0);
	batches_s = seconds() - begin;
}

static void
sql(sqlite3 *db, const char *text)
{
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
}

static void
insert(sqlite3 *db, sqlite3_stmt *s, uint64_t first, uint64_t n)
{
	char record[RECORD_BYTES];

	memset(record, 'r', sizeof(record));
	sql(db, "BEGIN");
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(sqlite3_bind_int64(s, 1, (sqlite3_int64)(first + i)), SQLITE_OK);
		assert_int_equal(sqlite3_bind_blob(s, 2, record, sizeof(record), SQLITE_STATIC),
			SQLITE_OK);
		assert_int_equal(sqlite3_step(s), SQLITE_DONE);
		assert_int_equal(sqlite3_reset(s), SQLITE_OK);
	}
	sql(db, "COMMIT");
}

static void
the_peer_takes_records(void **state)
{
	struct scratch aside;
	char path[128];
	sqlite3_stmt *s;
	sqlite3 *db;
	double begin, one, many;

	(void)state;
	scratch_make(&aside);
	snprintf(path, sizeof(path), "%s/peer.db", aside.path);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		"CREATE TABLE log(n INTEGER PRIMARY KEY, record BLOB)");
	assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO log VALUES(?,?)", -1, &s, NULL),
		SQLITE_OK);
	begin = seconds();
	for (uint64_t i = 0; i < SINGLES; i++)
		insert(db, s, i, 1);
	one = seconds() - begin;
	begin = seconds();
	for (uint64_t n = SINGLES; n < total;) {
		uint64_t now = total - n < AUDIT_BATCH_MAX ? total - n : AUDIT_BATCH_MAX;

		insert(db, s, n, now);
		n += now;
	}
	many = seconds() - begin;
	sqlite3_finalize(s);
	sqlite3_close(db);
	scratch_remove(&aside);
	ratio("audit-append-one-per-s", SINGLES / singles_s, SINGLES / one);
	ratio("audit-append-batch-per-s", (double)(total - SINGLES) / batches_s,
		(double)(total - SINGLES) / many);
}

/* --- proving ---------------------------------------------------------------------------------- */
static void
proofs(void **state)
{
	enum { PROOFS = 200 };
	size_t largest = 0, hashes = 0;
	double begin = seconds();

	(void)state;
	for (uint64_t i = 0; i < PROOFS; i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(PROOF_FILE_MAX);
		uint64_t n = i * (total / PROOFS);
		struct merkle_proof p;

		assert_int_equal(proof_make(bench_log, n, &b), 0);
		assert_int_equal(audit_inclusion(bench_log, n, total, &p), 0);
		largest = b.len > largest ? b.len : largest;
		hashes = p.n > hashes ? p.n : hashes;
	}
	print_message("audit-proof: at %llu leaves %zu hashes, a file of %zu bytes, %.2f ms to make\n",
		(unsigned long long)total, hashes, largest, (seconds() - begin) / PROOFS * 1e3);
}

/* --- verifying -------------------------------------------------------------------------------- */
/* The same tree by somebody else, from the records alone. */
static const char reference[] =
	"import hashlib, os, struct, sys\n"
	"H = lambda b: hashlib.sha256(b).digest()\n"
	"stack, n = [], 0\n"
	"for top, dirs, names in os.walk('records'):\n"
	"    dirs.sort()\n"
	"    for name in sorted(names):\n"
	"        data, at = open(os.path.join(top, name), 'rb').read(), 0\n"
	"        while at < len(data):\n"
	"            size = struct.unpack_from('>I', data, at)[0]\n"
	"            h = H(b'\\0' + H(data[at + 8:at + 8 + size]))\n"
	"            at += 8 + size\n"
	"            k, n = n, n + 1\n"
	"            while k & 1:\n"
	"                h = H(b'\\1' + stack.pop() + h)\n"
	"                k >>= 1\n"
	"            stack.append(h)\n"
	"h = stack.pop()\n"
	"while stack:\n"
	"    h = H(b'\\1' + stack.pop() + h)\n"
	"print(n, h.hex(), end='')\n";

static void
verifying(void **state)
{
	const char *const argv[] = { "/usr/bin/python3", "-c", reference, NULL };
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	char want[128], hex[65];
	struct verify_report report;
	double begin, ours, peer;
	struct rusage use;

	(void)state;
	begin = seconds();
	reopen();
	print_message("audit-open: %.2f s at %llu leaves\n", seconds() - begin,
		(unsigned long long)total);
	begin = seconds();
	assert_int_equal(verify_log(&report, scratch.fd, ed25519_public(key), NULL), 0);
	ours = seconds() - begin;
	assert_int_equal(report.size, total);
	assert_int_equal(getrusage(RUSAGE_SELF, &use), 0);
	begin = seconds();
	assert_int_equal(scratch_run(&scratch, argv, NULL, 0, &out), 0);
	peer = seconds() - begin;
	snprintf(want, sizeof(want), "%llu %s", (unsigned long long)total,
		hex_encode(hex, report.root, 32));
	assert_string_equal(buf_text(&out), want);
	ratio("audit-verify-s", ours, peer);
	print_message("audit-memory: %ld KiB at most, %llu leaves\n", use.ru_maxrss,
		(unsigned long long)total);
}

static int
begin(void **state)
{
	(void)state;
	scratch_make(&scratch);
	return ed25519_generate(&key);
}

static int
end(void **state)
{
	(void)state;
	audit_free(bench_log);
	ed25519_free(key);
	scratch_remove(&scratch);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_takes_leaves),
		cmocka_unit_test(proofs),
		cmocka_unit_test(verifying),
		cmocka_unit_test(the_peer_takes_records),
	};

	if (argc > 2 ||
		(argc == 2 &&
			(number_u64(&total, argv[1], UINT64_C(1) << 32) != 0 || total < 1000))) {
		(void)fprintf(stderr, "usage: audit_log [LEAVES]\n");
		return 2;
	}
	return cmocka_run_group_tests(tests, begin, end);
}
