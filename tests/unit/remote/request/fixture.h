/* A small vendor and a small customer: keys of four people, a people document, a definition, a
 * policy, and a request that passes. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_compile.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sshkey.h"
#include "appliance/tuf/people.h"
#include "remote/request/request.h"
#include "tests/fakes/scratch.h"

#define UNUSED __attribute__((unused))

/* Engineer here, engineer elsewhere, stranger, approver. */
enum person { ANN, BOB, CID, DORA, N_PEOPLE };

static char fixture_public[N_PEOPLE][SSHKEY_LINE_MAX]; /* of keys made by fixture_open() */

#define FIXTURE_NOW UINT64_C(1795291200000000) /* 2026-11-21T20:00:00Z */
#define FIXTURE_HOUR (3600 * CLOCK_US_PER_S)

static const uint8_t fixture_epoch[REQUEST_EPOCH_BYTES] UNUSED = { 1, 2, 3, 4, 5, 6, 7, 8 };

static const char fixture_service[] UNUSED =
	"name: redis\n"
	"version: 7.0.15\n"
	"payload: {programs: [/usr/bin/redis-server], files: []}\n"
	"exec: [/usr/bin/redis-server, \"{conf}/redis.conf\"]\n"
	"user: service\n"
	"heal: exit\n"
	"config: []\n"
	"knobs: {maxmemory: {type: size, min: 1mb, max: 1gb, default: 64mb, apply: restart, help: "
	"memory}}\n"
	"health: {type: resp, socket: \"{run}/redis.sock\", period: 1s, timeout: 1s, failures: 2}\n"
	"metrics: []\n"
	"logs: []\n"
	"alerts: []\n"
	"operations:\n"
	"  info:\n"
	"    argv: [/usr/bin/redis-cli, -s, \"{run}/redis.sock\", info, \"{section}\"]\n"
	"    risk: observe\n"
	"    args: {section: {type: text, pattern: \"[a-z]+\", default: all, help: part}}\n"
	"    timeout: 10s\n"
	"    memory: 64mb\n"
	"    output: 64kb\n"
	"    help: facts\n"
	"  restart:\n"
	"    verb: restart\n"
	"    risk: change\n"
	"    args: {}\n"
	"    timeout: 60s\n"
	"    help: restart\n"
	"  flush:\n"
	"    argv: [/usr/bin/redis-cli, flushall]\n"
	"    risk: destroy\n"
	"    args: {}\n"
	"    timeout: 10s\n"
	"    memory: 64mb\n"
	"    output: 64kb\n"
	"    help: empty it\n"
	"  login:\n"
	"    argv: [/usr/bin/redis-cli, --passfile, \"{secret.password}\"]\n"
	"    risk: change\n"
	"    secrets: [password]\n"
	"    help: with the password\n"
	"  sweep:\n"
	"    argv: [/usr/bin/redis-cli, unlink, \"{prefix}\", \"{count}\"]\n"
	"    dry_run: [/usr/bin/redis-cli, --scan, \"{prefix}\"]\n"
	"    risk: change\n"
	"    args: {prefix: {type: text, pattern: \"[a-z]+\", default: tmp, help: of keys},\n"
	"      count: {type: int, min: 1, max: 9, default: 3, help: at most}}\n"
	"    timeout: 40s\n"
	"    memory: 64mb\n"
	"    output: 64kb\n"
	"    downtime: 5s\n"
	"    undo: none\n"
	"    help: drop keys\n"
	"  extra:\n"
	"    argv: [/usr/bin/redis-cli, extra]\n"
	"    risk: observe\n"
	"    args: {}\n"
	"    timeout: 10s\n"
	"    memory: 64mb\n"
	"    output: 64kb\n"
	"    help: never accepted\n"
	"secrets:\n"
	"  password: {bytes: 32, template: \"requirepass {value}\", help: of its clients}\n"
	"data: []\n";

struct fixture {
	struct scratch scratch;
	struct sshkey_signer *signers[N_PEOPLE];
	struct people *people;
	struct definition *definition;
	struct accepted *accepted;
	struct policy *policy;
};

/* --- people ----------------------------------------------------------------------------------- */
static json_t *
fixture_engineer(const char *name, enum person who, const char *role, const char *customer)
{
	return json_pack("{s:s, s:s, s:[s], s:[s], s:s, s:s}", "name", name, "key",
		fixture_public[who], "roles", role, "customers", customer, "not_before",
		"2026-11-01T00:00:00Z", "not_after", "2026-11-30T00:00:00Z");
}

/* Change a copy of the good document, or NULL for the good one. */
typedef void fixture_people_fn(json_t *doc);

static json_t *
fixture_people_doc(void)
{
	return json_pack("{s:i, s:i, s:s, s:[o, o], s:[], s:[]}", "v", 1, "version", 7, "expires",
		"2026-11-30T00:00:00Z", "engineers",
		fixture_engineer("ann", ANN, "support", "acme"),
		fixture_engineer("bob", BOB, "support", "other"), "officers", "revoked");
}

static UNUSED struct people *
fixture_people(fixture_people_fn *change)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
	SCOPED_JSON *doc = fixture_people_doc();
	struct people *people = NULL;

	if (change)
		change(doc);
	assert_int_equal(json_canonical(&b, doc), 0);
	assert_int_equal(people_read(&people, b.data, b.len), 0);
	return people;
}

/* --- policy ----------------------------------------------------------------------------------- */
static UNUSED struct policy *
fixture_policy(const char *yaml)
{
	struct policy *policy = NULL;
	SCOPED_JSON *doc = NULL;

	assert_int_equal(policy_compile(&doc, yaml, strlen(yaml), "policy.yaml"), 0);
	assert_int_equal(policy_from_json(&policy, doc), 0);
	return policy;
}

static UNUSED char *
fixture_policy_text(void)
{
	char *text = NULL;

	assert_true(asprintf(&text,
			    "v: 1\n"
			    "approvers: [{name: dora, key: %s}]\n"
			    "rules:\n"
			    "  - {services: [redis], operations: [info], decision: allow}\n"
			    "  - {risk: [change], decision: ask}\n"
			    "  - {risk: [destroy], decision: deny}\n",
			    fixture_public[DORA])
		> 0);
	return text;
}

/* --- requests --------------------------------------------------------------------------------- */
/* The good request; args NULL. */
static UNUSED struct request
fixture_request(const struct fixture *f)
{
	struct request q = {
		.id = "r-1",
		.site = "acme-1",
		.customer = "acme",
		.service = "redis",
		.instance = "redis",
		.operation = "info",
		.reason = "slow reads",
		.ticket = "C-17",
		.engineer = "ann",
		.people_version = 7,
		.not_before_us = FIXTURE_NOW - FIXTURE_HOUR,
		.expires_us = FIXTURE_NOW + FIXTURE_HOUR,
		.nonce = { 9, 9, 9 },
	};

	memcpy(q.epoch, fixture_epoch, sizeof(q.epoch));
	memcpy(q.definition, f->definition->digest, sizeof(q.definition));
	return q;
}

static UNUSED json_t *
fixture_seal_as(const struct fixture *f, enum message type, const json_t *payload, enum person who)
{
	json_t *envelope = NULL;

	assert_int_equal(envelope_seal_person(&envelope, type, payload, f->signers[who]), 0);
	return envelope;
}

static UNUSED json_t *
fixture_seal_json(const struct fixture *f, const json_t *payload, enum person who)
{
	return fixture_seal_as(f, MESSAGE_REQUEST, payload, who);
}

static UNUSED json_t *
fixture_seal(const struct fixture *f, const struct request *q, enum person who)
{
	SCOPED_JSON *payload = NULL;

	assert_int_equal(request_json(&payload, q), 0);
	return fixture_seal_json(f, payload, who);
}

/* --- all of it -------------------------------------------------------------------------------- */
static UNUSED void
fixture_open(struct fixture *f)
{
	static const char *const operations[] = { "info", "restart", "flush", "login", "sweep" };
	static const char *const names[N_PEOPLE] = { "ann", "bob", "cid", "dora" };
	SCOPED(scope_free) char *policy = NULL;
	char path[128];

	*f = (struct fixture){ 0 };
	clock_fake(FIXTURE_NOW, 1000);
	scratch_make(&f->scratch);
	for (unsigned i = 0; i < N_PEOPLE; i++) {
		const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
			names[i], NULL };

		assert_int_equal(scratch_run(&f->scratch, argv, NULL, 0, NULL), 0);
		(void)snprintf(path, sizeof(path), "%s/%s", f->scratch.path, names[i]);
		assert_int_equal(sshkey_signer_open(&f->signers[i], path), 0);
		sshkey_line(fixture_public[i], sshkey_signer_public(f->signers[i]));
	}
	f->people = fixture_people(NULL);
	assert_int_equal(definition_compile(&f->definition, fixture_service,
				 strlen(fixture_service), "service.yaml", f->scratch.fd),
		0);
	assert_int_equal(accepted_load(&f->accepted, f->scratch.fd), 0);
	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		uint8_t rights[32];

		assert_int_equal(definition_rights_digest(f->definition,
					 definition_operation(f->definition, operations[i]),
					 rights),
			0);
		assert_int_equal(accepted_add_operation(f->accepted, "redis", operations[i],
					 rights),
			0);
	}
	policy = fixture_policy_text();
	f->policy = fixture_policy(policy);
}

static UNUSED void
fixture_close(struct fixture *f)
{
	for (unsigned i = 0; i < N_PEOPLE; i++)
		sshkey_signer_free(f->signers[i]);
	people_free(f->people);
	definition_free(f->definition);
	accepted_free(f->accepted);
	policy_free(f->policy);
	scratch_remove(&f->scratch);
	clock_real();
}

/* The one of a program whose tests all stand on the same. */
static UNUSED struct fixture fx;

static UNUSED int
fixture_setup(void **state)
{
	(void)state;
	fixture_open(&fx);
	return 0;
}

static UNUSED int
fixture_teardown(void **state)
{
	(void)state;
	fixture_close(&fx);
	return 0;
}
