"""Our reader of OpenMetrics and the older text before prometheus_client, whose reader is that of the OpenMetrics project:
random pages, and the same with something changed, give the same samples, or are refused by both.

    EXPOSITION_COUNT=150    pages;  SEED=1  the same again
"""

import json
import math
import os
import random
import re
import subprocess
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("MAINSTAY_BUILD", os.path.join(HERE, "..", "..", "build"))
OURS = os.path.join(BUILD, "tests", "exposition")
COUNT = int(os.environ.get("EXPOSITION_COUNT", "150"))
SEED = int(os.environ.get("SEED") or time.time())
FAR = 10**17  # a time, in microseconds

peers = pytest.importorskip("prometheus_client.parser", reason="python3-prometheus-client is not installed")
peers_openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")


# --- pages -----------------------------------------------------------------------------------------------------------
class Page:
    """Families that both formats can say; lines without their ends."""

    def __init__(self, rng, openmetrics):
        self.rng, self.openmetrics, self.lines = rng, openmetrics, []
        for i in range(rng.randint(1, 6)):
            kind = rng.choice(["counter", "gauge", "histogram", "summary", "unknown"]
                              + (["info", "stateset", "gaugehistogram"] if openmetrics else []))
            self.family(kind, "%s%d" % (rng.choice(["a", "b_c", "x:y", "_z", "Q"]), i))
        if openmetrics:
            self.lines.append("# EOF")

    def text(self):
        return "".join(line + "\n" for line in self.lines)

    def number(self):
        r = self.rng
        return r.choice([str(r.randint(0, 10**r.randint(0, 18))), repr(r.random() * 10**r.randint(-30, 30)), "0", "1e3",
                         "%d.%d" % (r.randint(0, 999), r.randint(0, 10**9)), "0.1", "1E-7", "123456789012345678901234"])

    def value(self):
        return self.rng.choice([self.number(), self.number(), "-" + self.number(), "NaN", "+Inf", "-Inf"])

    def labels(self, **more):
        r = self.rng
        names = r.sample(["a", "le_", "_b", "c9", "Quantile", "host"], r.randint(0, 3))
        out = {n: "".join(r.choice(["x", "é", "{", "}", ",", "=", " ", "#", "\\\\", "\\n", '\\"', "\U0001f600", "\\x"])
                          for _ in range(r.randint(0, 5))) for n in names}
        return dict(out, **more)

    @staticmethod
    def show(labels):
        return "{%s}" % ",".join('%s="%s"' % i for i in labels.items()) if labels else ""

    def time(self):
        if self.rng.random() < 0.7:
            return ""
        return " %d" % (1700000000 + self.rng.randint(0, 999)) + (".5" if self.openmetrics else "000")

    def exemplar(self):
        if not self.openmetrics or self.rng.random() < 0.8:
            return ""
        labels = self.rng.choice(["{}", '{trace_id="0af7"}', '{a="é",b=""}'])  # the peer looks for their end behind a "}" in them
        return " # %s %s" % (labels, self.number()) + self.rng.choice(["", " 1.5"])

    def family(self, kind, name):
        r = self.rng
        unit = self.openmetrics and kind not in ("info", "stateset") and r.random() < 0.2
        name = name.replace(":", "_") if kind == "stateset" else name + "_seconds" * unit
        about = ["# HELP %s %s" % (name, r.choice(["", "what it is", "a \\\\ and \\n", "é"]))] if r.random() < 0.5 else []
        if kind != "unknown" or r.random() < 0.5:
            about.append("# TYPE %s %s" % (name, "untyped" if kind == "unknown" and not self.openmetrics else kind))
        if unit:
            about.append("# UNIT %s seconds" % name)
        r.shuffle(about)
        self.lines += about
        groups = [self.labels() for _ in range(r.randint(1, 3))]
        for labels in [g for i, g in enumerate(groups) if g not in groups[:i]]:
            self.group(kind, name, labels)

    def group(self, kind, name, labels):
        r, end, total = self.rng, self.time(), self.openmetrics
        created = total and r.random() < 0.3
        if kind in ("gauge", "unknown"):
            self.lines.append(name + self.show(labels) + " " + self.value() + end)
        elif kind == "counter":
            self.lines.append(name + ("_total" if total else "") + self.show(labels) + " " + self.number() + end + self.exemplar())
        elif kind == "info":
            self.lines.append(name + "_info" + self.show(labels) + " 1")
        elif kind == "stateset":
            self.lines.append(name + self.show(dict(labels, **{name: "on"})) + " %d" % r.randint(0, 1) + end)
        elif kind == "summary":
            for q in sorted(r.sample(["0", "0.5", "0.9", "0.99", "1"], r.randint(0, 3))):
                self.lines.append(name + self.show(dict(labels, quantile=q)) + " " + self.number() + end)
            self.lines += [name + "_count" + self.show(labels) + " %d" % r.randint(0, 99) + end,
                           name + "_sum" + self.show(labels) + " " + self.number() + end]
        else:
            gauge, below = "g" if kind == "gaugehistogram" else "", 0
            for bound in sorted(r.sample([0.1, 0.25, 1, 2.5, 10, 1e9], r.randint(0, 4))) + ["+Inf"]:
                below += r.randint(0, 9)
                self.lines.append(name + "_bucket" + self.show(dict(labels, le=str(bound))) + " %d" % below + end + self.exemplar())
            self.lines += [name + "_%scount" % gauge + self.show(labels) + " %d" % below + end,
                           name + "_%ssum" % gauge + self.show(labels) + " " + self.number() + end]
        if created and kind in ("counter", "summary", "histogram"):
            self.lines.append(name + "_created" + self.show(labels) + " 1.5" + end)


def changed(rng, text):
    """One thing is otherwise."""
    lines = text.split("\n")[:-1]
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    line = lines[at]
    what = rng.choice(["drop", "twice", "swap", "insert", "delete", "word", "word"])
    if what == "drop":
        del lines[at]
    elif what == "twice":
        lines.insert(other, line)
    elif what == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif what == "insert":
        i = rng.randint(0, len(line))
        lines[at] = line[:i] + rng.choice(list(' ",{}=#\\_1a:.-+e')) + line[i:]
    elif what == "delete" and line:
        i = rng.randrange(len(line))
        lines[at] = line[:i] + line[i + 1:]
    else:
        words = line.split(" ")
        words[rng.randrange(len(words))] = rng.choice(["-1", "NaN", "+Inf", "inf", "x", "", "1e400", "0x1p3", "1_0", "counter", "info",
                                                       "histogram", "gauge", "summary", "untyped", "# EOF", "1.5.5", "TYPE", "HELP", "#"])
        lines[at] = " ".join(words)
    return "".join(line + "\n" for line in lines)


# --- readers -----------------------------------------------------------------------------------------------------------
def ours(format, pages):
    rng = random.Random(SEED)
    jobs = "".join(json.dumps({"format": format, "page": p.encode().hex(), "piece": rng.choice([1, 7, 4096])}) + "\n" for p in pages)
    done = subprocess.run([OURS], input=jobs, capture_output=True, text=True, timeout=60, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(pages), done.stderr[-2000:]
    return answers


def bound(text):
    try:
        return repr(float(text))
    except ValueError:
        return text


def key(name, labels, value, time_us):
    """Numbers by their bits (it reads -0 as a whole number), bounds by what they mean."""
    labels = tuple(sorted((k, bound(v) if k in ("le", "quantile") else v) for k, v in labels.items()))
    return name, labels, "NaN" if math.isnan(float(value)) else repr(float(value) + 0.0), time_us


def micros(time):
    """None before 1970 or in a million years."""
    return 0 if time is None or float(time) < 0 else min(round(float(time) * 1e6), FAR)


def of_ours(answer):
    return sorted(key(n, labels, v, FAR if t < 0 else min(t, FAR)) for n, labels, v, t in answer["samples"])


def of_peer(format, text):
    read = peers_openmetrics if format == "openmetrics" else peers
    out = []
    for family in read.text_string_to_metric_families(text):
        for s in family.samples:
            suffix = s.name[len(family.name):]
            if suffix == "_created" and family.type in ("counter", "histogram", "summary"):
                continue  # a start, with us
            if family.type == "gaugehistogram" and suffix not in ("_bucket", "_gcount", "_gsum"):
                continue
            name = s.name
            if format == "text" and family.type == "counter" and ("\n%s_total" % family.name) not in "\n" + text:
                name = family.name  # it names them as OpenMetrics does
            out.append(key(name, s.labels, s.value, micros(s.timestamp)))
    return sorted(out)


def peer_says(format, text):
    try:
        return of_peer(format, text)
    except Exception as e:  # it raises what comes: ValueError, KeyError, IndexError
        return str(e) or type(e).__name__


@pytest.mark.parametrize("format", ["openmetrics", "text"])
def test_what_is_well_formed_gives_the_same_samples(format):
    rng = random.Random("%s %s" % (SEED, format))
    pages = [Page(rng, format == "openmetrics").text() for _ in range(COUNT)]
    print("SEED=%d: %d pages" % (SEED, len(pages)))
    for page, answer in zip(pages, ours(format, pages)):
        assert answer["reason"] == "ok", (answer, page)
        assert of_ours(answer) == peer_says(format, page), page


# Where the two are meant to differ: what we say, why.
STRICTER = {
    "has a bucket out of order": "it leaves out a line that comes twice",
    "has a count twice": "the same",
    "has a sum twice": "the same",
    "has a quantile twice": "the same",
    "has a start that is no time": "it takes NaN for one",
    "is none of HELP, TYPE, UNIT and EOF": 'it looks at the second word alone, so that "#x HELP" will do',
    "has a label's value without its quotes": r'it takes \" at the end for the end',
    "has no number as its label": "Python's float() takes 1_0 and blanks, too",
    "has a time that is no number": "it reads what stands before and behind the point by itself: 1.-5 will do",
    "has an exemplar with no good time": "the same",
    "has no value": 'it steps over the byte behind "}", whatever it is',
}
FORGIVING = {
    "Invalid timestamp: '1e400'": "a number in our eyes, of a time that nobody takes samples of",
    "Timestamps went backwards": "it compares parts of seconds by themselves",
}


# It takes the first brace behind "# {" for the end of an exemplar's labels, in quotes or not.
BRACE_IN_EXEMPLAR = re.compile(r" # \{.*\}.*\}")


def meant(mine, theirs, page):
    if isinstance(mine, str):
        return any(text in mine for text in STRICTER)
    return isinstance(theirs, str) and (
        any(text in theirs for text in FORGIVING) or bool(BRACE_IN_EXEMPLAR.search(page)))


def told(format, samples):
    """Those that come twice once (the collector leaves them out later).  No counts, which OTLP has also where the page had
    none; and of the older text single lines alone: what is missing of a histogram is filled in by us, where it can be."""
    gathered = ("_bucket", "_count", "_sum") if format == "text" else ("_count",)
    return {s for s in samples if not s[0].endswith(gathered) and not (format == "text" and "quantile" in dict(s[1]))}


@pytest.mark.parametrize("format", ["openmetrics", "text"])
def test_what_is_changed_is_read_or_refused_by_both(format):
    """prometheus_client is lax about the older text: what we take it takes, too, and no more is asked."""
    rng, different, taken = random.Random("%s changed %s" % (SEED, format)), 0, 0
    pages = [changed(rng, Page(rng, format == "openmetrics").text()) for _ in range(COUNT * 3)]
    for page, answer in zip(pages, ours(format, pages)):
        mine = told(format, of_ours(answer)) if answer["reason"] == "ok" else answer["text"]
        taken += answer["reason"] == "ok"
        if isinstance(mine, str) and format == "text":
            continue
        theirs = peer_says(format, page)
        theirs = theirs if isinstance(theirs, str) else told(format, theirs)
        if mine == theirs or (isinstance(mine, str) and isinstance(theirs, str)):
            continue
        assert meant(mine, theirs, page), (mine if isinstance(mine, str) else mine ^ theirs if isinstance(theirs, set) else theirs, page)
        different += 1
    print("SEED=%d: %s: %d changed pages, %d taken, %d meant to differ" % (SEED, format, len(pages), taken, different))
    assert 0.1 < taken / len(pages) < 0.9
