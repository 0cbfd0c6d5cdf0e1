/* Control verbs over the audit log:
 *
 *	audit.log    since kind from limit -> {"items":[{n time kind actor object digest reason}]}
 *	audit.head   -> {"size","root","cosigned","origin","key","witness","checkpoint"}
 *	audit.verify -> {"size","root","signed","erased","cosigned","cosigned_time","origin"} or the refusal
 *	audit.prove  n -> {"n","proof"} */
#pragma once

struct monitor;

int audit_verbs_init(struct monitor *m);
