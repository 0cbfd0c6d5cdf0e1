#include "appliance/audit/verify.h"

#include "appliance/audit/audit_load.h"
#include "appliance/audit/contents.h"
#include "appliance/base/fault.h"

static int
check_contents(struct verify_report *ret, int dir_fd, const struct audit_head *head,
	const struct audit_head *cosigned)
{
	SCOPED(contents_freep) struct contents *c = NULL;
	int r = contents_read(&c, dir_fd, head, cosigned, true);

	if (c) {
		struct edge_tree tree = { &c->edge, NULL };
		struct merkle_source s = edge_source(&tree);

		(void)merkle_root(&s, s.size, ret->root); /* all of it is in memory */
		ret->size = c->edge.size;
		ret->erased = c->erased;
		ret->bad_entry = c->bad;
		ret->bad_n = c->bad_n;
	}
	return FAULT(r);
}

int
verify_log(struct verify_report *ret, int dir_fd, const uint8_t audit_key[32],
	const struct note_key *witness)
{
	SCOPED(audit_head_done) struct audit_head head = { 0 }, cosigned = { 0 };
	int r;

	*ret = (struct verify_report){ 0 };
	r = audit_load_head(&head, dir_fd, AUDIT_LOAD_CHECKPOINT, audit_key);
	if (r == 0 && !head.present)
		return REFUSE(REASON_UNSIGNED, "audit log", "there is no checkpoint");
	if (r)
		return FAULT(r);
	ret->signed_size = head.checkpoint.size;
	memcpy(ret->origin, head.checkpoint.origin, sizeof(ret->origin));
	r = audit_load_head(&cosigned, dir_fd, AUDIT_LOAD_COSIGNED, audit_key);
	r = r ?: check_contents(ret, dir_fd, &head, &cosigned);
	if (r == 0 && cosigned.present && witness)
		r = note_verify(cosigned.note, witness, &ret->cosigned_time_s);
	if (r == 0 && cosigned.present)
		ret->cosigned = cosigned.checkpoint.size;
	return FAULT(r);
}
