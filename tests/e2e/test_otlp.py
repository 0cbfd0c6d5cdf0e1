"""Other OTLP senders: a bearer token, and whatever an exporter of somebody else's sends with it."""

import gzip
import http.client
import json
import os
import re
import ssl
import time
from pathlib import Path

import pytest

from hub import Reply, attribute, field, now, otlp_alert, otlp_metrics, varint
from test_hub_refused import once, reasons

PROTOBUF = "application/x-protobuf"
VECTORS = Path(os.environ.get("VECTORS", "../shared/vectors")) / "otlp"
STORED = (("acme", "series"), ("acme", "point_batches"), ("acme", "alerts"))


@pytest.fixture(scope="module")
def site(hub, ada):
    return hub.accepted_site(ada, "otlp-1")


def mint(hub, site="otlp-1", expires="1h"):
    return hub.command("token", "--customer", "acme", "--site", site, "--expires", expires, "--otlp").stdout.decode()


@pytest.fixture(scope="module")
def token(hub, site):
    text = mint(hub)
    assert re.fullmatch(r"otlp_[0-9a-f]{16}_[0-9a-f]{64}\n", text)
    return text.strip()


def chunks(body):
    """In pieces of some bytes, as a stream that does not know its length sends them."""
    return iter([body[i:i + 100] for i in range(0, len(body), 100)])


def send(hub, path, body, token, chunked=False, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    headers.setdefault("content-type", PROTOBUF)
    if token:
        headers["authorization"] = "Bearer " + token
    if chunked:
        headers["transfer-encoding"] = "chunked"
    host, port = hub.authority.rsplit(":", 1)
    connection = http.client.HTTPSConnection(host, int(port), timeout=30,
                                             context=ssl.create_default_context(cafile=hub.ca))
    try:
        connection.request("POST", path, chunks(body) if chunked else body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def status_of(reply):
    """The google.rpc.Status of an error: (code, message)."""
    assert reply.headers["content-type"] == PROTOBUF
    assert reply.body[0] == 8 and reply.body[2] == 0x12 and len(reply.body) == 4 + reply.body[3]
    return reply.body[1], reply.body[4:].decode()


def rejected(reply):
    """How many the partial_success of a 200 rejects, and why; (0, "") where all was taken."""
    assert reply.status == 200 and reply.headers["content-type"] == PROTOBUF
    if not reply.body:
        return 0, ""
    hit = re.fullmatch(rb"\x0a.\x08(.)\x12.(.*)", reply.body, re.S)
    return hit.group(1)[0], hit.group(2).decode()


def test_points_of_another_sender_are_the_sites_and_say_so(hub, ada, site, token):
    t = time.time_ns()
    assert site.metrics([("up", 1, t)]).committed == 1
    assert rejected(send(hub, "/v1/metrics", otlp_metrics("elsewhere", [("up", 7, t)]), token)) == (0, "")
    # Nothing is signed here, and what the site itself said stands.
    page = ada.get("/v1/fleet/sites/otlp-1").json()
    assert {m["service"]: m["value"] for m in page["metrics"] if m["name"] == "up"} == {"redis": 1, "otlp:redis": 7}
    # The same again (its answer was lost, say) is the same.
    assert rejected(send(hub, "/v1/metrics", otlp_metrics("elsewhere", [("up", 7, t)]), token)) == (0, "")
    assert [len(ada.points("otlp-1", "up", service)) for service in ("redis", "otlp:redis")] == [1, 1]
    assert hub.rows("SELECT stream, committed FROM streams WHERE site = 'otlp-1'") == [("metrics", 1)]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_bodies_in_every_form(hub, ada, token, chunked, coding):
    name = "form.%s.%s" % (coding, chunked)
    body = otlp_metrics("x", [(name, n, time.time_ns() + n) for n in range(0, 20_000_000, 1000_000)])
    body = gzip.compress(body) if coding == "gzip" else body
    assert rejected(send(hub, "/v1/metrics", body, token, chunked, content_encoding=coding)) == (0, "")
    assert len(ada.points("otlp-1", name)) == 20


def test_alerts_of_another_sender_are_its_own(hub, ada, site, token):
    since = now(-60)
    assert site.alert("down", "firing", since, "by the site").committed == 1
    assert rejected(send(hub, "/v1/logs", otlp_alert("x", "down", "firing", since, "by another"), token)) == (0, "")
    assert rejected(send(hub, "/v1/logs", otlp_alert("x", "down", "resolved", since), token)) == (0, "")
    items = [a for a in ada.get("/v1/fleet/alerts").json()["items"] if a["site"] == "otlp-1"]
    assert {(a["service"], a["state"]) for a in items} == {("redis", "firing"), ("otlp:redis", "resolved")}


def test_logs_of_another_sender_are_kept_under_its_name(hub, ada, token):
    record = field(2, varint(2 << 3) + varint(9) + field(5, field(1, b"hello")))
    body = field(1, field(1, field(1, attribute("service.name", "app"))) + field(2, record + record))
    assert rejected(send(hub, "/v1/logs", body, token)) == (0, "")
    items = ada.get("/v1/fleet/sites/otlp-1/logs?service=otlp:app").json()["items"]
    assert [(i["body"], i["severity"]) for i in items] == [("hello", 9)] * 2
    own = field(2, field(12, b"mainstay.inventory"))
    assert rejected(send(hub, "/v1/logs", field(1, field(2, own)), token))[0] == 1, "what a site is made of, it says itself"


@pytest.mark.parametrize("capture", ["ok", "400", "503once"])
def test_what_an_exporter_was_seen_to_send(hub, token, capture):
    """opentelemetry-js, as it came over the wire."""
    if not VECTORS.is_dir():
        pytest.skip("VECTORS has no otlp (captured requests)")
    for request in json.loads((VECTORS / (capture + "-requests.json")).read_text()):
        signal = request["url"].rsplit("/", 1)[1]
        body = (VECTORS / ("%s-%d-%s.bin" % (capture, request["i"], signal))).read_bytes()
        assert len(body) == request["rawlen"]
        headers = {k: v for k, v in request["headers"].items() if k in ("user-agent", "content-type",
                                                                       "content-encoding")}
        body = gzip.compress(body) if headers.get("content-encoding") == "gzip" else body
        chunked = request["headers"].get("transfer-encoding") == "chunked"
        reply = send(hub, request["url"], body, token, chunked, **headers)
        count, why = rejected(reply)
        if signal == "logs" or time.time() * 1000 > request["t"]:
            assert (count, why) == (0, "")
    if time.time() * 1000 > request["t"]:
        assert hub.rows("SELECT count(*) FROM series WHERE service LIKE 'otlp:%' AND service <> 'otlp:redis'")[0][0] > 0


BOMB = gzip.compress(b"\0" * (65 * 1024 * 1024))


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs"])
@pytest.mark.parametrize("status, reason, code, body, headers", [
    (415, "usage", 3, b"{}", {"content_type": "application/json"}),
    (415, "usage", 3, b"x", {"content_encoding": "br"}),
    (400, "malformed", 3, b"\xff\xff", {}),
    (400, "malformed", 3, b"no gzip", {"content_encoding": "gzip"}),
    (413, "too-large", 8, BOMB, {"content_encoding": "gzip"}),
], ids=["json", "br", "protobuf", "gzip", "bomb"])
def test_bodies_that_are_none(hub, site, token, path, status, reason, code, body, headers):
    with once(hub, reason, *STORED):
        reply = send(hub, path, body, token, chunked=True, **headers)
        assert (reply.status, reply.headers["mainstay-reason"], status_of(reply)[0]) == (status, reason, code)
    assert ("accept-encoding" in reply.headers) == (status == 415)


def test_tokens_that_do_not_hold(hub, site, token):
    body = otlp_metrics("x", [("no", 1, time.time_ns())])
    short = mint(hub, expires="1s").strip()
    time.sleep(1.1)
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    for text, reason in (("x", "malformed"), (wrong, "unknown-key"), (short, "expired")):
        with once(hub, reason, *STORED):
            reply = send(hub, "/v1/metrics", body, text)
            assert (reply.status, reply.headers["mainstay-reason"], status_of(reply)[0]) == (401, reason, 16)
            assert reply.headers["www-authenticate"] == "Bearer"
    with once(hub, "unsigned", *STORED):
        assert send(hub, "/v1/metrics", body, None).status == 401
    # It opens nothing else.
    for path in ("/v1/heartbeat", "/v1/results"):
        with once(hub, "unsigned", *STORED):
            assert send(hub, path, body, token).status == 401
    with open(hub.log.name) as log:
        assert token[22:] not in log.read(), "the log never has the secret"


def test_a_token_is_listed_and_revoked(hub, site):
    text = mint(hub).strip()
    ident = text.split("_")[1]
    body = otlp_metrics("x", [("revoked", 1, time.time_ns())])
    assert send(hub, "/v1/metrics", body, text).status == 200
    listed = json.loads(hub.command("senders", "--json").stdout)["items"]
    assert [(i["site"], i["state"]) for i in listed if i["id"] == ident] == [("otlp-1", "good")]
    assert text.encode()[22:] not in hub.command("senders").stdout
    # While the hub runs, and at once.
    assert ident.encode() in hub.command("revoke", ident).stdout
    with once(hub, "revoked", *STORED):
        assert send(hub, "/v1/metrics", body, text).status == 401
    listed = json.loads(hub.command("senders", "--json").stdout)["items"]
    assert [i["state"] for i in listed if i["id"] == ident] == ["revoked"]


def test_commands_that_are_refused(hub, site):
    mint_for = ("token", "--expires", "1h", "--otlp", "--customer")
    for argv in (("revoke", "0" * 16), (*mint_for, "acme", "--site", "nowhere"),
                 (*mint_for, "globex", "--site", "otlp-1")):
        before = hub.rows("SELECT * FROM bearers", customer="")
        done = hub.command(*argv, check=False)
        assert done.returncode == 1 and done.stdout == b"" and reasons(done.stderr.decode()) == ["not-found"]
        assert hub.rows("SELECT * FROM bearers", customer="") == before
