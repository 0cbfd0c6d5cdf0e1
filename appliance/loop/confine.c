#include "appliance/loop/confine.h"

#include <errno.h>
#include <stdbool.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

/* All that a parser needs that has its input and output open already. */
static const int judge_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup),
	SCMP_SYS(fcntl),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(brk),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mprotect),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(memfd_create),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(tgkill),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(sched_yield),
	SCMP_SYS(prlimit64),
	SCMP_SYS(sched_getaffinity),
};

/* What no daemon of ours ever calls: whoever does is not ours any more. */
static const int deadly_calls[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
};

/* What a library may try and can do without. */
static const int denied_calls[] = {
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(setns),
	SCMP_SYS(chroot),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(quotactl),
	SCMP_SYS(kcmp),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(personality),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(unshare),
};

/* Asks about the clock, and with CAP_SYS_TIME sets it. */
static const int clock_calls[] = { SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex) };

static void
release_filter(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
	*ctx = NULL;
}

static int
add_rules(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(ctx, action, calls[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Calls into a new user namespace would open much of the kernel to an ordinary user. */
static int
add_clone_rules(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp flag = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER);
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, flag);

	/* clone3 hides its flags behind a pointer: without it, libc falls back to clone. */
	return r < 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int
add_daemon_rules(scmp_filter_ctx ctx, bool inet, bool clock)
{
	const struct scmp_arg_cmp not_unix = SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0);
	int r = add_rules(ctx, SCMP_ACT_KILL_PROCESS, deadly_calls, ARRAY_LEN(deadly_calls));

	r = r < 0 ? r
		  : add_rules(ctx, SCMP_ACT_ERRNO(EPERM), denied_calls, ARRAY_LEN(denied_calls));
	r = r < 0 ? r : add_clone_rules(ctx);
	if (r == 0 && !clock)
		r = add_rules(ctx, SCMP_ACT_ERRNO(EPERM), clock_calls, ARRAY_LEN(clock_calls));
	if (r < 0 || inet)
		return r;
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, not_unix);
}

#if defined(__SANITIZE_ADDRESS__)
/* The leak checker traces its own process at the end, which no filter of ours lets anybody do: a confined process
 * of a sanitised build is not asked. */
static bool entered;
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return entered;
}
#endif

int
confine_enter(enum confine_profile profile)
{
	bool narrow = profile == CONFINE_JUDGE || profile == CONFINE_SHOW;
	uint32_t otherwise = narrow ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW;
	SCOPED(release_filter) scmp_filter_ctx ctx = seccomp_init(otherwise);
	int r;

	if (!ctx)
		return FAULT(-ENOMEM);
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 1);
	if (r == 0 && narrow) {
		r = add_rules(ctx, SCMP_ACT_KILL_PROCESS, deadly_calls, ARRAY_LEN(deadly_calls));
		r = r < 0 ? r : add_rules(ctx, SCMP_ACT_ALLOW, judge_calls, ARRAY_LEN(judge_calls));
		if (r == 0 && profile == CONFINE_SHOW)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(accept4), 0);
	} else if (r == 0) {
		r = add_daemon_rules(ctx, profile == CONFINE_DAEMON, profile == CONFINE_COLLECT);
	}
	if (r < 0)
		return FAULT(r);
	r = seccomp_load(ctx);
	if (r == -ENOMEM)
		return FAULT(r);
	if (r < 0)
		return REFUSE(REASON_NO_SANDBOX, "seccomp",
			"the kernel does not take the filter: %s",
			strerrordesc_np(-r) ?: "unknown error");
#if defined(__SANITIZE_ADDRESS__)
	entered = true;
#endif
	return 0;
}

int
confine_dumpable(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return FAULT(-errno);
	return 0;
}
