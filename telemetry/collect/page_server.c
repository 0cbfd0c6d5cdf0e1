#include "telemetry/collect/page_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/loop/confine.h"
#include "appliance/serve/accept.h"
#include "telemetry/collect/page_channel.h"
#include "telemetry/scrape/page_request.h"

enum {
	FORMATS = 2, /* PAGE_CHANNEL_TEXT, PAGE_CHANNEL_OPENMETRICS */
	PIECE = 64 * 1024,
	CONTROL = 0, /* places in what is polled */
	LISTEN = 1,
	PEERS = 2,
};

enum peer_state { PEER_NONE, PEER_ASKS, PEER_WAITS, PEER_TAKES };

struct peer {
	enum peer_state state;
	int fd;
	uint64_t until_us; /* boot time */
	size_t format;	   /* of what it waits for or takes */
	bool head;
	int page;		     /* owned; -1: head is all */
	size_t len, sent;	     /* of bytes */
	off_t at;		     /* in the page */
	char bytes[PAGE_REQUEST_MAX + 1]; /* the question, then the answer's head */
};

static struct server {
	int control, listen;
	bool local;
	struct {
		int fd; /* -1: none of this round */
		bool asked;
	} pages[FORMATS];
	struct peer peers[PAGE_SERVER_PEERS_MAX];
} server = { .pages = { { .fd = -1 }, { .fd = -1 } } };

static uint64_t
in_ms(uint64_t ms)
{
	return clock_mono_us() + ms * CLOCK_US_PER_MS;
}

static void
drop(struct peer *p)
{
	scope_close(&p->fd);
	scope_close(&p->page);
	p->state = PEER_NONE;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */
/* What is left of the head, then of the page; the connection ends with it. */
static void
send_on(struct peer *p)
{
	static char piece[PIECE];
	ssize_t n = 1;

	while (n > 0 && p->sent < p->len) {
		n = send(p->fd, p->bytes + p->sent, p->len - p->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		p->sent += n > 0 ? (size_t)n : 0;
	}
	while (n > 0 && p->page >= 0) {
		ssize_t got = pread(p->page, piece, sizeof(piece), p->at);

		if (got <= 0)
			break;
		n = send(p->fd, piece, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT);
		p->at += n > 0 ? n : 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)shutdown(p->fd, SHUT_WR);
	drop(p);
}

static void
answer(struct peer *p, const char *status, const char *type, size_t len)
{
	p->len = (size_t)snprintf(p->bytes, sizeof(p->bytes),
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, type, len);
	p->sent = 0;
	p->at = 0;
	p->state = PEER_TAKES;
	p->until_us = in_ms(PAGE_SERVER_SEND_MS);
}

static void
answer_status(struct peer *p, int status)
{
	static const struct {
		int status;
		const char *text, *says;
	} texts[] = { { 400, "400 Bad Request", "" }, { 404, "404 Not Found", "/metrics is all that there is here\n" },
		{ 405, "405 Method Not Allowed\r\nAllow: GET, HEAD", "" }, { 413, "413 Content Too Large", "" },
		{ 421, "421 Misdirected Request", "ask by address, or as localhost\n" },
		{ 431, "431 Request Header Fields Too Large", "" },
		{ 503, "503 Service Unavailable", "the numbers are not there yet; ask again\n" },
		{ 505, "505 HTTP Version Not Supported", "" } };
	const char *text = "500 Internal Server Error", *says = "";
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status) {
			text = texts[i].text;
			says = texts[i].says;
		}
	len = strlen(says);
	answer(p, text, "text/plain", len);
	if (!p->head && p->len + len < sizeof(p->bytes)) {
		memcpy(p->bytes + p->len, says, len);
		p->len += len;
	}
	send_on(p);
}

static void
answer_page(struct peer *p)
{
	struct stat st;

	p->page = p->head ? -1 : fcntl(server.pages[p->format].fd, F_DUPFD_CLOEXEC, 3);
	if (fstat(server.pages[p->format].fd, &st) < 0 || (p->page < 0 && !p->head)) {
		answer_status(p, 500);
		return;
	}
	answer(p, "200 OK", p->format == PAGE_CHANNEL_OPENMETRICS ? ACCEPT_OPENMETRICS : ACCEPT_TEXT,
		(size_t)st.st_size);
	send_on(p);
}

/* --- questions ------------------------------------------------------------------------------------------------------- */
static void
want_page(struct peer *p, size_t format)
{
	p->format = format;
	p->state = PEER_WAITS;
	p->until_us = in_ms(PAGE_SERVER_WAIT_MS);
	if (server.pages[format].fd >= 0)
		answer_page(p);
	else if (!server.pages[format].asked)
		server.pages[format].asked = page_channel_send(server.control, (enum page_channel_word)format, -1) == 0;
}

static void
receive(struct peer *p)
{
	struct page_request request;
	ssize_t n = recv(p->fd, p->bytes + p->len, PAGE_REQUEST_MAX - p->len, MSG_DONTWAIT);
	int status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(p);
		return;
	}
	p->len += (size_t)n;
	status = page_request_read(&request, p->bytes, p->len, server.local);
	p->head = request.head;
	if (status == 200)
		want_page(p, request.openmetrics ? PAGE_CHANNEL_OPENMETRICS : PAGE_CHANNEL_TEXT);
	else if (status != 0)
		answer_status(p, status);
}

static struct peer *
free_peer(void)
{
	for (size_t i = 0; i < PAGE_SERVER_PEERS_MAX; i++)
		if (server.peers[i].state == PEER_NONE)
			return &server.peers[i];
	return NULL;
}

static void
take_peer(void)
{
	struct peer *p = free_peer();
	int fd = p ? accept4(server.listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	if (fd < 0)
		return;
	p->fd = fd;
	p->page = -1;
	p->len = 0;
	p->state = PEER_ASKS;
	p->until_us = in_ms(PAGE_SERVER_ASK_MS);
}

/* --- the collector's word ---------------------------------------------------------------------------------------------- */
static void
forget_page(size_t format)
{
	scope_close(&server.pages[format].fd);
	server.pages[format].fd = -1;
	server.pages[format].asked = false;
}

/* Returns false where the collector is gone. */
static bool
listen_to_collector(void)
{
	enum page_channel_word word;
	int fd, r;

	while ((r = page_channel_take(server.control, &word, &fd)) == 0) {
		if (word == PAGE_CHANNEL_NEW) {
			forget_page(PAGE_CHANNEL_TEXT);
			forget_page(PAGE_CHANNEL_OPENMETRICS);
			scope_close(&fd);
			continue;
		}
		forget_page(word);
		server.pages[word].fd = fd;
		for (size_t i = 0; i < PAGE_SERVER_PEERS_MAX && fd >= 0; i++)
			if (server.peers[i].state == PEER_WAITS && server.peers[i].format == word)
				answer_page(&server.peers[i]);
	}
	return r == -EAGAIN;
}

/* --- rounds ------------------------------------------------------------------------------------------------------------- */
static int
wait_ms(void)
{
	uint64_t now_us = clock_mono_us(), first = UINT64_MAX;

	for (size_t i = 0; i < PAGE_SERVER_PEERS_MAX; i++)
		if (server.peers[i].state != PEER_NONE && server.peers[i].until_us < first)
			first = server.peers[i].until_us;
	if (first == UINT64_MAX)
		return -1;
	return first > now_us ? (int)((first - now_us) / CLOCK_US_PER_MS) + 1 : 0;
}

static void
serve_peer(struct peer *p, short revents)
{
	if (p->state == PEER_ASKS && (revents & (POLLIN | POLLHUP | POLLERR)))
		receive(p);
	else if (p->state == PEER_TAKES && (revents & (POLLOUT | POLLHUP | POLLERR)))
		send_on(p);
	else if (p->state == PEER_WAITS && (revents & (POLLHUP | POLLERR)))
		drop(p);
	if (p->state == PEER_NONE || p->until_us > clock_mono_us())
		return;
	if (p->state == PEER_WAITS)
		answer_status(p, 503);
	else
		drop(p);
}

static bool
turn(void)
{
	static const short events[] = { [PEER_ASKS] = POLLIN, [PEER_WAITS] = 0, [PEER_TAKES] = POLLOUT };
	struct pollfd fds[PEERS + PAGE_SERVER_PEERS_MAX];

	fds[CONTROL] = (struct pollfd){ .fd = server.control, .events = POLLIN };
	fds[LISTEN] = (struct pollfd){ .fd = free_peer() ? server.listen : -1, .events = POLLIN };
	for (size_t i = 0; i < PAGE_SERVER_PEERS_MAX; i++) {
		const struct peer *p = &server.peers[i];

		fds[PEERS + i] = (struct pollfd){ .fd = p->state ? p->fd : -1, .events = p->state ? events[p->state] : 0 };
	}
	if (poll(fds, ARRAY_LEN(fds), wait_ms()) < 0)
		return errno == EINTR;
	if (fds[CONTROL].revents && !listen_to_collector())
		return false;
	for (size_t i = 0; i < PAGE_SERVER_PEERS_MAX; i++)
		if (server.peers[i].state != PEER_NONE && fds[PEERS + i].fd == server.peers[i].fd)
			serve_peer(&server.peers[i], fds[PEERS + i].revents);
	if (fds[LISTEN].revents)
		take_peer();
	return true;
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */
/* The address need not be there yet: interfaces come up later than we do. */
static int
open_listen(int *ret_fd, const struct config_listen *at)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)at->port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)at->port) };
	bool is_six = inet_pton(AF_INET6, at->address, &six.sin6_addr) == 1;
	const int on = 1;
	SCOPED(scope_close) int fd = -1;

	if (!is_six && inet_pton(AF_INET, at->address, &four.sin_addr) != 1)
		return -EINVAL;
	fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		setsockopt(fd, is_six ? IPPROTO_IPV6 : IPPROTO_IP, is_six ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, is_six ? (const struct sockaddr *)&six : (const struct sockaddr *)&four,
		    is_six ? sizeof(six) : sizeof(four)) < 0 ||
		listen(fd, PAGE_SERVER_PEERS_MAX) < 0)
		return -errno;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* Another may listen there, as a collector that is just ending does.  Returns false where the collector went meanwhile. */
static bool
wait_for_listen(const struct config_listen *at)
{
	struct pollfd one = { .fd = server.control, .events = POLLIN };
	int r, said = 0;

	while ((r = open_listen(&server.listen, at)) < 0) {
		if (said != r)
			log_warning("telemetry.listen: nobody can be served at %s port %u: %s; %s, trying again every %d s", at->address,
				at->port, strerror(-r),
				r == -EAFNOSUPPORT ? "the collector's unit does not know of it yet (`systemctl daemon-reload && systemctl "
						     "restart mainstay-collectd`)"
						   : "it may come yet",
				PAGE_SERVER_LISTEN_MS / 1000);
		said = r;
		one.revents = 0;
		(void)poll(&one, 1, PAGE_SERVER_LISTEN_MS);
		if (one.revents && !listen_to_collector())
			return false;
	}
	return true;
}

int
page_server_run(int control, const struct config_listen *listen)
{
	int r = confine_enter(CONFINE_DAEMON);

	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	server.control = control;
	server.local = listen->local;
	if (!wait_for_listen(listen))
		return 0;
	r = confine_enter(CONFINE_SHOW);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	log_info("telemetry.listen: numbers are shown at %s port %u, /metrics", listen->address, listen->port);
	while (turn())
		;
	return 0;
}
