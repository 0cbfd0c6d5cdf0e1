#include "appliance/loop/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "appliance/base/scope.h"

static int
try(int *ret_fd, const struct sockaddr *sa, socklen_t len)
{
	SCOPED(scope_close) int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int
dial_loopback(int *ret_fd, unsigned port)
{
	const struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 six = { .sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int r = try(ret_fd, (const struct sockaddr *)&four, sizeof(four));

	return r == -ECONNREFUSED ? try(ret_fd, (const struct sockaddr *)&six, sizeof(six)) : r;
}
