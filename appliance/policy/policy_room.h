/* What policy.c and policy_read.c share. */
#pragma once

#include "appliance/policy/hours.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_form.h"

enum { POLICY_LISTS = POLICY_FORM_HOURS + 1 };

#define POLICY_EVERYTHING "*"

/* A list of words that a question is held against; absent: matches everything. */
struct policy_list {
	bool given;
	size_t n;
	const char **words; /* owned array, words borrowed from the document */
};

struct policy_rule {
	struct policy_list
		lists[POLICY_LISTS]; /* services, operations, risk, roles, engineers, hours */
	struct policy_list approvers;
	unsigned need; /* of an asking rule: how many must approve; else 0 */
	struct hours *hours; /* lists[POLICY_FORM_HOURS].n of them; owned */
	enum policy_decision decision;
};

struct policy {
	json_t *doc; /* owned; everything below borrows from it */
	uint8_t digest[32];
	struct policy_rule *rules;
	size_t n_rules;
	struct policy_approver *approvers;
	size_t n_approvers;
	struct policy_list owners;
	unsigned k;
	struct policy_list notify;
	const json_t *classes, *windows;
};

bool policy_list_has(const struct policy_list *l, const char *word);

/* Append what a rule is about, in words: "info or ping of redis, by any approver". */
void policy_rule_words(struct buf *b, const struct policy_rule *r);
