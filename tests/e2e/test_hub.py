"""The hub, from outside: what a site and an engineer meet, and what a stranger does."""

import base64
import gzip
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from hub import Client, Hub, Key, Site, canonical, now, otlp_metrics

T0 = time.time_ns()


@pytest.fixture
def site(hub, ada, request):
    """A fresh site, enrolled and accepted."""
    return hub.accepted_site(ada, "s-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12])


def test_its_keys_end_in_no_core_file(hub):
    with open(f"/proc/{hub.process.pid}/limits") as f:
        limit = next(line for line in f if line.startswith("Max core file size"))
    assert limit.split()[4:6] == ["0", "0"]


def test_systemd_hears_that_it_serves_lives_and_ends(tmp_path, monkeypatch):
    said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    said.bind(str(tmp_path / "notify"))
    said.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    h = Hub(str(tmp_path / "hub"))
    with h:
        assert said.recv(100) == b"READY=1"
        assert [said.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    last = b""
    while last != b"STOPPING=1":
        last = said.recv(100)


def refused(reply, status, reason):
    assert (reply.status, reply.reason) == (status, reason), reply.body
    if reply.headers["content-type"] == "application/problem+json":
        assert reply.json()["reason"] == reason and reply.json()["status"] == status


# --- enrolment ---------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_a_site_enrols_is_accepted_and_reads_its_record(hub, ada):
    s = Site(hub, "acme-1")
    reply = s.enrol()
    assert reply.status == 200
    assert reply.json() == {"v": 1, "site": "acme-1", "customer": "acme", "status": "pending"}
    refused(s.client.request("GET", "/v1/record"), 404, "not-found")
    refused(s.poll(), 403, "not-approved")
    refused(s.heartbeat(), 403, "not-approved")
    refused(s.metrics([("m", 1.0, T0)]), 403, "not-approved")
    assert s.client.request("POST", "/v1/daemon", s.daemon()).status == 200

    facts = {"v": 1, "site": "acme-1", "customer": "acme", "key": s.key.hex, "platform": "linux-x86_64",
             "name": "first", "labels": {}, "time": now(), "engineer": "ada"}
    refused(ada.post("/v1/fleet/sites/acme-1/record", ada.person.seal("site", dict(facts, engineer="eve"))), 401,
            "unknown-key")
    refused(s.client.request("GET", "/v1/record"), 404, "not-found")
    record = ada.person.seal("site", facts)
    assert ada.post("/v1/fleet/sites/acme-1/record", record).status == 200
    assert s.client.request("GET", "/v1/record").json() == record
    again = s.enrol()
    assert again.json()["status"] == "accepted" and again.json()["record"] == record


def test_enrolment_refuses_what_the_token_does_not_allow(hub):
    s = Site(hub, "strict-1")
    refused(s.enrol(secret="00" * 32), 401, "bad-signature")
    refused(Client(hub).request("POST", "/v1/enrol", dict(s.enrolment(), sigs=[])), 401, "unsigned")
    refused(Client(hub).request("POST", "/v1/enrol", b"{", {"Content-Type": "application/json"}), 400, "malformed")
    assert s.enrol().status == 200
    assert s.enrol().status == 200
    s.key, s.courier = Key(), Key()
    refused(s.enrol(), 410, "used-token")
    short = Site(hub, "short-1", expires="1s")
    time.sleep(1.2)
    refused(short.enrol(), 410, "expired")
    nobody = Site(hub, "strict-1b")
    nobody.site = "never-minted"
    refused(nobody.enrol(), 401, "bad-signature")


def test_a_renewed_courier_key_signs_and_a_strangers_does_not(hub, site):
    new = Key()
    envelope = site.daemon(courier=new)
    forged = dict(envelope, sigs=[{"keyid": site.key.keyid, "sig": "00" * 64}])
    refused(Client(hub).request("POST", "/v1/daemon", forged), 401, "bad-signature")
    refused(Client(hub, new).request("GET", "/v1/mailbox"), 401, "unknown-key")
    assert Client(hub, new).request("POST", "/v1/daemon", envelope).status == 200
    assert Client(hub, new).request("GET", "/v1/mailbox").status == 200


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_a_request_counts_once(hub, site):
    headers = {}
    nonce = site.client.sign("GET", "/v1/mailbox", headers, b"")
    assert site.client.send("GET", "/v1/mailbox", b"", headers, nonce).status == 200
    refused(site.client.send("GET", "/v1/mailbox", b"", headers, nonce), 409, "replayed")
    hub.stop(signal.SIGKILL)
    hub.start()
    refused(site.client.send("GET", "/v1/mailbox", b"", headers, nonce), 409, "replayed")


def test_a_request_that_died_before_its_reply_is_used_up(hub, site):
    """Killed between accepting it and answering: whoever saw it go by gains nothing by it."""
    path = "/v1/mailbox?after=0&wait=30"
    headers = {}
    nonce = site.client.sign("GET", path, headers, b"")
    ends = []

    def poll():
        try:
            ends.append(site.client.send("GET", path, b"", headers, None).status)
        except (OSError, http.client.HTTPException) as e:
            ends.append(e)

    thread = threading.Thread(target=poll)
    thread.start()
    deadline = time.time() + 10
    while not hub.rows("SELECT 1 FROM nonces WHERE nonce = ?", nonce, customer=""):
        assert time.time() < deadline
        time.sleep(0.02)
    hub.stop(signal.SIGKILL)
    thread.join(10)
    assert ends and ends[0] != 200
    hub.start()
    refused(site.client.send("GET", path, b"", headers, nonce), 409, "replayed")


def test_no_request_hides_in_another(hub):
    """Shapes that a front and the hub behind it might read differently: refused, and nothing is answered after."""
    import ssl
    context = ssl.create_default_context(cafile=hub.ca)
    host, port = hub.authority.rsplit(":", 1)
    hidden = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
    chunk = b"0\r\n\r\n"

    def post(*lines):
        return b"\r\n".join([b"POST /v1/enrol HTTP/1.1", b"Host: h", *lines]) + b"\r\n\r\n"

    for request in (post(b"Content-Length: %d" % len(chunk + hidden), b"Transfer-Encoding: chunked") + chunk + hidden,
                    post(b"Transfer-Encoding: chunked", b"Content-Length: 4") + chunk + hidden,
                    post(b"Transfer-Encoding : chunked", b"Content-Length: 5") + chunk + hidden,
                    post(b"Transfer-Encoding: xchunked") + chunk + hidden,
                    post(b"Transfer-Encoding: chunked, identity") + chunk + hidden,
                    post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + chunk + hidden,
                    post(b"Content-Length: 0", b"Content-Length: %d" % len(hidden)) + hidden,
                    post(b"Content-Length: +0") + hidden,
                    post(b"Content-Length: 0, 0") + hidden,
                    post(b"X: a", b" Content-Length: 0") + hidden,
                    post(b"X\0: a", b"Content-Length: 0") + hidden,
                    b"GET http://other/healthz HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n" + hidden,
                    b"GET /healthz HTTP/1.1\r\nHost: h\r\nHost : i\r\n\r\n" + hidden):
        with socket.create_connection((host, int(port))) as plain, context.wrap_socket(
                plain, server_hostname=host) as tls:
            tls.settimeout(10)
            tls.sendall(request)
            answer = b""
            while piece := tls.recv(4096):
                answer += piece
        assert re.match(rb"HTTP/1.1 400 ", answer), (request, answer[:100])
        assert answer.count(b"HTTP/1.1 ") == 1, (request, answer)


def test_a_covered_header_stands_once(hub, site):
    """What nginx joins or passes on twice, the hub refuses: it is not what was signed."""
    import ssl
    context = ssl.create_default_context(cafile=hub.ca)
    host, port = hub.authority.rsplit(":", 1)
    body = b"x"
    headers = {"Content-Type": "a/b", "Mainstay-Stream": "metrics", "Mainstay-Sequence": "1"}
    site.client.sign("POST", "/v1/metrics", headers, body)
    before = hub.rows("SELECT * FROM streams")
    lines = ["POST /v1/metrics HTTP/1.1", "Host: " + hub.authority, "Content-Length: 1", "Connection: close"]
    lines += ["%s: %s" % pair for pair in headers.items()]
    for name in ("Mainstay-Stream", "Mainstay-Sequence", "Content-Digest", "Signature", "Signature-Input"):
        with socket.create_connection((host, int(port))) as plain, context.wrap_socket(
                plain, server_hostname=host) as tls:
            tls.sendall("\r\n".join([*lines, "%s: %s" % (name, headers[name])]).encode() + b"\r\n\r\n" + body)
            answer = b""
            while piece := tls.recv(4096):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 400 ") and b"Mainstay-Reason: malformed" in answer, (name, answer[:300])
    assert hub.rows("SELECT * FROM streams") == before


def test_signatures_that_do_not_hold_are_refused(hub, site, ada):
    get = site.client.request
    refused(Client(hub).request("GET", "/v1/mailbox"), 401, "unsigned")
    refused(Client(hub, Key()).request("GET", "/v1/mailbox"), 401, "unknown-key")
    other = Client(hub, Key())
    other.key.keyid = site.courier.keyid
    refused(other.request("GET", "/v1/mailbox"), 401, "bad-signature")
    late = get("GET", "/v1/mailbox", created=time.time() - 3600)
    refused(late, 401, "expired")
    assert abs(time.mktime(time.strptime(late.json()["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
               - time.time()) < 60
    refused(get("GET", "/v1/mailbox", created=time.time() + 3600), 401, "not-yet-valid")
    headers = {}
    nonce = site.client.sign("GET", "/v1/mailbox?after=1", headers, b"")
    refused(site.client.send("GET", "/v1/mailbox?after=2", b"", headers, nonce), 401, "bad-signature")
    refused(site.metrics([("up", 1, T0)], digest=b"\0" * 32), 401, "hash-mismatch")
    refused(get("GET", "/v1/fleet/sites"), 403, "wrong-role")
    refused(ada.get("/v1/mailbox"), 403, "wrong-role")


def test_unknown_routes_and_oversized_bodies(hub, site):
    refused(Client(hub).request("GET", "/v1/nothing"), 404, "not-found")
    refused(Client(hub).request("PUT", "/v1/enrol"), 404, "not-found")
    refused(Client(hub).request("POST", "/v1/enrol", b"x" * 40_000), 413, "too-large")
    refused(Client(hub).request("POST", "/v1/enrol", b"x" * 2_000_000, check=False), 413, "too-large")
    refused(site.client.request("GET", "/v1/mailbox?wait=56"), 400, "malformed")
    refused(site.client.request("GET", "/v1/mailbox?what=1"), 400, "malformed")
    refused(Client(hub).request("GET", "/tuf/none.json", check=False), 404, "not-found")


def test_hostile_http_is_not_let_in(hub):
    import ssl
    context = ssl.create_default_context(cafile=hub.ca)
    host, port = hub.authority.rsplit(":", 1)
    for request in (b"GET /healthz HTTP/1.1\r\n\r\n",
                    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                    b"POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
                    b"POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
        with socket.create_connection((host, int(port))) as plain, context.wrap_socket(
                plain, server_hostname=host) as tls:
            tls.sendall(request)
            assert b" 400 " in tls.recv(4096).split(b"\r\n")[0]


def test_the_socket_wants_one_host_and_one_length(hub):
    """Behind nginx's back, the hub checks again."""
    for request, status in ((b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
                            (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
                            (b"POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxx",
                             b"400"),
                            (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"200")):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(hub.state, "http.sock"))
            s.sendall(request)
            assert s.recv(4096).split(b" ")[1] == status, request


# --- telemetry --------------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_metrics_are_stored_and_shown(hub, ada):
    s = hub.accepted_site(ada, "metrics-1")
    t = time.time_ns()
    assert s.metrics([("redis.clients", 3, t), ("redis.load", 0.5, t)]).committed == 1
    body = gzip.compress(otlp_metrics(s.site, [("redis.clients", 4, t + 10**9)]))
    assert s.post("/v1/metrics", "metrics", body, "application/x-protobuf", encoding="gzip").committed == 2
    if shutil.which("zstd"):
        body = subprocess.run(["zstd", "-q", "-c"], input=otlp_metrics(s.site, [("redis.clients", 5, t + 2 * 10**9)]),
                              stdout=subprocess.PIPE, check=True).stdout
        assert s.post("/v1/metrics", "metrics", body, "application/x-protobuf", encoding="zstd").committed == 3
    page = ada.get("/v1/fleet/sites/metrics-1").json()
    latest = {m["name"]: m for m in page["metrics"]}
    assert latest["redis.load"]["value"] == 0.5 and latest["redis.load"]["service"] == "redis"
    assert latest["redis.clients"]["value"] in (4, 5)
    history = ada.get("/v1/fleet/sites/metrics-1/metrics?name=redis.clients").json()["items"]
    assert [p[1] for p in history[0]["points"]][:2] == [3, 4]


def test_a_batch_that_comes_again_is_not_stored_again(hub, ada, site):
    def batches():
        return hub.rows("SELECT count(*) FROM point_batches WHERE site = ?", site.site)[0][0]

    assert site.metrics([("a", 1, T0)], sequence=1).committed == 1
    assert site.metrics([("a", 3, T0 + 10**9)], sequence=5).committed == 5
    stored = batches()
    assert site.metrics([("a", 1, T0)], sequence=1).committed == 5
    assert site.metrics([("a", 3, T0 + 10**9)], sequence=5).committed == 5
    assert batches() == stored
    assert site.metrics([("a", 4, T0 + 2 * 10**9)], sequence=4).committed == 5, "what never came is taken late, too"
    assert site.metrics([("a", 9, T0 + 3 * 10**9), ("b", 1, T0)], sequence=1).committed == 5, "restored, and another record"
    assert [value for _, value in ada.points(site.site, "a")] == [1, 3, 4, 9]
    assert [value for _, value in ada.points(site.site, "b")] == [1]


def test_otlp_refusals(hub, site):
    refused(site.metrics([("a", 1, T0)], sequence=0), 400, "malformed")
    refused(site.post("/v1/metrics", "wrong", b"", "application/x-protobuf"), 400, "malformed")
    refused(site.post("/v1/metrics", "metrics", b"{}", "application/json"), 415, "usage")
    bad = site.post("/v1/metrics", "metrics", b"x", "application/x-protobuf", encoding="br")
    refused(bad, 415, "usage")
    assert "zstd" in bad.headers["accept-encoding"] and bad.headers["content-type"] == "application/x-protobuf"
    refused(site.post("/v1/metrics", "metrics", b"\xff\xff", "application/x-protobuf"), 400, "malformed")
    refused(site.post("/v1/metrics", "metrics", b"notgzip", "application/x-protobuf", encoding="gzip"), 400, "malformed")
    bomb = gzip.compress(b"\0" * (65 * 1024 * 1024))
    refused(site.post("/v1/metrics", "metrics", bomb, "application/x-protobuf", encoding="gzip"), 413, "too-large")
    half = otlp_metrics(site.site, [("good", 1, T0), ("", 1, T0)])
    reply = site.post("/v1/metrics", "metrics", half, "application/x-protobuf")
    assert reply.status == 200 and reply.body[:1] == b"\x0a", "partial_success"
    assert hub.rows("SELECT name FROM series WHERE site = ?", site.site) == [("good",)]
    assert site.post("/v1/metrics", "metrics", b"", "application/x-protobuf").status == 200


@pytest.mark.flow
def test_ingest_is_exactly_once_across_sigkill(hub, ada, site):
    """The hub is killed again and again while batches come; each is there once."""
    points, kills, over, sent = 20, 4, threading.Event(), [0]

    def feed():
        while not over.is_set():
            sequence = sent[0] + 1
            try:
                reply = site.metrics([("n%d" % i, sequence, T0 + sequence * 10**9) for i in range(points)],
                                     sequence=sequence, timeout=5)
            except (OSError, KeyError, AssertionError, http.client.HTTPException):
                time.sleep(0.02)  # no answer, or nginx's own: the same again
                continue
            if reply.status == 200:
                assert reply.committed == sequence
                sent[0] = sequence

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    for _ in range(kills):
        time.sleep(0.4)
        hub.stop(signal.SIGKILL)
        hub.start()
    time.sleep(0.4)
    over.set()
    thread.join(30)
    batches = sent[0]
    assert batches > kills
    for n in range(points):
        assert [value for _, value in ada.points(site.site, "n%d" % n)] == list(range(1, batches + 1))
    assert hub.rows("SELECT committed FROM streams WHERE site = ?", site.site) == [(batches,)]


@pytest.mark.flow
def test_alerts_fire_resolve_and_are_acknowledged(hub, ada):
    s = hub.accepted_site(ada, "alerts-1")
    since = now(-60)
    assert s.alert("redis-down", "firing", since, "no answer").committed == 1
    item = [a for a in ada.get("/v1/fleet/alerts").json()["items"] if a["site"] == s.site][0]
    assert (item["name"], item["state"], item["text"]) == ("redis-down", "firing", "no answer")
    assert ada.post("/v1/fleet/alerts/%s/ack" % item["id"], b"{}").json()["acknowledged_by"] == "ada"
    assert s.alert("redis-down", "resolved", since).committed == 2
    items = [a for a in ada.get("/v1/fleet/alerts").json()["items"] if a["site"] == s.site]
    assert [a["state"] for a in items] == ["resolved"] and items[0]["acknowledged_by"] == "ada"
    refused(ada.post("/v1/fleet/alerts/acme.999999/ack", b"{}"), 404, "not-found")
    refused(ada.post("/v1/fleet/alerts/nothing/ack", b"{}"), 404, "not-found")


# --- the site's own word -------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_statements_and_assignments(hub, ada):
    s = hub.accepted_site(ada, "state-1")
    refused(s.client.request("GET", "/assignments/state-1"), 404, "not-found")
    assert s.heartbeat([{"name": "redis", "release": "1", "channel": "stable"}]).committed == 1
    page = ada.get("/v1/fleet/sites/state-1").json()
    assert page["key"] == s.key.hex and page["statement"]["sigs"][0]["keyid"] == s.key.keyid
    first = s.client.request("GET", "/assignments/state-1")
    assert first.status == 200
    import json
    payload = json.loads(base64.b64decode(first.json()["payload"]))
    assert payload["site"] == "state-1" and payload["releases"] == []
    assert s.client.request("GET", "/assignments/state-1").json() == first.json()
    refused(s.client.request("GET", "/assignments/acme-1"), 403, "wrong-addressee")


def test_a_statement_by_another_key_is_not_stored(hub, site):
    good, site.key = site.key, Key()
    refused(site.heartbeat(), 422, "unknown-key")
    site.key = good
    assert site.heartbeat().committed == 1
    assert hub.rows("SELECT count(*) FROM statements WHERE site = ?", site.site) == [(1,)]


def merkle(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + merkle(leaves[:k]) + merkle(leaves[k:])).digest()


def checkpoint(site, leaves, origin=None):
    origin = origin or "mainstay.audit/" + site.site
    text = "%s\n%d\n%s\n" % (origin, len(leaves), base64.b64encode(merkle(leaves)).decode())
    keyid = hashlib.sha256(origin.encode() + b"\n\x01" + site.audit.raw).digest()[:4]
    line = base64.b64encode(keyid + site.audit.private.sign(text.encode())).decode()
    return text + "\n\u2014 %s %s\n" % (origin, line)


@pytest.mark.flow
def test_the_hub_witnesses_heads_and_no_other_history(hub, ada):
    s = hub.accepted_site(ada, "audit-1")

    def add(old, proof, note):
        body = "old %d\n%s\n%s" % (old, "".join(base64.b64encode(p).decode() + "\n" for p in proof), note)
        return s.post("/witness/add-checkpoint", "audit", body.encode(), "text/plain")

    leaves = [b"a", b"b", b"c"]
    reply = add(0, [], checkpoint(s, leaves[:1]))
    assert reply.status == 200 and reply.body.decode().startswith("\u2014 test-hub ")
    leaf = [hashlib.sha256(b"\0" + x).digest() for x in leaves]
    assert add(1, [leaf[1]], checkpoint(s, leaves[:2])).status == 200
    again = add(1, [leaf[1]], checkpoint(s, leaves[:2]))
    assert again.status == 409 and again.body == b"2\n" and again.headers["content-type"] == "text/x.tlog.size"
    assert add(2, [leaf[2]], checkpoint(s, [b"x", b"y", b"z"])).status == 422
    assert add(2, [leaf[2]], checkpoint(s, leaves, origin="mainstay.audit/other")).status == 404
    assert add(2, [leaf[2]], checkpoint(s, leaves)).status == 200
    page = ada.get("/v1/fleet/sites/audit-1").json()
    assert page["audit"]["size"] == 3 and "test-hub" in page["audit"]["checkpoint"]
    assert [h["size"] for h in ada.get("/v1/fleet/sites/audit-1/audit?from=2").json()["items"]] == [2, 3]


# --- mailbox ----------------------------------------------------------------------------------------------------------------


def request_of(person, s, rid, **changes):
    payload = {"v": 1, "id": rid, "site": s.site, "customer": s.customer, "service": "redis", "instance": "main",
               "operation": "info", "args": {}, "definition": "sha256:" + "ab" * 32, "reason": "look", "ticket": "T-1",
               "engineer": person.name, "people_version": 1, "epoch": "00" * 16, "not_before": now(-60),
               "expires": now(3600), "nonce": os.urandom(16).hex()}
    payload.update(changes)
    return person.seal("request", payload), "sha256:" + hashlib.sha256(canonical(payload)).hexdigest()


@pytest.mark.flow
def test_a_request_goes_out_and_its_result_comes_back(hub, ada):
    s = hub.accepted_site(ada, "box-1")
    envelope, digest = request_of(ada.person, s, "r-1")
    got = {}

    def poll():
        got["reply"], got["at"] = s.poll(wait=30), time.time()

    thread = threading.Thread(target=poll)
    thread.start()
    time.sleep(0.5)
    posted = time.time()
    reply = ada.post("/v1/fleet/requests", envelope)
    assert reply.status == 202 and reply.json() == {"id": "r-1"}
    thread.join(10)
    assert got["at"] - posted < 2, "the poll wakes at once"
    assert got["reply"].json()["items"] == [{"n": 1, "kind": "request", "body": envelope}]
    assert ada.get("/v1/fleet/requests/r-1").json()["state"] == "queued"
    assert s.poll(after=0).json()["items"], "what is not acknowledged is given again"
    assert s.poll(after=1).json()["items"] == []
    assert ada.get("/v1/fleet/requests/r-1").json()["state"] == "delivered"

    plan = s.key.seal("plan", {"v": 1, "request": digest, "text": "redis-cli info", "argv": [], "targets": [],
                               "limits": {}, "downtime": "none", "undo": "", "not_recorded": []})
    body = {"v": 1, "kind": "plan", "request": "r-1", "decision": "ask", "envelope": plan}
    assert s.post("/v1/results", "results", canonical(body), "application/json").committed == 1
    page = ada.get("/v1/fleet/requests/r-1").json()
    assert (page["state"], page["decision"], page["plan"]) == ("waiting", "ask", plan)

    waited = {}

    def wait():
        waited["page"] = ada.get("/v1/fleet/requests/r-1?wait=30&state=waiting").json()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    result = s.key.seal("result", {"v": 1, "request": digest, "outcome": "ok", "reason": "", "exit_status": 0,
                                   "signal": 0, "stdout": "x", "stderr": "", "truncated": False, "cpu_ms": 1,
                                   "max_rss": 1, "wall_ms": 1})
    body = {"v": 1, "kind": "result", "request": "r-1", "envelope": result}
    assert s.post("/v1/results", "results", canonical(body), "application/json").committed == 2
    thread.join(10)
    assert waited["page"]["state"] == "done" and waited["page"]["result"] == result
    assert "r-1" in [i["id"] for i in ada.get("/v1/fleet/requests").json()["items"]]


def test_requests_and_results_that_do_not_hold_are_refused(hub, ada):
    s = hub.accepted_site(ada, "box-2")
    envelope, digest = request_of(ada.person, s, "q-1")
    assert ada.post("/v1/fleet/requests", envelope).status == 202
    assert ada.post("/v1/fleet/requests", envelope).status == 202, "the same again is the same"
    refused(ada.post("/v1/fleet/requests", request_of(ada.person, s, "q-1")[0]), 409, "conflict")
    assert len(s.poll().json()["items"]) == 1
    refused(ada.post("/v1/fleet/requests", request_of(ada.person, s, "q-2", expires=now(-1))[0]), 403, "expired")
    refused(ada.post("/v1/fleet/requests", request_of(ada.person, s, "q-3", site="nowhere")[0]), 403, "wrong-addressee")
    refused(ada.post("/v1/fleet/requests", request_of(ada.person, s, "q-4", extra=1)[0]), 400, "unknown-field")
    refused(ada.get("/v1/fleet/requests/none"), 404, "not-found")
    answer = s.key.seal("result", {"v": 1, "request": "sha256:" + "00" * 32})
    body = {"v": 1, "kind": "result", "request": "q-1", "envelope": answer}
    refused(s.post("/v1/results", "results", canonical(body), "application/json"), 422, "altered")
    body["envelope"] = Key().seal("result", {"v": 1, "request": digest})
    refused(s.post("/v1/results", "results", canonical(body), "application/json"), 422, "unknown-key")
    assert "result" not in ada.get("/v1/fleet/requests/q-1").json()


# --- engineers ---------------------------------------------------------------------------------------------------------------


def test_logins_are_bound_to_hub_nonce_person_and_time(hub, ada):
    from hub import Engineer, Person
    ben = hub.make_person("ben", roles="support", customers="globex")
    refused(Engineer(hub, ben, ["*"]).login(), 403, "wrong-role")
    refused(Engineer(hub, ben, ["acme"]).login(), 403, "wrong-role")
    refused(Engineer(hub, ben, ["globex"]).login(hub="other"), 403, "wrong-addressee")
    refused(Engineer(hub, ben, ["globex"]).login(not_after=now(9 * 3600)), 400, "malformed")
    refused(Engineer(hub, ben, ["globex"]).login(not_after=now(-1)), 403, "expired")
    refused(Engineer(hub, ben, ["globex"]).login(nonce="00" * 24), 409, "replayed")
    refused(Engineer(hub, ben, ["globex"]).login(key="00" * 32), 403, "low-order-key")
    refused(Engineer(hub, Person(hub.folder, "eve"), ["globex"]).login(), 401, "unknown-key")
    e = Engineer(hub, ben, ["globex"])
    assert e.login().status == 200
    refused(e.get("/v1/fleet/sites/acme-1"), 404, "not-found")
    assert all(i["customer"] == "globex" for i in e.get("/v1/fleet/sites").json()["items"])
    hub.revoke("ben")
    refused(e.get("/v1/fleet/sites"), 403, "revoked")


# --- the process ---------------------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_the_counters_are_prometheus_text(hub):
    reply = Client(hub).request("GET", "/metrics", check=False)
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = reply.body.decode()
    for name in ("requests_total", "refusals_total", "batches_total", "points_total", "sites", "mailbox_requests_total"):
        assert "# TYPE mainstay_hub_%s " % name in text
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=reply.body, check=True)
    for path in ("/healthz", "/readyz"):
        assert Client(hub).request("GET", path, check=False).status == 200


def test_one_hub_a_folder_and_nginx_comes_back(hub):
    second = hub.command("run", check=False)
    assert second.returncode == 1 and b"conflict" in second.stderr
    other = hub.command("init", "--name", "other", "--listen", "127.0.0.1:0", "--repo", hub.repo, "--facts",
                        os.path.join(hub.folder, "f"), check=False)
    assert other.returncode == 1 and b"[conflict]" in other.stderr
    with open(os.path.join(hub.state, "nginx", "nginx.pid")) as f:
        master = int(f.read())
    os.kill(master, signal.SIGKILL)
    deadline = time.time() + 20
    while True:
        try:
            assert Client(hub).request("GET", "/healthz", check=False).status == 200
            with open(os.path.join(hub.state, "nginx", "nginx.pid")) as f:
                assert int(f.read()) != master
            break
        except (OSError, AssertionError, ValueError):
            assert time.time() < deadline
            time.sleep(0.1)


@pytest.mark.flow
def test_sigterm_ends_polls_and_leaves_nothing_behind():
    with Hub() as h:
        h.make_repo()
        s = h.accepted_site(h.engineer("ada"))
        got = {}
        thread = threading.Thread(target=lambda: got.update(reply=s.poll(wait=50)))
        thread.start()
        time.sleep(0.5)
        with open(os.path.join(h.state, "nginx", "nginx.pid")) as f:
            master = int(f.read())
        began = time.time()
        assert h.stop() == 0
        assert time.time() - began < 6
        thread.join(5)
        assert got["reply"].status == 200 and got["reply"].json()["items"] == []
        with pytest.raises(ProcessLookupError):
            os.kill(master, 0)
