#include "appliance/audit/verify.h"

#include "appliance/audit/audit_load.h"
#include "appliance/base/fault.h"

static int
check_cosigned(struct verify_report *ret, struct audit_load *l, int dir_fd,
	const struct audit_head *cosigned, const struct note_key *witness)
{
	int r;

	if (!cosigned->present)
		return 0;
	r = audit_load_compare(l, dir_fd, cosigned, AUDIT_LOAD_COSIGNED);
	if (r == 0 && witness)
		r = note_verify(cosigned->note, witness, &ret->cosigned_time_s);
	if (r == 0)
		ret->cosigned = cosigned->checkpoint.size;
	return FAULT(r);
}

static int
check_heads(struct verify_report *ret, struct audit_load *l, int dir_fd,
	const uint8_t audit_key[32], const struct note_key *witness)
{
	SCOPED(audit_head_done) struct audit_head head = { 0 }, cosigned = { 0 };
	int r;

	r = audit_load_head(&head, dir_fd, AUDIT_LOAD_CHECKPOINT, audit_key);
	if (r == 0 && !head.present)
		return REFUSE(REASON_UNSIGNED, "audit log", "there is no checkpoint");
	if (r)
		return FAULT(r);
	ret->signed_size = head.checkpoint.size;
	memcpy(ret->origin, head.checkpoint.origin, sizeof(ret->origin));
	r = audit_load_compare(l, dir_fd, &head, AUDIT_LOAD_CHECKPOINT);
	r = r ?: audit_load_head(&cosigned, dir_fd, AUDIT_LOAD_COSIGNED, audit_key);
	return FAULT(r ?: check_cosigned(ret, l, dir_fd, &cosigned, witness));
}

int
verify_log(struct verify_report *ret, int dir_fd, const uint8_t audit_key[32],
	const struct note_key *witness)
{
	SCOPED(audit_load_done) struct audit_load l = { 0 };
	int r;

	*ret = (struct verify_report){ 0 };
	r = audit_load_entries(&l, dir_fd);
	if (l.tree) {
		ret->size = merkle_size(l.tree);
		merkle_root(l.tree, ret->size, ret->root);
	}
	r = r ?: check_heads(ret, &l, dir_fd, audit_key, witness);
	ret->bad_entry = l.bad;
	ret->bad_n = l.bad_n;
	return FAULT(r);
}
