#include "updater/release/release_passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <termios.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

struct release_passphrase {
	char *file;
	int fd;          /* -1: none; the caller's, never closed */
	bool have;       /* text is what was read, or given last */
	struct buf text; /* secret */
};

int
release_passphrase_new(struct release_passphrase **ret, const char *file, const char *fd_text)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *p = calloc(1, sizeof(*p));
	uint64_t fd = 0;

	if (!p)
		return FAULT(-ENOMEM);
	p->fd = -1;
	p->text = BUF_MAX(RELEASE_PASSPHRASE_MAX + 1);
	if (file && fd_text)
		return REFUSE(REASON_USAGE, "--passphrase-fd", "one of --passphrase-fd and --passphrase-file");
	if (fd_text && (number_u64(&fd, fd_text, 1 << 16) != 0 || fd < 3))
		return REFUSE(REASON_USAGE, "--passphrase-fd", "must be the number of a descriptor, 3 or above");
	if (fd_text)
		p->fd = (int)fd;
	p->file = file ? strdup(file) : NULL;
	if (file && !p->file)
		return FAULT(-ENOMEM);
	*ret = STEAL(p);
	return 0;
}

struct release_passphrase *
release_passphrase_free(struct release_passphrase *p)
{
	if (!p)
		return NULL;
	buf_wipe(&p->text);
	free(p->file);
	free(p);
	return NULL;
}

/* --- reading ------------------------------------------------------------------------------------- */
/* Bytes up to the first line's end; no buffer in between that would keep more of the secret than that. */
static int
read_line(int fd, struct buf *out)
{
	for (;;) {
		char c;
		ssize_t n = read(fd, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || c == '\n')
			return 0;
		if (c == 3)
			return -ECANCELED; /* the terminal's ^C, which makes no signal while we listen */
		buf_put(out, &c, 1);
	}
}

static int
check_read(const struct release_passphrase *p, const char *from)
{
	if (buf_error(&p->text) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (buf_error(&p->text) || p->text.len > RELEASE_PASSPHRASE_MAX)
		return REFUSE(REASON_MALFORMED, from, "the passphrase is longer than %d bytes", RELEASE_PASSPHRASE_MAX);
	if (!p->text.len)
		return REFUSE(REASON_MALFORMED, from, "its first line is empty: no passphrase");
	return 0;
}

static int
read_file(struct release_passphrase *p)
{
	SCOPED(scope_close) int fd = open(p->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, p->file, "this file of a passphrase cannot be opened");
	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (S_ISREG(st.st_mode) && (st.st_mode & 077))
		return REFUSE(REASON_MALFORMED, p->file, "others may read it (mode %04o): chmod 600", st.st_mode & 07777);
	r = read_line(fd, &p->text);
	return r ? FAULT(r) : check_read(p, p->file);
}

static int
read_fd(struct release_passphrase *p)
{
	int r = read_line(p->fd, &p->text);

	if (r == -EBADF)
		return REFUSE(REASON_NOT_FOUND, "--passphrase-fd", "descriptor %d is not open", p->fd);
	return r ? FAULT(r) : check_read(p, "--passphrase-fd");
}

static int
ask(struct release_passphrase *p, const char *key, const char *words)
{
	SCOPED(scope_close) int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios before, quiet;
	int r;

	if (tty < 0 || tcgetattr(tty, &before) < 0)
		return REFUSE(REASON_USAGE, key,
			"needs its passphrase and there is no terminal: --passphrase-file FILE or --passphrase-fd N");
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	quiet.c_cc[VEOL] = 3; /* ^C ends the line, too: else it would wait for Enter */
	buf_wipe(&p->text);
	/* Before the question: who answers at once is not shown what they type, and loses none of it. */
	if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0)
		return FAULT(-errno);
	(void)dprintf(tty, "%s of %s: ", words, key);
	r = read_line(tty, &p->text);
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	(void)dprintf(tty, "\n");
	if (r == -ECANCELED)
		return REFUSE(REASON_INTERRUPTED, key, "no passphrase was given");
	return r ? FAULT(r) : check_read(p, key);
}

int
release_passphrase_get(struct release_passphrase *p, const char *key, bool wrong, const char **ret, size_t *ret_len)
{
	bool terminal = !p->file && p->fd < 0;
	int r = 0;

	if (wrong && !terminal)
		return REFUSE(REASON_DENIED, key, "the passphrase does not fit this key");
	if (!p->have || wrong)
		r = p->file ? read_file(p) : p->fd >= 0 ? read_fd(p) : ask(p, key, "passphrase");
	if (r)
		return r;
	p->have = true;
	*ret = buf_text(&p->text);
	*ret_len = p->text.len;
	return 0;
}

int
release_passphrase_make(struct release_passphrase *p, const char *key, const char **ret, size_t *ret_len)
{
	bool terminal = !p->file && p->fd < 0, asked = terminal && !p->have;
	uint8_t first[SHA256_LEN], again[SHA256_LEN];
	int r = release_passphrase_get(p, key, false, ret, ret_len);

	if (r)
		return r;
	if (*ret_len < RELEASE_PASSPHRASE_MIN) {
		p->have = false;
		return REFUSE(REASON_MALFORMED, key, "a passphrase has at least %d bytes", RELEASE_PASSPHRASE_MIN);
	}
	if (!asked)
		return 0;
	sha256_of(first, *ret, *ret_len);
	r = ask(p, key, "the same again");
	if (r)
		return r;
	sha256_of(again, p->text.data, p->text.len);
	if (!sha256_same(first, again, sizeof(first))) {
		p->have = false;
		return REFUSE(REASON_MALFORMED, key, "the two passphrases differ; nothing was made");
	}
	*ret = buf_text(&p->text);
	*ret_len = p->text.len;
	return 0;
}
