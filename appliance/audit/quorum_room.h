/* A policy of witnesses from within: what quorum.c and quorum_parse.c share; nobody else includes it. */
#pragma once

#include "appliance/audit/quorum.h"

enum {
	QUORUM_NODES_MAX = QUORUM_WITNESSES_MAX + QUORUM_GROUPS_MAX,
	QUORUM_NONE = -1,
};

/* A witness or a group: they share their names. */
struct quorum_node {
	char name[NOTE_NAME_MAX];
	bool is_group, is_member;  /* is_member: of a group already */
	size_t witness;		   /* of a witness */
	size_t k, n;		   /* of a group */
	size_t members[QUORUM_NODES_MAX]; /* earlier nodes */
};

struct quorum {
	size_t n_logs, n_witnesses, n_groups, n_nodes;
	struct {
		struct note_key key;
		char url[QUORUM_URL_MAX];
	} logs[QUORUM_LOGS_MAX];
	struct quorum_witness witnesses[QUORUM_WITNESSES_MAX];
	struct quorum_node nodes[QUORUM_NODES_MAX];
	bool has_root;
	int root; /* a node, or QUORUM_NONE: nobody needs to have cosigned */
};
