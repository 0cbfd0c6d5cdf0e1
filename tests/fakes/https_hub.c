#include "tests/fakes/https_hub.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "appliance/serve/tls.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

/* --- requests ------------------------------------------------------------------------------------------ */
/* The value of a header in head, up to the end of its line; NULL where it is not there. */
static const char *
find_header(const char *head, const char *name, size_t *ret_len)
{
	size_t n = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			const char *value = line + n + 1 + (line[n + 1] == ' ');

			*ret_len = strcspn(value, "\r\n");
			return value;
		}
	}
	return NULL;
}

static void
copy_header(char *out, size_t size, const char *head, const char *name)
{
	size_t len = 0;
	const char *value = find_header(head, name, &len);

	(void)snprintf(out, size, "%.*s", (int)len, value ? value : "");
}

const char *
https_hub_got(const struct https_hub *h, const char *name)
{
	static char value[4096];

	copy_header(value, sizeof(value), h->shared->head, name);
	return value;
}

static uint64_t
number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

/* A request whole into shared.  false where the peer is done. */
static bool
read_request(SSL *ssl, struct https_hub_shared *s)
{
	size_t have = 0, length;
	char number[24], *end = NULL;

	while (!end) {
		int n = SSL_read(ssl, s->head + have, (int)(sizeof(s->head) - 1 - have));

		if (n <= 0)
			return false;
		have += (size_t)n;
		s->head[have] = '\0';
		end = memmem(s->head, have, "\r\n\r\n", 4);
	}
	s->content_len = have - (size_t)(end + 4 - s->head);
	memcpy(s->content, end + 4, s->content_len);
	end[2] = '\0';
	copy_header(number, sizeof(number), s->head, "content-length");
	length = strtoul(number, NULL, 10);
	while (s->content_len < length && length <= sizeof(s->content)) {
		int n = SSL_read(ssl, s->content + s->content_len, (int)(length - s->content_len));

		if (n <= 0)
			return false;
		s->content_len += (size_t)n;
	}
	s->requests++;
	return true;
}

/* --- replies ------------------------------------------------------------------------------------------- */
struct reply {
	int status, signed_status;
	char committed[24], signed_committed[24];
	char body[1024], signed_body[1024];
	char nonce[HTTPSIG_NONCE_MAX];
	bool digest;
};

static void
say(SSL *ssl, const struct https_hub_shared *s, const struct buf *out)
{
	if (s->says != HTTPS_HUB_SLOW) {
		(void)SSL_write(ssl, out->data, (int)out->len);
		return;
	}
	for (size_t i = 0; i < out->len; i++) {
		(void)usleep((unsigned)(1500000 / out->len));
		(void)SSL_write(ssl, out->data + i, 1);
	}
}

static void
send_reply(SSL *ssl, const struct https_hub_shared *s, const struct reply *r, const struct ed25519 *key)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 16);
	struct httpsig_header committed = { "mainstay-committed", r->signed_committed };
	struct httpsig_message m = {
		.status = r->signed_status,
		.headers = &committed,
		.n_headers = r->signed_committed[0] ? 1 : 0,
	};
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, r->signed_body, strlen(r->signed_body));
	if (httpsig_sign_reply(&f, &m, digest, r->nonce, key, s->now_s * CLOCK_US_PER_S) != 0)
		_exit(2);
	buf_printf(&out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n", r->status,
		strlen(r->body) + (s->says == HTTPS_HUB_SHORT ? 10 : 0));
	if (r->committed[0])
		buf_printf(&out, "Mainstay-Committed: %s\r\n", r->committed);
	if (s->retry_after)
		buf_printf(&out, "Retry-After: %llu\r\n", (unsigned long long)s->retry_after);
	buf_puts(&out, s->headers);
	if (r->digest)
		buf_printf(&out, "Content-Digest: %s\r\n", f.digest);
	buf_printf(&out, "Signature-Input: %s\r\nSignature: %s\r\n\r\n%s", f.input, f.signature, r->body);
	say(ssl, s, &out);
}

/* To a request that nobody signed, as a witness answers. */
static void
send_plain(SSL *ssl, const struct https_hub_shared *s)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 16);

	buf_printf(&out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s%s\r\n%s", s->status ? s->status : 200,
		strlen(s->body) + (s->says == HTTPS_HUB_SHORT ? 10 : 0),
		s->status / 100 == 3 ? "Location: https://127.0.0.1:1/\r\n" : "", s->headers, s->body);
	(void)SSL_write(ssl, out.data, (int)out.len);
}

static void
answer(SSL *ssl, struct https_hub_shared *s, const struct ed25519 *key, const struct ed25519 *stranger)
{
	static const char *const plain[HTTPS_HUB_SAYS_MAX] = {
		[HTTPS_HUB_BARE] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nMainstay-Committed: 1\r\n\r\n",
		[HTTPS_HUB_PORTAL] = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 21\r\n\r\n"
				     "<h1>Please log in</h1",
		[HTTPS_HUB_MOVED] = "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\n"
				    "Content-Length: 0\r\n\r\n",
	};
	struct reply r = { .status = s->status ? s->status : 200, .digest = true };
	char input[4096];

	if (plain[s->says]) {
		(void)SSL_write(ssl, plain[s->says], (int)strlen(plain[s->says]));
		return;
	}
	copy_header(input, sizeof(input), s->head, "signature-input");
	if (!input[0]) {
		send_plain(ssl, s);
		return;
	}
	copy_header(r.committed, sizeof(r.committed), s->head, "mainstay-sequence");
	s->created_s = number_behind(input, ";created=");
	(void)snprintf(r.nonce, sizeof(r.nonce), "%.*s", 32, strstr(input, ";nonce=\"") + 8);
	(void)snprintf(r.body, sizeof(r.body), "%s", s->body);
	if (s->says == HTTPS_HUB_CLOCK &&
		(s->created_s > s->now_s + HTTPSIG_EARLY_S || number_behind(input, ";expires=") <= s->now_s))
		r.status = 401;
	if (r.status / 100 != 2)
		r.committed[0] = '\0';
	r.signed_status = s->says == HTTPS_HUB_RESTATUS ? 503 : r.status;
	memcpy(r.signed_body, r.body, sizeof(r.body));
	memcpy(r.signed_committed, r.committed, sizeof(r.committed));
	if (s->says == HTTPS_HUB_REBODY)
		r.signed_body[0] ^= 1;
	if (s->says == HTTPS_HUB_RECOMMIT)
		r.signed_committed[0] ^= 1;
	if (s->says == HTTPS_HUB_UNCOMMIT)
		r.signed_committed[0] = '\0';
	if (s->says == HTTPS_HUB_REPLAY)
		r.nonce[0] = r.nonce[0] == '0' ? '1' : '0';
	r.digest = s->says != HTTPS_HUB_UNDIGESTED;
	send_reply(ssl, s, &r, s->says == HTTPS_HUB_STRANGER ? stranger : key);
}

static void
follow_script(struct https_hub_shared *s)
{
	if (s->requests > s->n_script)
		return;
	s->says = s->script[s->requests - 1].says;
	s->status = s->script[s->requests - 1].status;
}

/* Closing it now resets the connection. */
static void
reset(int fd)
{
	const struct linger at_once = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static void
serve(int listen_fd, SSL_CTX *ctx, struct https_hub *h)
{
	SCOPED(ed25519_freep) struct ed25519 *stranger = NULL;

	if (ed25519_generate(&stranger) != 0)
		_exit(2);
	for (;;) {
		int fd = accept(listen_fd, NULL, NULL);
		SSL *ssl = SSL_new(ctx);

		if (fd < 0 || !ssl)
			_exit(2);
		SSL_set_fd(ssl, fd);
		/* One request a connection: the next test's words are never said to an old one. */
		if (SSL_accept(ssl) == 1 && read_request(ssl, h->shared)) {
			follow_script(h->shared);
			if (h->shared->says == HTTPS_HUB_RESET)
				reset(fd);
			else if (h->shared->says != HTTPS_HUB_SILENT)
				answer(ssl, h->shared, h->key, stranger);
		}
		if (h->shared->says != HTTPS_HUB_RESET)
			(void)SSL_shutdown(ssl);
		SSL_free(ssl);
		(void)close(fd);
	}
}

/* --- life ---------------------------------------------------------------------------------------------- */
void
https_hub_start(struct https_hub *h, const struct scratch *dir, const char *host)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char cert[128], key[128];

	assert_int_equal(tls_ensure(dir->fd, "fake", host), 0);
	(void)snprintf(cert, sizeof(cert), "%s/server.pem", dir->path);
	(void)snprintf(key, sizeof(key), "%s/server.key", dir->path);
	(void)snprintf(h->ca_file, sizeof(h->ca_file), "%s/ca.pem", dir->path);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM), 1);
	assert_int_equal(ed25519_generate(&h->key), 0);
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, 16) == 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	(void)snprintf(h->url, sizeof(h->url), "https://127.0.0.1:%d", ntohs(addr.sin_port));
	h->shared = mmap(NULL, sizeof(*h->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(h->shared != MAP_FAILED);
	h->shared->now_s = clock_now_us() / CLOCK_US_PER_S;
	h->pid = fork();
	assert_true(h->pid >= 0);
	if (h->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		(void)signal(SIGPIPE, SIG_IGN);
		serve(fd, ctx, h);
	}
	SSL_CTX_free(ctx);
	(void)close(fd);
}

void
https_hub_stop(struct https_hub *h)
{
	/* One that was not started is nobody: 0 would be all of us. */
	if (h->pid > 0) {
		(void)kill(h->pid, SIGKILL);
		(void)waitpid(h->pid, NULL, 0);
		(void)munmap(h->shared, sizeof(*h->shared));
	}
	ed25519_free(h->key);
	*h = (struct https_hub){ 0 };
}
