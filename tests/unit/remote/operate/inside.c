/* What an operation finds when it tries: each profile from inside, by this very program, which the worker runs in the sandbox
 * (as "--inside PROBE...").  The tree is a release's of nothing but it and its libraries; the user is one without rights. */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/supervise/group.h"
#include "remote/operate/fence.h"
#include "remote/operate/job.h"
#include "remote/operate/worker.h"
#include "tests/fakes/scratch.h"

enum { NOBODY_UID = 61183, OUTPUT_MAX = 1 << 20, NAME = 80 };

/* What the world outside holds, for those inside to try: given on the command line. */
struct outside {
	const char *state; /* the folder of Mainstay's state on the host */
	pid_t pid;	   /* a process */
	unsigned port;	   /* a port of loopback that somebody listens on */
};

/* --- probes: each returns 0, or the errno that it met ------------------------------------------------------------ */
static int
result(long r)
{
	return r < 0 ? errno : 0;
}

static int
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	return result(write(fd, "x", 1)) ?: result(close(fd));
}

static int
open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

static int
of_state(const struct outside *o, const char *name, int flags)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", o->state, name);
	return open_file(path, flags);
}

static int
connect_unix(const char *name, size_t len)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return errno;
	memcpy(a.sun_path, name, len);
	r = result(connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)));
	(void)close(fd);
	return r;
}

static int
connect_inet(uint32_t address, unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(address) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return errno;
	r = result(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	(void)close(fd);
	return r;
}

static int
make_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

#define PROBE(name, expression)                                                                                        \
	static int name(const struct outside *o)                                                                       \
	{                                                                                                              \
		(void)o;                                                                                               \
		return (expression);                                                                                   \
	}

PROBE(write_tree, make_file("/bin/x"))
PROBE(write_root, make_file("/x"))
PROBE(write_etc, make_file("/etc/x"))
PROBE(write_passwd, open_file("/etc/passwd", O_WRONLY))
PROBE(write_run, make_file("/run/x"))
PROBE(write_run_service, make_file("/run/service/x"))
PROBE(write_dev, make_file("/dev/x"))
PROBE(write_proc, open_file("/proc/sys/kernel/core_pattern", O_WRONLY))
/* Not every kernel has it. */
PROBE(write_sysrq, open_file("/proc/sysrq-trigger", O_WRONLY) ? EACCES : 0)
PROBE(write_data, make_file("/data/x"))
PROBE(read_data, open_file("/data", O_RDONLY))
PROBE(write_conf, make_file("/conf/x"))
PROBE(write_tmp, make_file("/tmp/x"))
PROBE(see_sys, open_file("/sys", O_RDONLY))
PROBE(see_home, open_file("/root", O_RDONLY))
PROBE(see_state, open_file(o->state, O_RDONLY))
PROBE(see_others_data, of_state(o, "lib/services/other/data/file", O_RDONLY))
PROBE(see_others_secret, of_state(o, "lib/services/other/secrets/word", O_RDONLY))
PROBE(see_own_secrets, open_file("/run/secrets", O_RDONLY))
PROBE(see_monitor, of_state(o, "lib/monitor/site.key", O_RDONLY))
PROBE(see_store, of_state(o, "lib/store", O_RDONLY))
PROBE(see_supervisor, connect_unix("/run/mainstay/control.sock", sizeof("/run/mainstay/control.sock")))
PROBE(see_parent_root, open_file("/proc/1/root/../../etc/shadow", O_RDONLY))
PROBE(see_bus, connect_unix("/run/dbus/system_bus_socket", sizeof("/run/dbus/system_bus_socket")))

PROBE(do_ptrace, result(ptrace(PTRACE_ATTACH, o->pid, NULL, NULL)))
PROBE(do_vm_read, result(process_vm_readv(o->pid, NULL, 0, NULL, 0, 0)))
PROBE(do_kill, result(kill(o->pid, 0)))
PROBE(do_pidfd, result(syscall(SYS_pidfd_open, o->pid, 0)))
PROBE(do_kcmp, result(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0)))

PROBE(do_loopback, connect_inet(INADDR_LOOPBACK, o->port))
PROBE(do_internet, connect_inet(0xc0000201, 80))
PROBE(do_packet, make_socket(AF_PACKET, SOCK_DGRAM))
PROBE(do_vsock, make_socket(AF_VSOCK, SOCK_STREAM))
PROBE(do_raw, make_socket(AF_INET, SOCK_RAW))
PROBE(do_alg, make_socket(AF_ALG, SOCK_SEQPACKET))
PROBE(do_bluetooth, make_socket(AF_BLUETOOTH, SOCK_RAW))
PROBE(do_abstract, connect_unix("\0mainstay-test-abstract", sizeof("\0mainstay-test-abstract") - 1))

PROBE(do_mount, result(mount("none", "/tmp", "tmpfs", 0, NULL)))
PROBE(do_remount, result(mount(NULL, "/", NULL, MS_REMOUNT, NULL)))
PROBE(do_umount, result(umount2("/proc", MNT_DETACH)))
PROBE(do_fsopen, result(syscall(SYS_fsopen, "tmpfs", 0)))
PROBE(do_open_tree, result(syscall(SYS_open_tree, AT_FDCWD, "/", 1)))
PROBE(do_unshare_user, result(unshare(CLONE_NEWUSER)))
PROBE(do_unshare_mounts, result(unshare(CLONE_NEWNS)))
PROBE(do_clone_user, result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL)))
PROBE(do_clone3, result(syscall(SYS_clone3, NULL, 0)))
PROBE(do_setns, result(setns(0, 0)))
PROBE(do_chroot, result(chroot("/tmp")))
PROBE(do_pivot, result(syscall(SYS_pivot_root, "/", "/tmp")))
PROBE(do_keyctl, result(syscall(SYS_keyctl, 0, -3, 0)))
PROBE(do_add_key, result(syscall(SYS_add_key, "user", "x", "y", 1, -3)))
PROBE(do_bpf, result(syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0)))
PROBE(do_perf, result(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)))
PROBE(do_io_uring, result(syscall(SYS_io_uring_setup, 1, NULL)))
PROBE(do_userfaultfd, result(syscall(SYS_userfaultfd, 0)))
PROBE(do_handle, result(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0)))
PROBE(do_pidfd_getfd, result(syscall(SYS_pidfd_getfd, 0, 0, 0)))
PROBE(do_personality, result(syscall(SYS_personality, 0xffffffff)))
PROBE(do_clock, result(settimeofday(&(struct timeval){ .tv_sec = 1 }, NULL)))
PROBE(do_hostname, result(sethostname("x", 1)))
PROBE(do_reboot, result(syscall(SYS_reboot, 0, 0, 0, NULL)))
PROBE(do_module, result(syscall(SYS_finit_module, 0, "", 0)))
PROBE(do_syslog, result(syscall(SYS_syslog, 3, NULL, 0)))
PROBE(do_tiocsti, result(ioctl(0, TIOCSTI, "x")))
PROBE(do_tioclinux, result(ioctl(0, TIOCLINUX, "\2")))
PROBE(do_mknod, result(mknod("/tmp/null", S_IFCHR | 0666, makedev(1, 3))))
PROBE(see_memory, open_file("/dev/mem", O_RDONLY))
PROBE(see_kmsg, open_file("/dev/kmsg", O_RDONLY))
PROBE(see_disk, open_file("/dev/sda", O_RDONLY))
PROBE(see_fuse, open_file("/dev/fuse", O_RDWR))
PROBE(do_setuid, result(setresuid(0, 0, 0)))
PROBE(do_setgroups, result(syscall(SYS_setgroups, 1, &(gid_t){ 0 })))
PROBE(has_privileges, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? EPERM : 0)
PROBE(has_capabilities, prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0 && prctl(PR_CAPBSET_READ, 21, 0, 0, 0) == 0 ? EPERM : 0)

/* Of all that /proc shows: only us. */
static int
sees_others(const struct outside *o)
{
	SCOPED(scope_closedir) DIR *dir = opendir("/proc");
	const struct dirent *e;
	int n = 0;

	(void)o;
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
	return n == 1 && getpid() == 1 ? ESRCH : 0;
}

/* A file with the setuid bit, made here: nobody gets its owner's rights by it, and it is ours anyway. */
static int
is_setuid_heeded(const struct outside *o)
{
	struct stat st;

	(void)o;
	if (stat("/bin/inside", &st) < 0 || !(st.st_mode & S_ISUID))
		return ENOENT; /* the test's own mistake */
	return geteuid() == getuid() ? EPERM : 0;
}

static int
has_descriptors(const struct outside *o)
{
	(void)o;
	for (int fd = 3; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 0;
	return EBADF;
}

#ifdef __x86_64__
/* The numbers of 32-bit programs are other ones: none may be used to get round the filter. */
static int
do_int80(const struct outside *o)
{
	int status = 0;
	pid_t pid = fork();

	(void)o;
	if (pid == 0) {
		long r;

		__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");
		_exit(r > 0 ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV) ? EPERM : 0;
}

static int
do_x32(const struct outside *o)
{
	int status = 0;
	pid_t pid = fork();

	(void)o;
	if (pid == 0)
		_exit(syscall(0x40000000 | SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0 ? 0 : errno == ENOSYS || errno == EPERM ? 2 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFSIGNALED(status) || WEXITSTATUS(status) == 2 ? EPERM : 0;
}
#endif

/* --- the table --------------------------------------------------------------------------------------------------- */
enum profile { OBSERVE, CHANGE, DESTROY, DESTROY_DATA, DESTROY_NETWORK, PROFILES };

static const struct {
	const char *name;
	enum operate_profile profile;
	uint32_t declared;
} profiles[PROFILES] = {
	[OBSERVE] = { "observe", OPERATE_OBSERVE, 7 }, /* it may declare what it likes */
	[CHANGE] = { "change", OPERATE_CHANGE, 7 },
	[DESTROY] = { "destroy, nothing declared", OPERATE_DESTROY, 0 },
	[DESTROY_DATA] = { "destroy, data", OPERATE_DESTROY, OPERATE_MAY_DATA },
	[DESTROY_NETWORK] = { "destroy, the network", OPERATE_DESTROY, OPERATE_MAY_NETWORK },
};

#define ALL(e) { e, e, e, e, e }

static const struct probe {
	const char *name;
	int (*fn)(const struct outside *o);
	int want[PROFILES]; /* errno; 0: it may */
} probes[] = {
	{ "write into the release's tree", write_tree, ALL(EROFS) },
	{ "write into the root folder", write_root, ALL(EROFS) },
	{ "write into /etc", write_etc, ALL(EROFS) },
	{ "write /etc/passwd", write_passwd, ALL(EACCES) },
	{ "write into /run", write_run, ALL(EROFS) },
	{ "write into the run folder", write_run_service, ALL(EROFS) },
	{ "write into /dev", write_dev, ALL(EROFS) },
	{ "write the kernel's settings", write_proc, ALL(EACCES) },
	{ "write to sysrq", write_sysrq, ALL(EACCES) },
	{ "write data", write_data, { ENOENT, 0, ENOENT, 0, ENOENT } },
	{ "read data", read_data, { ENOENT, 0, ENOENT, 0, ENOENT } },
	{ "write conf", write_conf, { ENOENT, 0, ENOENT, ENOENT, ENOENT } },
	{ "write a private /tmp", write_tmp, ALL(0) },
	{ "see /sys", see_sys, ALL(ENOENT) },
	{ "see a home folder", see_home, ALL(ENOENT) },
	{ "see Mainstay's state", see_state, ALL(ENOENT) },
	{ "see another service's data", see_others_data, ALL(ENOENT) },
	{ "see another service's secret", see_others_secret, ALL(ENOENT) },
	{ "see secrets that it was not given", see_own_secrets, ALL(ENOENT) },
	{ "see the monitor's keys", see_monitor, ALL(ENOENT) },
	{ "see the store", see_store, ALL(ENOENT) },
	{ "see the control socket", see_supervisor, ALL(ENOENT) },
	{ "see the host's bus", see_bus, ALL(ENOENT) },
	{ "leave its root", see_parent_root, ALL(ENOENT) },
	{ "trace a process", do_ptrace, ALL(EPERM) },
	{ "read a process's memory", do_vm_read, ALL(EPERM) },
	{ "signal a process", do_kill, ALL(ESRCH) },
	{ "hold a process", do_pidfd, ALL(ESRCH) },
	{ "compare processes", do_kcmp, ALL(EPERM) },
	{ "see another process", sees_others, ALL(ESRCH) },
	{ "connect to the host's loopback", do_loopback, { ECONNREFUSED, ECONNREFUSED, ECONNREFUSED, ECONNREFUSED, 0 } },
	{ "connect to an abstract socket of the host", do_abstract, { ECONNREFUSED, ECONNREFUSED, ECONNREFUSED, ECONNREFUSED, 0 } },
	{ "have a packet socket", do_packet, ALL(EPERM) },
	{ "have a socket of virtual machines", do_vsock, ALL(EPERM) },
	{ "have a raw socket", do_raw, ALL(EPERM) },
	{ "have a socket of the kernel's cryptography", do_alg, ALL(EPERM) },
	{ "have a Bluetooth socket", do_bluetooth, ALL(EPERM) },
	{ "mount", do_mount, ALL(EPERM) },
	{ "mount again", do_remount, ALL(EPERM) },
	{ "unmount", do_umount, ALL(EPERM) },
	{ "open a file system", do_fsopen, ALL(EPERM) },
	{ "take a tree of mounts", do_open_tree, ALL(EPERM) },
	{ "make a namespace of users", do_unshare_user, ALL(EPERM) },
	{ "make a namespace of mounts", do_unshare_mounts, ALL(EPERM) },
	{ "begin a process in one", do_clone_user, ALL(EPERM) },
	{ "begin a process as the filter cannot see", do_clone3, ALL(ENOSYS) },
	{ "enter a namespace", do_setns, ALL(EPERM) },
	{ "change its root", do_chroot, ALL(EPERM) },
	{ "turn its root", do_pivot, ALL(EPERM) },
	{ "use the kernel's keys", do_keyctl, ALL(EPERM) },
	{ "give the kernel a key", do_add_key, ALL(EPERM) },
	{ "load a program into the kernel", do_bpf, ALL(EPERM) },
	{ "watch events of the processor", do_perf, ALL(EPERM) },
	{ "use io_uring", do_io_uring, ALL(EPERM) },
	{ "handle page faults", do_userfaultfd, ALL(EPERM) },
	{ "open by handle", do_handle, ALL(EPERM) },
	{ "take another process's descriptor", do_pidfd_getfd, ALL(EPERM) },
	{ "change its personality", do_personality, ALL(EPERM) },
	{ "set the clock", do_clock, ALL(EPERM) },
	{ "set the host's name", do_hostname, ALL(EPERM) },
	{ "reboot", do_reboot, ALL(EPERM) },
	{ "load a module", do_module, ALL(EPERM) },
	{ "read the kernel's log", do_syslog, ALL(EPERM) },
	{ "type into a terminal", do_tiocsti, ALL(EPERM) },
	{ "paste into a console", do_tioclinux, ALL(EPERM) },
	{ "make a device", do_mknod, ALL(EPERM) },
	{ "open the memory", see_memory, ALL(ENOENT) },
	{ "open the kernel's messages", see_kmsg, ALL(ENOENT) },
	{ "open a disk", see_disk, ALL(ENOENT) },
	{ "open FUSE", see_fuse, ALL(ENOENT) },
	{ "become root", do_setuid, ALL(EINVAL) }, /* no such user in its namespace */
	{ "join a group", do_setgroups, ALL(EPERM) },
	{ "gain rights", has_privileges, ALL(EPERM) },
	{ "have a capability", has_capabilities, ALL(EPERM) },
	{ "gain rights by a setuid program", is_setuid_heeded, ALL(EPERM) },
	{ "find a descriptor left open", has_descriptors, ALL(EBADF) },
	{ "connect to the internet", do_internet, { ENETUNREACH, ENETUNREACH, ENETUNREACH, ENETUNREACH, -1 } }, /* -1: as the host can */
#ifdef __x86_64__
	{ "use the numbers of 32-bit calls", do_int80, ALL(EPERM) },
	{ "use the numbers of x32 calls", do_x32, ALL(EPERM) },
#endif
};

/* --- floods: what they say ----------------------------------------------------------------------------------------- */
__attribute__((format(printf, 1, 2))) static void
say(const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)!write(STDOUT_FILENO, text, (size_t)n);
}

static void
flood_processes(void)
{
	int n = 0;

	for (; n < 10000; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)pause();
			_exit(0);
		}
		if (pid < 0)
			break;
	}
	say("%d processes, then %s\n", n, strerrorname_np(errno));
}

static void
flood_memory(void)
{
	size_t n = 0;

	for (; n < 4096; n++) {
		void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			break;
		memset(p, 1, 1 << 20);
	}
	say("%zu MiB, then %s\n", n, strerrorname_np(errno));
}

static void
flood_file(const char *path)
{
	static char block[1 << 20];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t n = 0;

	memset(block, 1, sizeof(block));
	while (n < 1024 && write(fd, block, sizeof(block)) == sizeof(block))
		n++;
	say("%zu MiB, then %s\n", n, strerrorname_np(errno));
}

static void
flood_output(void)
{
	static char block[1 << 16];

	for (;;)
		if (write(STDOUT_FILENO, block, sizeof(block)) < 0)
			_exit(1);
}

static void
spin(void)
{
	for (volatile unsigned long n = 0;; n = n + 1)
		;
}

/* Forked twice, deaf to SIGTERM, with outputs of their own: whatever stays when the operation is gone. */
static void
leave_behind(void)
{
	(void)signal(SIGTERM, SIG_IGN);
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			(void)setsid();
			if (fork() == 0) {
				(void)close(STDOUT_FILENO);
				(void)close(STDERR_FILENO);
				spin();
			}
			_exit(0);
		}
	say("left\n");
}

static int
inside(int argc, char **argv)
{
	struct outside o;

	if (argc == 3) {
		const char *what = argv[2];

		if (strcmp(what, "processes") == 0)
			flood_processes();
		else if (strcmp(what, "memory") == 0)
			flood_memory();
		else if (strcmp(what, "output") == 0)
			flood_output();
		else if (strcmp(what, "spin") == 0)
			spin();
		else if (strcmp(what, "leave") == 0)
			leave_behind();
		else if (strcmp(what, "leave-and-wait") == 0) {
			leave_behind();
			(void)pause();
		} else
			flood_file(what);
		return 0;
	}
	o = (struct outside){ argv[2], (pid_t)strtol(argv[3], NULL, 10), (unsigned)strtoul(argv[4], NULL, 10) };
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		say("%s\t%d\n", probes[i].name, probes[i].fn(&o));
	return 0;
}

/* --- outside --------------------------------------------------------------------------------------------------------- */
struct bench {
	struct scratch s;
	char tree[512];
	uid_t uid;
	struct operate_job job;
	struct fence fence;
	int abstract, loopback;
	unsigned port;
	struct buf out;
	struct operate_result result;
	uint64_t took_us;
};

/* To the same place below the tree, with its folders. */
static void
copy_in(struct bench *b, const char *from, const char *to, mode_t mode)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(64 << 20);
	SCOPED(scope_close) int dir = -1;
	SCOPED(scope_close) int fd = open(from, O_RDONLY | O_CLOEXEC); /* libraries are links */
	char path[600];
	char *slash;

	(void)snprintf(path, sizeof(path), "%s%s", b->tree, to);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(fs_open_dir(&dir, -1, path, 0755), 0);
	if (faccessat(dir, slash + 1, F_OK, 0) == 0)
		return;
	assert_int_equal(fs_read_fd(fd, text.max, &text), 0);
	assert_int_equal(fs_replace(dir, slash + 1, text.data, text.len, mode), 0);
	assert_int_equal(fchmodat(dir, slash + 1, mode, 0), 0);
}

/* Where the loader looks in there: /lib is a link to /usr/lib. */
static int
copy_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	char to[600];

	(void)size;
	if (info->dlpi_name[0] != '/' || strncmp(info->dlpi_name, "/lib64/", 7) == 0)
		return 0; /* this program, what the kernel brings, and the loader */
	(void)snprintf(to, sizeof(to), "%s%s", strncmp(info->dlpi_name, "/lib/", 5) == 0 ? "/usr" : "", info->dlpi_name);
	copy_in(arg, info->dlpi_name, to, 0755);
	return 0;
}

/* A release of nothing but this program: it, and what it is linked with. */
static void
make_tree(struct bench *b)
{
	static const char loader[] = "/lib64/ld-linux-x86-64.so.2";
	char link[600];

	(void)snprintf(b->tree, sizeof(b->tree), "%s/tree", b->s.path);
	copy_in(b, "/proc/self/exe", "/bin/inside", 04755);
	(void)dl_iterate_phdr(copy_library, b);
	if (access(loader, F_OK) == 0)
		copy_in(b, loader, loader, 0755);
	(void)snprintf(link, sizeof(link), "%s/lib", b->tree);
	assert_int_equal(symlink("usr/lib", link), 0);
}

static int
listen_on(int family, const struct sockaddr *a, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, a, len) < 0 || listen(fd, 4) < 0)
		return -1;
	return fd;
}

/* Somebody on the host's loopback, and on a name that belongs to its network. */
static void
make_listeners(struct bench *b)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	static const char name[] = "\0mainstay-test-abstract";
	socklen_t len = sizeof(in);

	memcpy(un.sun_path, name, sizeof(name) - 1);
	b->loopback = listen_on(AF_INET, (struct sockaddr *)&in, sizeof(in));
	b->abstract = listen_on(AF_UNIX, (struct sockaddr *)&un,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name) - 1));
	assert_true(b->loopback >= 0 && b->abstract >= 0);
	assert_int_equal(getsockname(b->loopback, (struct sockaddr *)&in, &len), 0);
	b->port = ntohs(in.sin_port);
}

static void
make_state(struct bench *b)
{
	static const char *const folders[] = { "state/lib/services/other/data", "state/lib/services/other/secrets",
		"state/lib/monitor", "state/lib/store", "run", "data", "conf" };
	static const char *const files[] = { "state/lib/services/other/data/file", "state/lib/services/other/secrets/word",
		"state/lib/monitor/site.key" };
	SCOPED(scope_close) int fd = -1;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		scope_close(&fd);
		assert_int_equal(fs_open_dir(&fd, b->s.fd, folders[i], 0755), 0);
		assert_int_equal(fchown(fd, b->uid, (gid_t)b->uid), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		scratch_put(&b->s, files[i], "x", 1);
}

static int
set_up(void **state)
{
	static struct bench b;

	b = (struct bench){ .out = BUF_MAX(OUTPUT_MAX), .uid = geteuid() == 0 ? NOBODY_UID : geteuid() };
	scratch_make(&b.s);
	assert_int_equal(fchmod(b.s.fd, 0755), 0);
	make_tree(&b);
	make_state(&b);
	make_listeners(&b);
	*state = &b;
	return 0;
}

static int
tear_down(void **state)
{
	struct bench *b = *state;

	(void)close(b->loopback);
	(void)close(b->abstract);
	buf_done(&b->out);
	scratch_remove(&b->s);
	return 0;
}

static void
make_job(struct bench *b, enum operate_profile profile, uint32_t declared)
{
	b->fence = (struct fence){ .kills = -1, .refusals = -1, .cpu = -1 };
	b->job = (struct operate_job){ .profile = profile,
		.declared = declared,
		.uid = b->uid,
		.timeout_ms = 20000,
		.output = OUTPUT_MAX };
	(void)snprintf(b->job.tree, sizeof(b->job.tree), "%s", b->tree);
	(void)snprintf(b->job.run, sizeof(b->job.run), "%s/run", b->s.path);
	(void)snprintf(b->job.data, sizeof(b->job.data), "%s/data", b->s.path);
	(void)snprintf(b->job.conf, sizeof(b->job.conf), "%s/conf", b->s.path);
}

/* As mainstay-operate is: another process, of the service's user. */
static void
be_worker(struct bench *b, int sock, char *const *args)
{
	static char program[] = "/bin/inside", word[] = "--inside";
	struct operate_result end;
	size_t n = 0;
	int r;

	b->job.argv[n++] = program;
	b->job.argv[n++] = word;
	while (*args)
		b->job.argv[n++] = *args++;
	b->job.argv[n] = NULL;
	if (geteuid() != b->uid && (setresgid(b->uid, b->uid, b->uid) < 0 || setresuid(b->uid, b->uid, b->uid) < 0))
		_exit(1);
	r = worker_run(&b->job, &b->fence, sock, -1, &end);
	_exit(r == 0 && operate_result_send(sock, &end) == 0 ? 0 : 2);
}

static void
run(struct bench *b, char *const *args)
{
	uint64_t begun = clock_mono_us();
	int socks[2], status = -1;
	pid_t pid;

	assert_int_equal(frame_pair(socks), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(socks[0]);
		be_worker(b, socks[1], args);
	}
	(void)close(socks[1]);
	buf_reset(&b->out);
	for (bool over = false; !over;) {
		SCOPED(frame_done) struct frame f = { 0 };
		struct operate_output o;

		assert_int_equal(frame_recv_wait(socks[0], &f, 60000), 0);
		over = f.type != OPERATE_OUTPUT;
		if (over)
			assert_int_equal(operate_answer_take(&f, &b->result), 0);
		else if (operate_output_take(&f, &o) == 0)
			buf_put(&b->out, o.bytes, o.len);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(socks[0]);
	b->took_us = clock_mono_us() - begun;
}

static void
run_one(struct bench *b, const char *what)
{
	char word[64];
	char *args[] = { word, NULL };

	(void)snprintf(word, sizeof(word), "%s", what);
	run(b, args);
}

/* Every probe was answered, and as its row says. */
static void
compare(const struct bench *b, enum profile p)
{
	const char *at = buf_text(&b->out);
	unsigned wrong = 0;

	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		char *end = strchr(at, '\t');
		int got;

		if (!end || (size_t)(end - at) != strlen(probes[i].name) || strncmp(at, probes[i].name, (size_t)(end - at)) != 0)
			fail_msg("%s: no word of \"%s\": %.200s", profiles[p].name, probes[i].name, at);
		got = (int)strtol(end + 1, &end, 10);
		at = end + 1;
		if (probes[i].want[p] < 0 || got == probes[i].want[p])
			continue;
		print_error("%s: %s: %s, not %s\n", profiles[p].name, probes[i].name, got ? strerrorname_np(got) : "it may",
			probes[i].want[p] ? strerrorname_np(probes[i].want[p]) : "it may");
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* What runs inside is this very program, and a sanitiser's memory, threads and ptrace() are not for a sandbox. */
static void
needs_itself_bare(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip();
#endif
}

static void
each_profile_from_inside(void **state)
{
	struct bench *b = *state;
	char folder[128], pid[32], port[32];
	char *args[] = { folder, pid, port, NULL };

	needs_itself_bare();
	(void)snprintf(folder, sizeof(folder), "%s/state", b->s.path);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)snprintf(port, sizeof(port), "%u", b->port);
	for (enum profile p = 0; p < PROFILES; p++) {
		make_job(b, profiles[p].profile, profiles[p].declared);
		run(b, args);
		compare(b, p);
		assert_int_equal(b->result.outcome, OPERATE_OK);
	}
}

static void
a_flood_of_processes(void **state)
{
	struct bench *b = *state;

	needs_itself_bare();
	make_job(b, OPERATE_OBSERVE, 0);
	b->job.processes = 16;
	run_one(b, "processes");
	assert_string_equal(buf_text(&b->out), "15 processes, then EAGAIN\n");
	assert_int_equal(b->result.outcome, OPERATE_OK);
	assert_true(b->took_us < 5 * CLOCK_US_PER_S);
}

static void
a_flood_of_memory(void **state)
{
	struct bench *b = *state;
	long mib;

	needs_itself_bare();
	make_job(b, OPERATE_OBSERVE, 0);
	b->job.memory = 96 << 20;
	run_one(b, "memory");
	mib = strtol(buf_text(&b->out), NULL, 10);
	assert_true(mib > 16 && mib < 96);
	assert_non_null(strstr(buf_text(&b->out), "then ENOMEM"));
}

static void
floods_of_private_folders(void **state)
{
	static const struct {
		const char *file;
		long most; /* MiB */
	} rows[] = { { "/tmp/x", 64 }, { "/dev/shm/x", 256 } };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		make_job(b, OPERATE_OBSERVE, 0);
		run_one(b, rows[i].file);
		assert_true(strtol(buf_text(&b->out), NULL, 10) <= rows[i].most);
		assert_non_null(strstr(buf_text(&b->out), "then ENOSPC"));
	}
}

static void
a_flood_of_output(void **state)
{
	struct bench *b = *state;

	make_job(b, OPERATE_OBSERVE, 0);
	b->job.timeout_ms = 600;
	run_one(b, "output");
	assert_int_equal(b->out.len, OUTPUT_MAX);
	assert_true(b->result.truncated);
	assert_int_equal(b->result.outcome, OPERATE_TIMEOUT);
	assert_true(b->took_us < 3 * CLOCK_US_PER_S);
}

static void
one_that_spins(void **state)
{
	struct bench *b = *state;

	make_job(b, OPERATE_OBSERVE, 0);
	b->job.timeout_ms = 500;
	run_one(b, "spin");
	assert_int_equal(b->result.outcome, OPERATE_TIMEOUT);
	assert_true(b->took_us < 3 * CLOCK_US_PER_S);
}

/* Processes of the service's user that are left on this host. */
static int
left(uid_t uid)
{
	SCOPED(scope_closedir) DIR *dir = opendir("/proc");
	const struct dirent *e;
	int n = 0;

	while ((e = readdir(dir))) {
		struct stat st;

		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && fstatat(dirfd(dir), e->d_name, &st, 0) == 0 &&
			st.st_uid == uid)
			n++;
	}
	return n;
}

static void
nothing_stays(void **state)
{
	struct bench *b = *state;

	needs_itself_bare();
	make_job(b, OPERATE_OBSERVE, 0);
	run_one(b, "leave"); /* the operation ends by itself */
	assert_int_equal(b->result.outcome, OPERATE_OK);
	assert_true(b->took_us < 3 * CLOCK_US_PER_S);
	if (geteuid() == 0)
		assert_int_equal(left(b->uid), 0);
	b->job.timeout_ms = 500;
	run_one(b, "leave-and-wait");
	assert_int_equal(b->result.outcome, OPERATE_TIMEOUT);
	assert_string_equal(buf_text(&b->out), "left\n");
	if (geteuid() == 0)
		assert_int_equal(left(b->uid), 0);
}

/* --- in a control group ---------------------------------------------------------------------------------------------- */
static struct group_root groups;

/* As the supervisor makes it; false where this host gives none. */
static bool
make_fence(struct bench *b, uint64_t memory, uint64_t processes, uint64_t cpu_milli)
{
	const struct group_limits limits = { memory, processes, cpu_milli };
	SCOPED(buf_done) struct buf self = BUF_MAX(4096);
	struct group g = { .kills = -1 };
	int counts[GROUP_COUNTS];
	char state[64];

	(void)snprintf(state, sizeof(state), "inside.%d", (int)getpid());
	assert_int_equal(fs_read(AT_FDCWD, "/proc/self/cgroup", self.max, &self), 0);
	group_find(&groups, "/sys/fs/cgroup", buf_text(&self), state);
	if (groups.n == 0)
		return false;
	assert_int_equal(group_open(&g, &groups, ".op-1", &limits), 0);
	assert_int_equal(group_counts(counts, &groups, ".op-1"), GROUP_COUNTS);
	b->fence = (struct fence){ .n = (int)g.n_procs, .kills = counts[0], .refusals = counts[1], .cpu = counts[2] };
	memcpy(b->fence.procs, g.procs, sizeof(g.procs));
	(void)close(g.kills);
	return true;
}

static void
remove_fence(struct bench *b)
{
	fence_done(&b->fence);
	if (groups.n == 0)
		return;
	group_remove(&groups, ".op-1");
	for (size_t i = 0; i < groups.n; i++)
		(void)rmdir(groups.paths[i]);
}

/* Each limit is held for all processes together, and named. */
static void
limits_of_a_group(void **state)
{
	static const struct {
		const char *what;
		uint64_t memory, processes, cpu_milli;
		uint32_t timeout_ms;
		enum operate_outcome outcome;
		unsigned limits;
	} rows[] = {
		{ "memory", 48 << 20, 64, 1000, 20000, OPERATE_FAILED, OPERATE_LIMIT_MEMORY },
		{ "processes", 256 << 20, 17, 1000, 20000, OPERATE_OK, OPERATE_LIMIT_PROCESSES },
		{ "spin", 256 << 20, 64, 50, 1000, OPERATE_TIMEOUT, OPERATE_LIMIT_CPU },
		{ "leave", 256 << 20, 64, 1000, 20000, OPERATE_OK, 0 },
	};
	struct bench *b = *state;

	needs_itself_bare();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		make_job(b, OPERATE_OBSERVE, 0);
		b->job.memory = 1; /* of each process: not looked at */
		b->job.processes = 1;
		b->job.timeout_ms = rows[i].timeout_ms;
		if (!make_fence(b, rows[i].memory, rows[i].processes, rows[i].cpu_milli)) {
			remove_fence(b);
			skip(); /* no control groups here */
		}
		run_one(b, rows[i].what);
		remove_fence(b);
		if (b->result.outcome != rows[i].outcome || b->result.limits != rows[i].limits)
			fail_msg("%s: outcome %d, limits %u: %s", rows[i].what, (int)b->result.outcome, b->result.limits,
				buf_text(&b->out));
	}
	assert_string_equal(buf_text(&b->out), "left\n");
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_profile_from_inside),
		cmocka_unit_test(a_flood_of_processes),
		cmocka_unit_test(a_flood_of_memory),
		cmocka_unit_test(floods_of_private_folders),
		cmocka_unit_test(a_flood_of_output),
		cmocka_unit_test(one_that_spins),
		cmocka_unit_test(nothing_stays),
		cmocka_unit_test(limits_of_a_group),
	};

	if (argc > 2 && strcmp(argv[1], "--inside") == 0)
		return inside(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
