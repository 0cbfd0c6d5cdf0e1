/* What stands behind everybody in bench-telemetry: takes lines, counts them, keeps none.
 *
 *	sink DIR LINES    prints "HTTPS-PORT TCP-PORT REPLY-KEY" once it listens; the CA is DIR/ca.pem; ends with its stdin
 *
 * The HTTPS port is a hub: requests with stream and sequence, answers signed by its key, each record once by (stream,
 * sequence), as the real one commits them.  (It checks no signature of the site's: that is the hub's cost, not ours.)  The TCP
 * port takes lines, as syslog programs send them.  Each line says its number; LINES is the most of one kind.  What came
 * stands in DIR/counts, six u64 of this machine's order: lines that are there, lines that came again, lines without a
 * number, bytes that came over the wire, records, records that came again. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/serve/tls.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"
#include "telemetry/otlp/pbx.h"
#include "telemetry/otlp/unpack.h"

enum { KINDS = 3, STREAMS = 4, ROOM = 1 << 20, TAIL = 64 /* bytes of a line in which its number is looked for */ };

struct counts {
	uint64_t lines, doubled, unnumbered, wire, records, again;
};

static struct {
	pthread_mutex_t lock;
	struct counts *counts;
	uint8_t *seen[KINDS]; /* a bit a line */
	uint64_t max;
	struct {
		char name[32];
		uint64_t committed;
	} streams[STREAMS];
	struct ed25519 *key;
	SSL_CTX *tls;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
die(const char *what)
{
	perror(what);
	exit(2);
}

/* --- lines ----------------------------------------------------------------------------------------------- */
/* The number near the end of a line; NULL where it has none. */
static const char *
number_in(const char *p, size_t len)
{
	const char *from = p + (len > TAIL ? len - TAIL : 0), *at = p + len;

	while ((at = memrchr(from, '=', (size_t)(at - from))) != NULL)
		if (at - from >= 3 && memcmp(at - 3, "seq", 3) == 0)
			return at + 1;
	return NULL;
}

static void
take(unsigned kind, const char *at, const char *end)
{
	uint64_t n = 0;

	for (; at && at < end && *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	if (!at || n >= sink.max)
		sink.counts->unnumbered++;
	else if (sink.seen[kind][n / 8] & 1U << n % 8)
		sink.counts->doubled++;
	else {
		sink.seen[kind][n / 8] |= (uint8_t)(1U << n % 8);
		sink.counts->lines++;
	}
}

static void
take_line(const char *p, size_t len)
{
	const char *at = number_in(p, len);
	unsigned kind = !at ? 0 : at - p > 4 && at[-5] == '"' ? 1 : memmem(p, len, "HTTP/1.1", 8) ? 2 : 0;

	take(kind, at, p + len);
}

/* --- plain lines over TCP -------------------------------------------------------------------------------- */
static void *
serve_lines(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char *room = malloc(ROOM), *p, *end;
	size_t have = 0;
	ssize_t n;

	while (room && (n = read(fd, room + have, ROOM - have)) > 0) {
		have += (size_t)n;
		pthread_mutex_lock(&sink.lock);
		sink.counts->wire += (uint64_t)n;
		for (p = room; (end = memchr(p, '\n', have - (size_t)(p - room))) != NULL; p = end + 1)
			take_line(p, (size_t)(end - p));
		pthread_mutex_unlock(&sink.lock);
		have -= (size_t)(p - room);
		memmove(room, p, have);
	}
	free(room);
	close(fd);
	return NULL;
}

/* --- records over HTTPS ---------------------------------------------------------------------------------- */
static void
header(char *out, size_t size, const char *head, const char *name)
{
	size_t n = strlen(name);
	const char *line;

	out[0] = '\0';
	for (line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':')
			(void)snprintf(out, size, "%.*s", (int)strcspn(line + n + 2, "\r\n"), line + n + 2);
	}
}

/* One request into head and body.  false where the peer is done. */
static bool
read_request(SSL *ssl, char *head, size_t size, struct buf *body)
{
	size_t have = 0, length;
	char number[24], *end = NULL;
	int n;

	while (!end) {
		n = have + 1 < size ? SSL_read(ssl, head + have, (int)(size - 1 - have)) : -1;
		if (n <= 0)
			return false;
		have += (size_t)n;
		head[have] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	buf_reset(body);
	buf_put(body, end + 4, have - (size_t)(end + 4 - head));
	end[2] = '\0';
	header(number, sizeof(number), head, "content-length");
	length = strtoul(number, NULL, 10);
	while (body->len < length) {
		uint8_t *room = buf_reserve(body, length - body->len);

		n = room ? SSL_read(ssl, room, (int)(length - body->len)) : -1;
		if (n <= 0)
			return false;
		buf_advance(body, (size_t)n);
	}
	return true;
}

/* One source's records.  The body is a record's last field, so that its number is near the end of both. */
static void
take_scope(struct pbx scope)
{
	static const char *const names[KINDS] = { "log.bench.syslog", "log.bench.json", "log.bench.nginx" };
	struct pbx_field f, g;
	struct pbx in;
	unsigned kind = KINDS;

	while (pbx_next(&scope, &f)) {
		const char *p = (const char *)f.bytes.p;
		size_t len = (size_t)(f.bytes.end - f.bytes.p);

		if (f.number == 2) {
			take(kind < KINDS ? kind : 0, kind < KINDS ? number_in(p, len) : NULL, p + len);
		} else if (f.number == 1) {
			in = pbx_message(&scope, &f);
			while (pbx_next(&in, &g))
				for (unsigned i = 0; g.number == 1 && i < KINDS; i++)
					if ((size_t)(g.bytes.end - g.bytes.p) == strlen(names[i]) &&
						memcmp(g.bytes.p, names[i], strlen(names[i])) == 0)
						kind = i;
		}
	}
	if (scope.in.failed)
		die("a record that is no OTLP");
}

/* Past what is not needed to count lines: whoever takes part in a measurement of two cores has to be cheap. */
static void
take_records(const struct buf *plain)
{
	struct pbx all = PBX(plain->data, plain->len), resource;
	struct pbx_field f, g;

	while (pbx_next(&all, &f)) {
		resource = pbx_message(&all, &f);
		while (pbx_next(&resource, &g))
			if (g.number == 2)
				take_scope(pbx_message(&resource, &g));
		if (resource.in.failed)
			die("a record that is no OTLP");
	}
	if (all.in.failed)
		die("a record that is no OTLP");
}

/* Committed once, as in the hub's transaction. */
static void
commit(const char *head, const char *sequence, const struct buf *body, struct buf *plain)
{
	const uint64_t n = strtoull(sequence, NULL, 10);
	char stream[32], coding[16];
	size_t i;

	header(stream, sizeof(stream), head, "mainstay-stream");
	header(coding, sizeof(coding), head, "content-encoding");
	if (strncmp(stream, "logs", 4) != 0)
		return;
	for (i = 0; i < STREAMS - 1 && sink.streams[i].name[0] && strcmp(sink.streams[i].name, stream) != 0; i++)
		;
	(void)snprintf(sink.streams[i].name, sizeof(sink.streams[i].name), "%s", stream);
	if (n <= sink.streams[i].committed) {
		sink.counts->again++;
		return;
	}
	buf_reset(plain);
	if (unpack_body(plain, coding, body->data, body->len) != 0)
		die("a record that cannot be unpacked");
	take_records(plain);
	sink.streams[i].committed = n;
	sink.counts->records++;
}

static bool
answer(SSL *ssl, const char *head, const char *sequence)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	struct httpsig_header committed = { "mainstay-committed", sequence };
	struct httpsig_message m = { .status = 200, .headers = &committed, .n_headers = *sequence ? 1 : 0 };
	char input[4096], nonce[HTTPSIG_NONCE_MAX], out[4096];
	const char *at;
	uint8_t digest[SHA256_LEN];
	int n;

	header(input, sizeof(input), head, "signature-input");
	at = strstr(input, ";nonce=\"");
	if (!at)
		return false;
	(void)snprintf(nonce, sizeof(nonce), "%.*s", (int)strcspn(at + 8, "\""), at + 8);
	sha256_of(digest, "", 0);
	if (httpsig_sign_reply(&f, &m, digest, nonce, sink.key, clock_now_us()) != 0)
		return false;
	n = snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s%s%sContent-Digest: %s\r\n"
		"Signature-Input: %s\r\nSignature: %s\r\n\r\n", *sequence ? "Mainstay-Committed: " : "", sequence,
		*sequence ? "\r\n" : "", f.digest, f.input, f.signature);
	return SSL_write(ssl, out, n) == n;
}

static void *
serve_hub(void *arg)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(64 * 1024 * 1024), plain = BUF_MAX(64 * 1024 * 1024);
	int fd = (int)(intptr_t)arg;
	SSL *ssl = SSL_new(sink.tls);
	char *head = malloc(ROOM), sequence[24];
	uint64_t wire = 0;

	if (!ssl || !head)
		die("memory");
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		while (read_request(ssl, head, ROOM, &body)) {
			uint64_t now = BIO_number_read(SSL_get_rbio(ssl));

			header(sequence, sizeof(sequence), head, "mainstay-sequence");
			pthread_mutex_lock(&sink.lock);
			sink.counts->wire += now - wire;
			wire = now;
			if (*sequence)
				commit(head, sequence, &body, &plain);
			pthread_mutex_unlock(&sink.lock);
			if (!answer(ssl, head, sequence))
				break;
		}
	SSL_free(ssl);
	close(fd);
	free(head);
	return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------- */
struct door {
	int fd;
	void *(*serve)(void *arg);
};

static void *
open_doors(void *arg)
{
	const struct door *d = arg;
	pthread_t thread;
	int fd;

	while ((fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		if (pthread_create(&thread, NULL, d->serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	die("accept");
	return NULL;
}

static unsigned
listen_on(struct door *d)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	pthread_t thread;

	d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (d->fd < 0 || bind(d->fd, (struct sockaddr *)&addr, len) < 0 || listen(d->fd, 16) < 0 ||
		getsockname(d->fd, (struct sockaddr *)&addr, &len) < 0 ||
		pthread_create(&thread, NULL, open_doors, d) != 0)
		die("listen");
	return ntohs(addr.sin_port);
}

static void
prepare(const char *dir)
{
	char path[4096], key[4096];
	int dir_fd = -1, fd, i;

	if (fs_open_dir(&dir_fd, AT_FDCWD, dir, 0755) != 0 || tls_ensure(dir_fd, "sink", "127.0.0.1") != 0 ||
		ed25519_generate(&sink.key) != 0)
		die("keys");
	(void)snprintf(path, sizeof(path), "%s/server.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/server.key", dir);
	sink.tls = SSL_CTX_new(TLS_server_method());
	if (!sink.tls || SSL_CTX_use_certificate_chain_file(sink.tls, path) != 1 ||
		SSL_CTX_use_PrivateKey_file(sink.tls, key, SSL_FILETYPE_PEM) != 1)
		die("certificate");
	fd = openat(dir_fd, "counts", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, sizeof(*sink.counts)) < 0)
		die("counts");
	sink.counts = mmap(NULL, sizeof(*sink.counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (sink.counts == MAP_FAILED)
		die("counts");
	for (i = 0; i < KINDS; i++)
		if (!(sink.seen[i] = calloc(1, sink.max / 8 + 1)))
			die("memory");
}

int
main(int argc, char **argv)
{
	static struct door hub = { .serve = serve_hub }, lines = { .serve = serve_lines };
	unsigned https, tcp;
	char end;

	if (argc != 3)
		return 2;
	(void)signal(SIGPIPE, SIG_IGN);
	sink.max = strtoull(argv[2], NULL, 10);
	prepare(argv[1]);
	https = listen_on(&hub);
	tcp = listen_on(&lines);
	printf("%u %u %s\n", https, tcp, ed25519_public_hex(sink.key));
	fflush(stdout);
	while (read(STDIN_FILENO, &end, 1) > 0)
		;
	return 0;
}
