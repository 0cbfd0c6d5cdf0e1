#include "appliance/supervise/shim_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/service/identity.h"
#include "appliance/service/parcel.h"
#include "appliance/supervise/group_own.h"
#include "appliance/supervise/supervise_wire.h"

/* Far above where they are to be, so that none is in another's way. */
static int
lay_out(int files[PARCEL_FILES_MAX], size_t n)
{
	int high[PARCEL_FILES_MAX], r = 0;

	for (size_t i = 0; i < n; i++) {
		high[i] = fcntl(files[i], F_DUPFD_CLOEXEC, SUPERVISE_FD_JOB + PARCEL_FILES_MAX + 1);
		r = high[i] < 0 ? -errno : r;
		(void)close(files[i]);
	}
	for (size_t i = 0; i < n && !r; i++)
		if (dup3(high[i], SUPERVISE_FD_JOB + (int)i, O_CLOEXEC) < 0)
			r = -errno;
	for (size_t i = 0; i < n; i++)
		scope_close(&high[i]);
	return FAULT(r);
}

/* Nobody else's stdin is what this one brought. */
static int
empty_stdin(void)
{
	SCOPED(scope_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fd < 0 || dup2(fd, STDIN_FILENO) < 0 ? FAULT(-errno) : 0;
}

static int
become(uid_t uid, gid_t shims)
{
	gid_t gid = (gid_t)uid;

	if (setgroups(1, &shims) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return FAULT(-errno);
	return 0;
}

/* PID 1 keeps what it was given to keep over the restarts of a unit, and over its own; a stdin it does not. */
static int
take(int files[PARCEL_FILES_MAX], size_t *n, bool *ret_again)
{
	int fd = STDIN_FILENO, r;

	*ret_again = sd_listen_fds(0) > 0;
	if (*ret_again)
		fd = SD_LISTEN_FDS_START;
	r = parcel_take(fd, files, n);
	if (r == 0 && !*ret_again && sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=parcel\nFDPOLL=0", &fd, 1) <= 0)
		log_warning("systemd does not keep what this shim was started with: the one after it has no secrets");
	if (*ret_again)
		(void)close(fd);
	return r;
}

int
shim_unit_begin(const struct paths *paths, const char *service, bool *ret_again)
{
	int files[PARCEL_FILES_MAX];
	struct identity id;
	size_t n = 0;
	uid_t uid = 0;
	int r;

	r = take(files, &n, ret_again);
	if (r)
		return r < 0 ? FAULT(r) : r;
	r = lay_out(files, n);
	r = r ?: empty_stdin();
	if (r)
		return FAULT(r);
	group_own_hand_over(SUPERVISE_FD_JOB + (int)n, GROUP_OWN_KILLS);
	r = identity_load(&id, paths);
	r = r ?: identity_service(&id, paths, service, &uid);
	if (r == 0 && id.separate)
		r = become(uid, id.shims);
	return r < 0 ? FAULT(r) : r;
}
