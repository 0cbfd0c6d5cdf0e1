"""A site behind proxies: plain, with a login, opening TLS, lying.  One estate, whose way out changes under it."""

import base64
import json
import os
import re
import subprocess

import pytest

from estate import ROOT, SITE, Estate, until
from proxy import Authority, Liar, Nginx, Opener, Squid, Tinyproxy, free_port
from test_update import planned, variant

LOGIN = "ann:se-cret"


@pytest.fixture(scope="module")
def e():
    with Estate("proxy") as estate:
        estate.port = free_port()
        estate.proxy = Tinyproxy(estate.dir, estate.port)
        try:
            estate.vendor()
            with open(estate.path("facts.json")) as f:
                estate.hub_port = int(json.load(f)["url"].rsplit(":", 1)[1])
            authority = estate.authority = Authority(estate.dir)
            with open(estate.path("both.pem"), "wb") as out:
                for path in (estate.path("hub", "ca.pem"), authority.ca):
                    with open(path, "rb") as f:
                        out.write(f.read())
            estate.start_site()
            way = ["--proxy", estate.proxy.url]
            plain, estate.enrol_args = estate.enrol_args, lambda: [*plain()[:-1], estate.path("both.pem"), *way]
            estate.enrol()
            estate.policy()
            estate.mainstay("on", "all")
            yield estate
        finally:
            estate.proxy.stop()


def use(e, url):
    with open(e.path("site", "etc", "proxy"), "w") as f:
        f.write(url + "\n")


def contact(e):
    return e.status()["hub"]["last_contact"]


def in_touch(e):
    """The hub answers: something new since now."""
    before = contact(e)
    until("contact with the hub", lambda: contact(e) and contact(e) != before)


def doctor(e):
    items = json.loads(e.mainstay("doctor", "--json", code=None).stdout)["items"]
    return {i["check"]: i for i in items}


def test_everything_goes_through_a_plain_proxy(e):
    in_touch(e)
    assert e.proxy.connects(e.hub_port) >= 2, "enrolment and what came after"
    hub = e.status()["hub"]
    assert (hub["proxy"], hub["trouble"]) == (e.proxy.url, None)
    assert doctor(e)["proxy"]["ok"] and doctor(e)["hub"]["ok"]
    assert until("the statement", lambda: e.desk_json("show", SITE)["statement"])


def test_a_proxy_that_wants_a_login_is_named_and_given_one(e):
    e.proxy.stop()
    e.proxy = Tinyproxy(e.dir, e.port, LOGIN)
    until("the trouble in status", lambda: e.status()["hub"]["trouble"] == "proxy-auth")
    bad = doctor(e)["proxy"]
    assert not bad["ok"] and "NAME:PASSWORD" in bad["remedy"] and "407" in bad["text"]
    use(e, e.proxy.url)
    in_touch(e)
    hub = e.status()["hub"]
    assert (hub["proxy"], hub["trouble"]) == (f"http://127.0.0.1:{e.port}", None)
    assert doctor(e)["hub"]["ok"]
    assert not [words for _, words in e.processes() if "se-cret" in words], "in no argv"
    for name in os.listdir(e.logs):
        if name != "commands.log":
            with open(os.path.join(e.logs, name), errors="replace") as f:
                assert "se-cret" not in f.read(), name
    assert "se-cret" not in e.mainstay("doctor", code=None).stdout + e.mainstay("status", "--json").stdout


def test_squid_wants_a_login_too(e):
    """It answers 407 in its own words, and keeps the connection."""
    e.proxy.stop()
    use(e, f"http://127.0.0.1:{e.port}")
    e.proxy = Squid(e.dir, e.port, LOGIN)
    until("the trouble in status", lambda: e.status()["hub"]["trouble"] == "proxy-auth")
    use(e, e.proxy.url)
    in_touch(e)
    assert e.status()["hub"]["trouble"] is None and doctor(e)["hub"]["ok"]
    # What is lasting is logged when it ends; what was refused, at once.
    assert "TCP_DENIED/407" in e.proxy.connects(e.hub_port)
    assert not [words for _, words in e.processes() if "se-cret" in words], "in no argv"


def test_a_proxy_that_is_gone_is_named(e):
    e.proxy.stop()
    until("the trouble in status", lambda: e.status()["hub"]["trouble"] == "proxy")
    assert not doctor(e)["proxy"]["ok"]


def test_a_proxy_that_opens_tls_carries_everything(e):
    nginx = Nginx(e.dir, e.authority, e.hub_port)
    e.proxy = Opener(nginx.port)
    try:
        use(e, e.proxy.url)
        in_touch(e)
        e.mainstay("service", "install", "redis")
        until("Redis passing", lambda: e.service("redis")["health"] == "passing")
        # There and back: the long poll brings the request, the outbox takes the result.
        done = e.desk_json("run", SITE, "redis", "ping", "--reason", "r", "--ticket", "T-1", "--wait", "30s")
        assert "PONG" in json.dumps(done)
        seen = nginx.seen()
        for path in ("/v1/heartbeat", "/v1/metrics", "/v1/results", "/v1/mailbox?after=", "/witness/", "/objects/"):
            assert path in seen, path
        # Without its CA it is a stranger, and doctor says so.
        with open(e.path("hub", "ca.pem")) as f, open(e.path("site", "etc", "ca.pem"), "w") as out:
            out.write(f.read())
        assert "CA" in doctor(e)["tls"]["remedy"]
    finally:
        with open(e.path("both.pem")) as f, open(e.path("site", "etc", "ca.pem"), "w") as out:
            out.write(f.read())
        nginx.stop()


def sequence_of(request):
    """(path, sequence) of a batch."""
    found = re.search(rb"(?i)mainstay-sequence: (\d+)", request)
    return request.split(b" ", 2)[1], int(found.group(1)) if found else None


def with_body(reply, body):
    head = reply.partition(b"\r\n\r\n")[0]
    head = re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head)
    return head + b"\r\n\r\n" + body


LIES = {
    "a bare 200": lambda request, reply: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a page": lambda request, reply: b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    "another status": lambda request, reply: reply.replace(b" 200 ", b" 202 ", 1),
    "another body": lambda request, reply: with_body(reply, b'{"v":1}'),
    "another number": lambda request, reply: re.sub(rb"(?i)(mainstay-committed: )\d+", rb"\g<1>99", reply),
    "half of it": lambda request, reply: reply[:len(reply) // 2],
    "no signature": lambda request, reply: re.sub(rb"(?i)\r\nsignature: [^\r]*", b"", reply),
}


def test_a_liar_gains_nothing_and_loses_nothing(e):
    liar = Liar(e.authority, e.hub_port, e.path("hub", "ca.pem"))
    e.proxy.stop()
    e.proxy = Opener(liar.port)
    try:
        use(e, e.proxy.url)
        in_touch(e)
        metrics = [r for q, r in liar.seen if q.startswith(b"POST /v1/metrics")]
        old = metrics[0] if metrics else until("a batch", lambda: next(
            r for q, r in liar.seen if q.startswith(b"POST /v1/metrics")))
        replies = dict(LIES, **{"an earlier answer": lambda request, reply: old})
        for name, lie in replies.items():
            told, count = [], len(liar.seen)

            def once(request, reply, lie=lie, told=told):
                if told or not request.startswith(b"POST /v1/metrics"):
                    return None
                told.append(sequence_of(request))
                return lie(request, reply)

            liar.lie = once
            # The same record is sent again, for the lie did not let it go.
            until(name, lambda: told and [sequence_of(q) for q, _ in liar.seen[count:]].count(told[0]) >= 2)
        liar.lie = None
        in_touch(e)
        # What went by is worth nothing played again.
        signed = re.compile(rb"(POST /v1/(metrics|heartbeat|results)|GET /v1/mailbox)")
        for request, reply in [(q, r) for q, r in liar.seen if signed.match(q)][:20]:
            again = liar.ask(request)
            assert again.split(b" ", 2)[1] in (b"409", b"401"), again[:200]
            assert re.search(rb"(?i)\r\nmainstay-reason: (replayed|expired)\r\n", again), again[:400]
        # And nothing is missing at the hub: its replies to what was sent count up without a gap.
        path = b"/v1/metrics"
        sent = sorted({n for p, n in (sequence_of(q) for q, r in liar.seen if b" 200 " in r[:20]) if p == path})
        assert sent == list(range(sent[0], sent[-1] + 1)) and len(sent) > len(replies)
    finally:
        liar.stop()


def header(request, name):
    found = re.search(rb"(?i)\r\n" + name + rb": ([^\r]*)\r\n", request)
    return found and found[1].decode()


def plain_body(request):
    body = request.partition(b"\r\n\r\n")[2]
    if header(request, b"content-encoding") == "zstd":
        return subprocess.run(["zstd", "-dc"], input=body, capture_output=True, check=True).stdout
    return body


def canaries():
    """[(a line, what must be gone of it)] of tests/unit/appliance/egress/canaries.h, those of one line."""
    path = os.path.join(ROOT, "tests", "unit", "appliance", "egress", "canaries.h")
    with open(path) as f:
        rows = re.findall(r'\t\{ ((?:"(?:[^"\\]|\\.)*"[,\s]*)+)(?:true|false) \},', f.read())
    texts = [[json.loads("".join(parts)) for parts in map(joined, row)]
             for row in (re.findall(r'(?:"(?:[^"\\]|\\.)*"\s*)+', row) for row in rows)]
    return [(text, secret) for _, text, secret in texts if "\n" not in text]


def joined(literals):
    """One JSON string of C's adjacent ones."""
    return ['"' + "".join(w[1:-1] for w in re.findall(r'"(?:[^"\\]|\\.)*"', literals)) + '"']


def names_of(items):
    return {(i["name"], *sorted(i["attributes"])) for i in items if i["class"] == "metric"}


def test_a_tap_sees_what_the_ledger_and_preview_show(e):
    """The bytes on the way are those of `sent --body`, and hold no other field than preview shows; one that is accepted
    meanwhile is in both."""
    tap = Liar(e.authority, e.hub_port, e.path("hub", "ca.pem"))
    e.proxy.stop()
    e.proxy = Opener(tap.port)
    try:
        use(e, e.proxy.url)

        def batches(since=0):
            return [q for q, r in tap.seen[since:] if q.startswith(b"POST /v1/metrics") and b" 200 " in r[:20]]

        def decoded(request):
            which = f"{header(request, b'mainstay-stream')}:{header(request, b'mainstay-sequence')}"
            shown = e.mainstay_json("telemetry", "sent", "--body", which)
            assert base64.b64decode(shown["body"]) == plain_body(request)
            return names_of(shown["items"])

        before = until("a batch", batches)[-1]
        new = "host_filesystem_free_bytes"
        waiting = [i["field"] for i in e.mainstay_json("telemetry", "review")["items"]]
        assert [f for f in waiting if f.startswith(new)], waiting
        assert decoded(before) <= names_of(e.mainstay_json("telemetry", "preview")["items"])
        assert not [n for n in decoded(before) if n[0] == new]
        e.mainstay("telemetry", "accept", new + "*")
        shown = names_of(e.mainstay_json("telemetry", "preview")["items"])
        assert [n for n in shown if n[0] == new]
        count = len(tap.seen)
        after = until("the field", lambda: [q for q in batches(count) if [n for n in decoded(q) if n[0] == new]])[0]
        assert decoded(after) <= shown
        a_field_that_a_release_added(e, tap)
    finally:
        tap.stop()


def a_field_that_a_release_added(e, tap):
    """A log: its lines, a secret in each, leave once it is accepted, and as preview shows them."""
    field, lines = "log.redis.added", canaries()
    assert len(lines) >= 80

    def shipped():
        bodies = [plain_body(q) for q, _ in tap.seen if q.startswith(b"POST /v1/logs")]
        return [b for b in bodies if field.encode() in b]

    def shown():
        return [i["value"] for i in e.mainstay_json("telemetry", "preview")["items"] if i["name"] == field]

    e.publish(variant(e, "7.0.15-2", ("    format: redis\n", "    format: redis\n  - name: added\n    file: \"{log}/added.log\"\n")))
    e.mainstay("update", "check")
    e.mainstay("update", "apply", "--plan", until("a plan", lambda: planned(e)))
    file = e.path("site", "lib", "services", "redis", "log", "added.log")
    owner = os.stat(os.path.dirname(file))

    def write(text):
        with open(file, "a") as out:
            out.write(text)
        os.chown(file, owner.st_uid, owner.st_gid)
        os.chmod(file, 0o640)

    write("before it was accepted\n")
    row = until("the log under review", lambda: [i for i in e.mainstay_json("telemetry", "review")["items"]
                                                 if i["field"] == field])[0]
    assert row["state"] == "new" and row["release"] and not shown() and not shipped()
    e.mainstay("telemetry", "accept", field)
    write("".join(f"{n} {text}\n" for n, (text, _) in enumerate(lines)) + "end\n")
    until("the last line at the tap", lambda: b"end" in b"".join(shipped()))
    at_tap = []
    for item in e.mainstay_json("telemetry", "sent", "--class", "log")["items"]:
        body = e.mainstay_json("telemetry", "sent", "--body", f"{item['stream']}:{item['sequence']}")
        if base64.b64decode(body["body"]) in shipped():
            at_tap += [i["value"] for i in body["items"] if i["name"] == field]
    assert len(at_tap) >= len(lines) + 1 and at_tap[-1] == "end"
    last = shown()
    assert len(last) == 5 and at_tap[-5:] == last
    left = [line for line, (_, secret) in zip(at_tap[-len(lines) - 1:], lines) if secret in line.partition(" ")[2]]
    assert not left, left
    everything = b"".join(plain_body(q) for q, _ in tap.seen)
    assert not [text for text, secret in lines if len(secret) >= 16 and secret.encode() in everything]
