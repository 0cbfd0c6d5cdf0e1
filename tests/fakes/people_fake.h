/* A people document in the hands of a test of the hub.  This header defines the calls of tuf/local.h itself, so a test
 * that includes it links no repository; include it in one file of a program. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/people.h"
#include "tests/fuzz/person.h"

/* Ada and bob have the roles and customers that people_fake_open() was given; eve is nobody. */
enum people_fake_who { ADA, BOB, EVE, N_PEOPLE };

static struct {
	struct person persons[N_PEOPLE];
	struct people *people;
} people_fake;

/* --- tuf/local.h, without a repository ---------------------------------------------------------------- */
int
tuf_local_open(struct tuf_local **ret, const char *repo, int own_fd)
{
	(void)repo;
	(void)own_fd;
	*ret = NULL;
	return 0;
}

struct tuf_local *
tuf_local_close(struct tuf_local *l)
{
	(void)l;
	return NULL;
}

int
tuf_local_refresh(struct tuf_local *l, uint64_t now_us)
{
	(void)l;
	(void)now_us;
	return 0;
}

struct tuf_client *
tuf_local_client(struct tuf_local *l)
{
	(void)l;
	return NULL;
}

int
tuf_local_people(struct tuf_local *l, uint64_t now_us, const struct people **ret)
{
	(void)l;
	(void)now_us;
	*ret = people_fake.people;
	return 0;
}

/* --- the document ------------------------------------------------------------------------------------- */
/* Ada and bob are engineers with this role for these customers (a JSON array), now and for a day. */
static inline void
people_fake_open(const char *role, const char *customers, uint64_t now_us)
{
	static const char *const names[] = { "ada", "bob" };
	json_t *list = json_loads(customers, 0, NULL);
	json_t *engineers = json_array();
	json_t *doc = json_pack("{s:i, s:i, s:o, s:[], s:[]}", "v", 1, "version", 7, "engineers",
		engineers, "officers", "revoked");
	char *text;

	assert_non_null(list);
	for (uint8_t i = 0; i < N_PEOPLE; i++)
		person_make(&people_fake.persons[i], (uint8_t)(i + 1));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *one = json_pack("{s:s, s:s, s:[s], s:O}", "name", names[i], "key",
			people_fake.persons[i].line, "roles", role, "customers", list);

		assert_int_equal(json_put_time(one, "not_before", now_us - CLOCK_US_PER_S), 0);
		assert_int_equal(json_put_time(one, "not_after", now_us + 86400 * CLOCK_US_PER_S),
			0);
		assert_int_equal(json_array_append_new(engineers, one), 0);
	}
	assert_int_equal(json_put_time(doc, "expires", now_us + 86400 * CLOCK_US_PER_S), 0);
	text = json_dumps(doc, 0);
	assert_int_equal(people_read(&people_fake.people, text, strlen(text)), 0);
	free(text);
	json_decref(doc);
	json_decref(list);
}

static inline void
people_fake_close(void)
{
	for (size_t i = 0; i < N_PEOPLE; i++)
		ed25519_free(people_fake.persons[i].key);
	people_free(people_fake.people);
	memset(&people_fake, 0, sizeof(people_fake));
}

/* Append the envelope of payload as that person signs it. */
static inline void
people_fake_seal(struct buf *out, enum message type, const json_t *payload,
	enum people_fake_who who)
{
	person_seal(&people_fake.persons[who], type, payload, out);
	assert_int_equal(buf_error(out), 0);
}
