"""Where the code refuses: every REFUSE() and REFUSE_AT(), found by a small tokenizer of C."""

import os
import re
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DUTIES = ("appliance", "telemetry", "remote", "updater")
MACROS = ("REFUSE", "REFUSE_AT")

# What the words of C can hide in comes first.  A preprocessor line is one token, continuation lines included.
TOKEN = re.compile(
    r"""(?P<space>\s+|/\*.*?\*/|//[^\n]*)
      | (?P<directive>(?m:^)[ \t]*\#(?:[^\\\n]|\\\n|\\.)*)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<number>[0-9](?:[A-Za-z_0-9.]|(?<=[eEpP])[+-])*)
      | (?P<mark>.)""", re.VERBOSE | re.DOTALL)

Token = namedtuple("Token", "kind text start end")

# One call.  first and last: the lines it spans (compilers differ in which of them __LINE__ is).
# begin, end: the call itself; from_return: where the `return` before it begins, or None where the value is
# used otherwise; to_semicolon: the end of that statement; ends_function: nothing comes after it.
Site = namedtuple("Site", "path first last token begin end from_return to_semicolon ends_function")


def tokens(text):
    """All that is neither blank nor comment nor preprocessor."""
    return [Token(m.lastgroup, m.group(), m.start(), m.end()) for m in TOKEN.finditer(text)
            if m.lastgroup not in ("space", "directive")]


def closing(found, at):
    """The index of the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(found)):
        if found[i].text == "(":
            depth += 1
        elif found[i].text == ")":
            depth -= 1
            if depth == 0:
                return i
    raise ValueError(f"a parenthesis at {found[at].start} is never closed")


def reason(found, at, end):
    """The reason as its token, or the expression in parentheses where it is none."""
    words = []
    depth = 0
    for t in found[at + 1:end]:
        if depth == 0 and t.text == ",":
            break
        depth += {"(": 1, ")": -1}.get(t.text, 0)
        words.append(t.text)
    one = "".join(words)
    return one[7:].lower().replace("_", "-") if re.fullmatch(r"REASON_[A-Z_]+", one) else f"({' '.join(words)})"


def sites(path, text, wrappers=()):
    """The Sites of one file, in their order; wrappers are functions of it whose callers decide the refusal."""
    found = tokens(text)
    depth = 0
    for i, t in enumerate(found):
        depth += {"{": 1, "}": -1}.get(t.text, 0)
        if t.kind != "word" or depth == 0 or found[i + 1].text != "(":
            continue
        if t.text not in MACROS and t.text not in wrappers:
            continue
        end = closing(found, i + 1)
        whole = found[i - 1].text == "return" and found[end + 1].text == ";"
        yield Site(path, text.count("\n", 0, t.start) + 1, text.count("\n", 0, found[end].start) + 1,
                   reason(found, i + 1, end) if t.text in MACROS else f"{t.text}()",
                   t.start, found[end].end,
                   found[i - 1].start if whole else None, found[end + 1].end if whole else None,
                   whole and depth == 1 and found[end + 2].text == "}")


def sources(root=ROOT, duties=DUTIES):
    """Every .c file of the duties, relative to root."""
    for duty in duties:
        for folder, folders, names in os.walk(os.path.join(root, duty)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(".c"):
                    yield os.path.relpath(os.path.join(folder, name), root)


def read(path, root=ROOT):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()
