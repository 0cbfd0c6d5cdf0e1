#include "appliance/service/definition_pattern.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/scope.h"

/* An automaton that is in many states at once (Thompson's): a state either takes one byte out of a set, or goes
 * on to one or two others for nothing.  Each mark of the pattern adds at most four states and one
 * set, so that there is room for all. */
enum { STATES_MAX = 4 * DEFINITION_PATTERN_MAX + 8, SETS_MAX = DEFINITION_PATTERN_MAX, DEPTH_MAX = 16, NONE = -1 };

struct set {
	uint64_t bits[4];
};

struct state {
	int set;     /* NONE: goes on for nothing */
	int next[2]; /* NONE: nowhere */
};

struct machine {
	struct state states[STATES_MAX];
	struct set sets[SETS_MAX];
	int n_states, n_sets;
	const char *at;	 /* in the pattern */
	const char *why; /* it is none */
	int depth;
};

struct part {
	int begin, end;
};

/* --- building ------------------------------------------------------------------------------------ */
static int
add_state(struct machine *m, int set, int next)
{
	m->states[m->n_states] = (struct state){ set, { next, NONE } };
	return m->n_states++;
}

static void
go_on(struct machine *m, int from, int to)
{
	struct state *s = &m->states[from];

	s->next[s->next[0] != NONE] = to;
}

static void
put(struct set *s, unsigned char c)
{
	s->bits[c / 64] |= UINT64_C(1) << (c % 64);
}

static bool
has(const struct set *s, unsigned char c)
{
	return s->bits[c / 64] >> (c % 64) & 1;
}

static void
put_range(struct set *s, unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to; c++)
		put(s, (unsigned char)c);
}

/* One byte of this set. */
static struct part
one_of(struct machine *m, const struct set *s)
{
	int end = add_state(m, NONE, NONE);

	m->sets[m->n_sets] = *s;
	return (struct part){ add_state(m, m->n_sets++, end), end };
}

/* --- "[...]" --------------------------------------------------------------------------------------- */
static const struct {
	const char *name;
	unsigned char ranges[6]; /* pairs, as far as they are not 0 */
} classes[] = {
	{ "[:alpha:]", "AZaz" },
	{ "[:digit:]", "09" },
	{ "[:alnum:]", "AZaz09" },
	{ "[:lower:]", "az" },
	{ "[:upper:]", "AZ" },
	{ "[:xdigit:]", "09AFaf" },
	{ "[:space:]", "\t\r  " },
};

static bool
read_class(struct machine *m, struct set *s)
{
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		size_t len = strlen(classes[i].name);

		if (strncmp(m->at, classes[i].name, len) != 0)
			continue;
		for (size_t k = 0; k < sizeof(classes[i].ranges) && classes[i].ranges[k]; k += 2)
			put_range(s, classes[i].ranges[k], classes[i].ranges[k + 1]);
		m->at += len;
		return true;
	}
	m->why = "has a class within [] that is not known";
	return false;
}

/* What stands in brackets; m->at is behind "[". */
static struct part
read_brackets(struct machine *m)
{
	struct set s = { 0 };
	bool but = *m->at == '^';

	m->at += but;
	for (bool first = true; *m->at && (first || *m->at != ']'); first = false) {
		unsigned char from = (unsigned char)*m->at, to = from;

		if (from == '[' && strchr(":.=", m->at[1]) && m->at[1]) {
			if (!read_class(m, &s))
				return (struct part){ 0, 0 };
			continue;
		}
		if (m->at[1] == '-' && m->at[2] && m->at[2] != ']') {
			to = (unsigned char)m->at[2];
			m->at += 2;
		}
		if (to < from)
			m->why = "has a range within [] that runs backwards";
		put_range(&s, from, to);
		m->at++;
	}
	if (*m->at != ']')
		m->why = "has a [ that is never closed";
	else
		m->at++;
	for (size_t i = 0; but && i < ARRAY_LEN(s.bits); i++)
		s.bits[i] = ~s.bits[i];
	return one_of(m, &s);
}

/* --- the rest --------------------------------------------------------------------------------------- */
static struct part read_choice(struct machine *m);

static struct part
read_group(struct machine *m)
{
	struct part p = { 0, 0 };

	if (++m->depth > DEPTH_MAX) {
		m->why = "has too many ( one inside the other";
		return p;
	}
	p = read_choice(m);
	m->depth--;
	if (!m->why && *m->at != ')')
		m->why = "has a ( that is never closed";
	m->at += *m->at == ')';
	return p;
}

static struct part
read_atom(struct machine *m)
{
	struct set s = { 0 };
	char c = *m->at++;

	switch (c) {
	case '(':
		return read_group(m);
	case '[':
		return read_brackets(m);
	case '*':
	case '+':
	case '?':
		m->why = "repeats nothing";
		return (struct part){ 0, 0 };
	case '^':
	case '$':
		m->why = "has ^ or $: it is always the whole value that is meant";
		return (struct part){ 0, 0 };
	case '{':
		m->why = "repetition counts and back references are not allowed";
		return (struct part){ 0, 0 };
	case '.':
		put_range(&s, 1, 255);
		return one_of(m, &s);
	case '\\':
		c = *m->at;
		if (c >= '0' && c <= '9')
			m->why = "repetition counts and back references are not allowed";
		else if (!c || !strchr("\\^$.[]|()*+?{}/-", c))
			m->why = "has \\ before what means itself, or nothing";
		m->at += c != '\0';
		break;
	default:
		break;
	}
	put(&s, (unsigned char)c);
	return one_of(m, &s);
}

/* Any number of "*", "+", "?" behind it. */
static struct part
read_repeated(struct machine *m)
{
	struct part p = read_atom(m);

	while (!m->why && *m->at && strchr("*+?", *m->at)) {
		char how = *m->at++;
		int end = add_state(m, NONE, NONE), begin = add_state(m, NONE, p.begin);

		if (how != '+')
			go_on(m, begin, end);
		go_on(m, p.end, end);
		if (how != '?')
			go_on(m, p.end, p.begin);
		p = (struct part){ begin, end };
	}
	return p;
}

static struct part
read_sequence(struct machine *m)
{
	int begin = add_state(m, NONE, NONE);
	struct part all = { begin, begin };

	while (!m->why && *m->at && *m->at != '|' && *m->at != ')') {
		struct part p = read_repeated(m);

		if (m->why)
			break;
		go_on(m, all.end, p.begin);
		all.end = p.end;
	}
	return all;
}

static struct part
read_choice(struct machine *m)
{
	struct part all = read_sequence(m);

	while (!m->why && *m->at == '|') {
		struct part p;
		int begin, end;

		m->at++;
		p = read_sequence(m);
		begin = add_state(m, NONE, all.begin);
		end = add_state(m, NONE, NONE);
		if (m->why)
			break;
		go_on(m, begin, p.begin);
		go_on(m, all.end, end);
		go_on(m, p.end, end);
		all = (struct part){ begin, end };
	}
	return all;
}

static struct part
read_all(struct machine *m, const char *pattern)
{
	struct part all = { 0, 0 };

	m->n_states = m->n_sets = m->depth = 0;
	m->at = pattern;
	m->why = NULL;
	for (const char *p = pattern; *p; p++) {
		if (*p < 0x20 || *p > 0x7e)
			m->why = "holds other letters than printable ASCII";
	}
	if (strlen(pattern) > DEFINITION_PATTERN_MAX)
		m->why = "is too long";
	if (!m->why)
		all = read_choice(m);
	if (!m->why && *m->at) /* it stops at nothing else */
		m->why = "has a ) that closes nothing";
	return all;
}

const char *
definition_pattern_check(const char *pattern)
{
	struct machine m;

	(void)read_all(&m, pattern);
	return m.why;
}

/* --- running ---------------------------------------------------------------------------------------- */
/* The states it is in, each once. */
struct crowd {
	int in[STATES_MAX], n;
	bool is_in[STATES_MAX];
};

static void
enter(struct crowd *c, int state)
{
	if (state == NONE || c->is_in[state])
		return;
	c->is_in[state] = true;
	c->in[c->n++] = state;
}

/* What is reached for nothing, too. */
static void
spread(const struct machine *m, struct crowd *c)
{
	for (int i = 0; i < c->n; i++) {
		const struct state *s = &m->states[c->in[i]];

		if (s->set != NONE)
			continue;
		enter(c, s->next[0]);
		enter(c, s->next[1]);
	}
}

bool
definition_pattern_match(const char *pattern, const char *text)
{
	struct machine m;
	struct crowd now = { .n = 0 }, next;
	struct part all = read_all(&m, pattern);

	if (m.why)
		return false;
	enter(&now, all.begin);
	spread(&m, &now);
	for (; *text && now.n; text++) {
		next = (struct crowd){ .n = 0 };
		for (int i = 0; i < now.n; i++) {
			const struct state *s = &m.states[now.in[i]];

			if (s->set != NONE && has(&m.sets[s->set], (unsigned char)*text))
				enter(&next, s->next[0]);
		}
		spread(&m, &next);
		now = next;
	}
	return now.is_in[all.end];
}
