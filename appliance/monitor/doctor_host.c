/* What the host has to give. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/monitor/doctor.h"
#include "appliance/service/sandbox.h"

enum {
	FREE_MIN_MB = 512,
	FREE_MIN_FILES = 10000,
	CGROUP2_MAGIC = 0x63677270,
};

static void
check_disk(struct doctor *d)
{
	struct statvfs fs;
	unsigned long long free_mb;
	char text[400];

	if (statvfs(d->call->paths.lib, &fs) < 0) {
		(void)snprintf(text, sizeof(text), "%s: %m", d->call->paths.lib);
		doctor_test(d, "disk", false, text, "start the appliance once, which makes it, or name its folder with --state");
		return;
	}
	free_mb = (unsigned long long)fs.f_bavail * fs.f_frsize / (1024 * 1024);
	(void)snprintf(text, sizeof(text), "%llu MB free below %s", free_mb, d->call->paths.lib);
	doctor_test(d, "disk", free_mb >= FREE_MIN_MB, text, "make room: updates stage beside what runs");
	if (fs.f_files == 0)
		return; /* a file system without a table of them */
	(void)snprintf(text, sizeof(text), "%llu more files can be made there", (unsigned long long)fs.f_favail);
	doctor_test(d, "files", fs.f_favail >= FREE_MIN_FILES, text, "remove small files there, or make the file system anew with more inodes");
}

/* The monitor's own folder holds the keys: nobody else's, and closed to others. */
static void
check_folder(struct doctor *d)
{
	char path[sizeof(d->call->paths.lib) + 16], text[400], remedy[400];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/monitor", d->call->paths.lib);
	if (stat(path, &st) < 0)
		return; /* never started; or not for this user to look at, which is as it should be */
	(void)snprintf(text, sizeof(text), "%s is %04o and uid %u's", path, st.st_mode & 07777, st.st_uid);
	(void)snprintf(remedy, sizeof(remedy), "chmod 0700 %s; and think who may have read the keys in it", path);
	doctor_test(d, "keys", (st.st_mode & 077) == 0 && (st.st_uid == geteuid() || st.st_uid == 0), text, remedy);
}

static long
setting(const char *path)
{
	char text[24] = "";
	SCOPED(scope_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	long n = -1;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%ld", &n) != 1)
		return -1;
	return n;
}

/* The settings that a host's hardening most often turns off. */
static const char *
why_no_namespaces(void)
{
	if (setting("/proc/sys/user/max_user_namespaces") == 0)
		return "sysctl user.max_user_namespaces is 0: allow some thousands";
	if (setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		return "sysctl kernel.unprivileged_userns_clone=1, or run the appliance as root";
	if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
		return "AppArmor keeps users from namespaces: give bubblewrap a profile that has them, or run the appliance as root";
	return "use a kernel with user namespaces; in a container, allow them (seccomp, AppArmor); in a chroot there are none";
}

/* Tried, not guessed: a service would start just so. */
static void
check_sandbox(struct doctor *d)
{
	bool there = access(SANDBOX_PROGRAM, X_OK) == 0, runs;

	doctor_test(d, "tools", there, there ? SANDBOX_PROGRAM " is there" : SANDBOX_PROGRAM " is missing",
		"apt-get install bubblewrap: services run in it");
	if (!there)
		return;
	runs = sandbox_runs(&CHILD_SPEC);
	doctor_test(d, "namespaces", runs, runs ? "a program ran in a sandbox like a service's" : "no program runs in a sandbox here",
		why_no_namespaces());
}

static bool
has_word(const json_t *words, const char *word)
{
	for (size_t i = 0; i < json_array_size(words); i++)
		if (strcmp(json_string_value(json_array_get(words, i)), word) == 0)
			return true;
	return false;
}

/* What the supervisor tried when it started; where none runs, what this host looks like. */
static void
check_cgroups(struct doctor *d)
{
	static const char remedy[] = "run as root where control groups (memory, pids) can be written, or delegate them: without "
				     "them limits of memory and processes hold each process by itself";
	bool tried = json_array_size(json_object_get(d->status, "enforced")) > 0,
	     held = has_word(json_object_get(d->status, "enforced"), "cgroups");
	struct statfs fs;
	bool v2 = statfs("/sys/fs/cgroup", &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_MAGIC,
	     v1 = access("/sys/fs/cgroup/memory", F_OK) == 0;
	char text[96];

	(void)snprintf(text, sizeof(text), "version %s%s", v2 ? "2" : v1 ? "1" : "none",
		!tried ? "" : held ? ", limits are enforced" : ", limits cannot be set");
	doctor_test(d, "cgroups", tried ? held : v2 || v1, text, remedy);
}

static void
check_walls(struct doctor *d)
{
	static const char *const names[] = { "separate-uids", "netns", "pid-namespaces", "seccomp" };
	const json_t *missing = json_object_get(d->status, "not_enforced");

	for (size_t i = 0; d->status && i < ARRAY_LEN(names); i++)
		doctor_test(d, names[i], !has_word(missing, names[i]),
			has_word(missing, names[i]) ? "not enforced on this host" : "enforced",
			"run as root on a host that allows namespaces");
}

void
doctor_host(struct doctor *d)
{
	check_disk(d);
	check_folder(d);
	check_sandbox(d);
	check_cgroups(d);
	check_walls(d);
}
