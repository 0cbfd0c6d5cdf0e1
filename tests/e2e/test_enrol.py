"""How a site and a vendor come together and part: over the wire, over an air gap, and with whoever stands between."""

import base64
import hashlib
import http.server
import json
import os
import re
import shlex
import ssl
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from estate import BIN, BUILD, CUSTOMER, SITE, Estate, until

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "bin", "mainstayd")),
                                reason="needs the built programs")


@pytest.fixture(scope="module", name="estate")
def an_estate_that_is_not_enrolled():
    with Estate("enrol") as e:
        e.vendor()
        e.start_site()
        e.token()
        e.fingerprint = next(w for w in e.mainstay(*e.enrol_args(), "--show").stdout.split() if w.startswith("sha256:"))
        yield e


def state(estate):
    """What a refused command may not change: the monitor's files, etc, the log."""
    found = {}
    for folder in ("site/lib/monitor", "site/etc"):
        for where, _, names in os.walk(estate.path(folder)):
            for name in names:
                with open(os.path.join(where, name), "rb") as f:
                    found[os.path.join(where, name)] = f.read()
    return found, estate.status()["audit"]["size"]


def refused(estate, code, reason, *argv):
    """Exit code, token in the text, one line with its site in the log, nothing changed."""
    before = state(estate)
    done = estate.mainstay(*argv, code=code)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mainstay: ") and last.endswith(f"[{reason}]"), done.stderr
    assert state(estate) == before
    return done


class Impostor:
    """Stands at the hub's port while the hub is down, with the hub's own TLS key: a proxy, a thief."""

    def __init__(self, estate, answer):
        """answer(request handler) -> (status, headers, body)"""

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                self.data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, body = answer(self)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = handle_any

            def log_message(self, *_):
                pass

        with open(estate.path("facts.json")) as f:
            port = int(json.load(f)["url"].rsplit(":", 1)[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(estate.path("hub", "server.pem"), estate.path("hub", "server.key"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def sign_reply(estate, status, body, nonce):
    """As the hub does, with the key that a thief of the hub has."""
    with open(estate.path("hub", "reply.key")) as f:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(f.read().strip().split(":")[1]))
    with open(estate.path("facts.json")) as f:
        keyid = hashlib.sha256(bytes.fromhex(json.load(f)["reply"])).hexdigest()
    created = int(time.time())
    digest = "sha-256=:%s:" % base64.b64encode(hashlib.sha256(body).digest()).decode()
    params = '("@status" "content-digest");created=%d;expires=%d;nonce="%s";keyid="%s";tag="mainstay-v1"' % (
        created, created + 300, nonce, keyid)
    base = '"@status": %d\n"content-digest": %s\n"@signature-params": %s' % (status, digest, params)
    return {"Content-Digest": digest, "Signature-Input": "sig=" + params,
            "Signature": "sig=:%s:" % base64.b64encode(key.sign(base.encode())).decode()}


# --- what people give ----------------------------------------------------------------------------------------


def test_what_is_missing_is_said(estate):
    card, token = ["--card", estate.path("vendor.card")], ["--token-file", estate.path("token")]
    for argv in (["enrol"], ["enrol", *card], ["enrol", *card, *token],
                 ["enrol", *card, "--accept", estate.fingerprint]):
        refused(estate, 2, "usage", *argv)
    refused(estate, 1, "altered", "enrol", *card, *token, "--accept", "sha256:" + "0" * 64)
    refused(estate, 2, "usage", "enrol", *card, *token, "--accept", "yes")


def test_nobody_at_the_hubs_place_is_unreachable(estate):
    estate.hub.stop()
    try:
        done = estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint, code=3)
        assert done.stderr.splitlines()[-1].endswith("[unreachable]")
        with Impostor(estate, lambda h: (200, {}, b"<html>please log in</html>")):
            done = estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint, code=3)
            assert "without the hub's signature" in done.stderr
        thief = lambda h: (503, sign_reply(estate, 503, b"{}", h.headers["Mainstay-Nonce"]), b"{}")
        with Impostor(estate, thief):
            done = estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint, code=3)
            assert "the hub answered 503" in done.stderr
        body = b'{"reason":"expired","detail":"this token is over"}'
        thief = lambda h: (410, sign_reply(estate, 410, body, h.headers["Mainstay-Nonce"]), body)
        with Impostor(estate, thief):
            done = estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint, code=1)
            assert done.stderr.splitlines()[-1].endswith("this token is over [expired]")
    finally:
        estate.start_hub()
    assert estate.status()["enrolled"] is False
    assert not estate.leaves(kind="enrol")


# --- over an air gap -------------------------------------------------------------------------------------------


def carry(estate, out):
    """The command that the site prints, run on a machine that reaches the hub."""
    done = estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint, "--file", out)
    line = next(line for line in done.stdout.splitlines() if line.strip().startswith("curl "))
    argv = shlex.split(line.split(" > ")[0])
    answer = subprocess.run([*argv, "--cacert", estate.path("hub", "ca.pem")], capture_output=True, check=True)
    return answer.stdout


@pytest.mark.flow
def test_enrolment_crosses_an_air_gap(estate):
    answers = lambda: open(estate.path("answer"), "wb")
    done = estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint, "--file", "/nowhere/out", code=1)
    assert done.stderr.splitlines()[-1].endswith("[not-found]")
    estate.token()
    good = carry(estate, estate.path("out"))
    assert os.stat(estate.path("out")).st_mode & 0o777 == 0o600
    with open(estate.path("token")) as f:
        secret = json.load(f)["secret"]
    with open(estate.path("out")) as f:
        assert secret not in f.read()
    assert estate.status()["enrolled"] is False
    head, body = good.split(b"\r\n\r\n", 1)
    rows = {
        "a web page": (b"<html></html>", "malformed"),
        "nothing": (b"", "malformed"),
        "no text": (b"HTTP/1.1 200 OK\0\r\n\r\n" + body, "malformed"),
        "no status": (b"HTTP/1.1\r\n\r\n", "malformed"),
        "a broken header": (head + b"\r\nbroken\r\n\r\n" + body, "malformed"),
        "too many headers": (head + b"\r\n" + b"X: y\r\n" * 200 + b"\r\n" + body, "malformed"),
        "no end of the head": (head + b"\r\n", "malformed"),
        "a head without a body": (head + b"\r\n\r\n", "hash-mismatch"),
        "another body": (head + b"\r\n\r\n" + body.replace(b"pending", b"accepted"), "hash-mismatch"),
        "another status": (good.replace(b" 200", b" 201", 1), "bad-signature"),
        "no signature": (b"HTTP/1.1 200 OK\r\n\r\n" + body, "unsigned"),
    }
    for name, (text, reason) in rows.items():
        with answers() as f:
            f.write(text)
        before = state(estate)
        done = estate.mainstay("enrol", "--answer", estate.path("answer"), code=1)
        assert done.stderr.splitlines()[-1].endswith(f"[{reason}]"), (name, done.stderr)
        assert state(estate) == before, name
    # What a proxy and a patient server print before the answer itself.
    with answers() as f:
        f.write(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + good)
    estate.mainstay("enrol", "--answer", estate.path("answer"))
    assert estate.status()["enrolled"] is True
    assert [i["object"] for i in estate.leaves(kind="enrol")] == [f"{SITE} of {CUSTOMER}"]
    # Twice is once; the answer to an earlier request is none.
    estate.mainstay("enrol", "--answer", estate.path("answer"))
    assert len(estate.leaves(kind="enrol")) == 1
    carry(estate, estate.path("out"))
    refused(estate, 1, "replayed", "enrol", "--answer", estate.path("answer"))


# --- the record ------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_a_repository_that_does_not_answer_only_delays_the_record(estate):
    estate.desk("login")
    estate.desk("accept", SITE)
    stamp = estate.path("repo", "tuf", "timestamp.json")
    os.rename(stamp, stamp + ".away")
    os.mkdir(stamp)
    try:
        done = estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint)
        assert "will be checked once" in done.stdout
    finally:
        os.rmdir(stamp)
        os.rename(stamp + ".away", stamp)
    assert estate.mainstay_json(*estate.enrol_args(), "--accept", estate.fingerprint)["recorded"] is True
    assert estate.leaves(kind="enrol", object="site record by vera")


# --- leaving ---------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_leaving_is_clean_and_keeps_the_log(estate):
    estate.mainstay("on", "all")
    until("a cosignature", lambda: estate.status()["audit"]["cosigned"] > 0)
    export = estate.path("export")
    before = estate.status()["audit"]["size"]
    done = estate.mainstay("leave", "--export", "/proc/nowhere", code=None)
    assert done.returncode in (1, 4) and estate.status()["enrolled"] is True
    secrets = []
    for where, _, names in os.walk(estate.path("site", "lib")):
        for name in names:
            if name.endswith(".key"):
                with open(os.path.join(where, name)) as f:
                    secrets.append(f.read().split(":")[-1].strip())
    assert len(secrets) >= 3
    estate.mainstay("leave", "--export", export)
    have = set(os.listdir(export))
    assert {"README", "audit", "audit.json", "head.json", "verify.policy", "ledger", "record.json",
            "vendor.card"} <= have, have
    assert os.listdir(os.path.join(export, "ledger", "outbox"))
    for where, _, names in os.walk(export):
        for name in names:
            with open(os.path.join(where, name), "rb") as f:
                text = f.read()
            assert not [s for s in secrets if s.encode() in text or bytes.fromhex(s) in text], (where, name)
    # On another machine: nobody to ask, nothing but the folder; and with one byte of it changed.
    verify = ("mainstay", "--state", estate.path("nowhere"), "audit", "verify", export)
    report = json.loads(estate.run(*verify, "--json").stdout)
    assert report["size"] > before and report["log"] == f"mainstay.audit/{SITE}" and report["quorum"]["met"] is True
    estate.run(*verify, "--policy", os.path.join(export, "verify.policy"))
    with open(os.path.join(export, "audit.json")) as f:
        items = json.load(f)["items"]
    assert len(items) == report["size"] and items[-1]["kind"] == "leave" and [i["n"] for i in items] == list(range(len(items)))
    tile = next(os.path.join(where, name) for where, _, names in os.walk(os.path.join(export, "audit", "tile"))
                for name in names)
    with open(tile, "r+b") as f:
        f.write(b"\xff\xff")
    assert "[altered]" in estate.run(*verify, code=1).stderr
    status = estate.status()
    assert status["enrolled"] is False and not any(status["switches"].values())
    assert status["hub"]["url"] is None
    left = os.listdir(estate.path("site", "lib", "monitor"))
    assert not set(left) & {"site.json", "site.key", "card.json", "record.json", "people.json", "tuf"}
    assert estate.leaves(kind="leave", object=f"{SITE} of {CUSTOMER}")
    estate.mainstay("audit", "verify")
    done = estate.mainstay("leave", code=1)
    assert done.stderr.splitlines()[-1].endswith("[not-found]") and "nothing to leave" in done.stderr
    # The hub heard the goodbye: the site's keys are nobody's, and nothing comes from here any more.
    assert estate.desk_json("show", SITE)["status"] == "left"
    contact = estate.desk_json("show", SITE)["last_contact"]
    estate.mainstay("leave", "--export", export, code=1)
    time.sleep(1.5)
    assert estate.desk_json("show", SITE)["last_contact"] == contact


@pytest.mark.flow
def test_who_left_may_come_back_with_another_token(estate):
    until("the courier", lambda: estate.mainstay(*estate.enrol_args(), "--accept", estate.fingerprint, code=1))
    estate.token(site="site2", file="token")
    answer = estate.mainstay_json(*estate.enrol_args(), "--accept", estate.fingerprint)
    assert answer["site"] == "site2" and answer["status"] == "pending"
    estate.mainstay("audit", "verify")


@pytest.mark.flow
def test_enrolment_crosses_an_air_gap_both_ways(estate):
    """Request, answer and the engineer's record on a stick; the courier, all of whose switches are off, brings nothing."""
    request, answer, record = (estate.path(n) for n in ("request", "answer", "record"))
    hubd = ("mainstay-hubd", "enrol", "--state", estate.path("hub"), "--request")
    begin = (*estate.enrol_args(), "--accept", estate.fingerprint, "--file", request)

    def written(name, text):
        with open(estate.path(name), "w") as f:
            f.write(text)
        return estate.path(name)

    estate.mainstay("leave")
    estate.token(site="other", file="token")
    until("the courier's new key", lambda: estate.mainstay(*begin, code=None).returncode == 0)
    estate.run(*hubd, request, "--answer", estate.path("others"))
    estate.mainstay("leave")
    estate.token(site="island", file="token")
    until("another key", lambda: estate.mainstay(*begin, code=None).returncode == 0)
    estate.run(*hubd, request, "--answer", answer)
    estate.run(*hubd, request, "--answer", answer)  # asked again: the same site, the same answer
    with open(answer) as f:
        good = f.read()
    for name, text in (("altered", good.replace("pending", "accepted")), ("broken", good[:80]), ("none", "")):
        estate.mainstay("enrol", "--answer", written(name, text), code=1)
    refused(estate, 1, "replayed", "enrol", "--answer", estate.path("others"))
    estate.run(*hubd, written("garbage", "{}"), "--answer", estate.path("none"), code=1)
    assert estate.status()["enrolled"] is False
    shown = estate.mainstay_json("enrol", "--answer", answer)
    assert shown["site"] == "island" and shown["status"] == "pending"
    estate.desk("accept", "island", "--fingerprint", shown["fingerprint"], "--out", record)
    with open(record) as f:
        file = json.load(f)
    assert set(file) == {"v", "record", "metadata"}
    people = next(name for name in file["metadata"] if name.endswith("people.json") and "/" in name)

    def altered(**change):
        return written("altered", json.dumps({**file, **change}))

    refused(estate, 1, "malformed", "enrol", "--record", answer)
    refused(estate, 1, "unknown-field", "enrol", "--record", altered(more=1))
    refused(estate, 1, "malformed", "enrol", "--record", altered(metadata={people: 1}))
    assert "kept" in estate.mainstay("enrol", "--record", altered(metadata={})).stdout
    others = {**file["metadata"], people: file["metadata"][people].replace("vera", "nora")}
    done = estate.mainstay("enrol", "--record", altered(metadata=others), code=1)
    assert done.stderr.rstrip().endswith("[hash-mismatch]")
    assert not os.path.exists(estate.path("site", "lib", "monitor", "people.json"))
    assert estate.status()["hub"]["recorded"] is False
    assert estate.mainstay_json("enrol", "--record", record)["recorded"] is True
    status = estate.status()
    assert status["enrolled"] is True and status["hub"]["recorded"] is True and status["hub"]["last_contact"] is None
    assert estate.leaves(kind="enrol", object="site record by vera")
    done = estate.mainstay("enrol", "--answer", answer)  # the same again does no harm
    assert "island" in done.stdout


@pytest.mark.flow
def test_a_rotation_crosses_an_air_gap(estate):
    """Another key for a site that no network reaches, there and back by hand; the desk follows, by the step that the hub
    was brought and by what the site then says itself."""
    request, answer, out, altered = (estate.path(n) for n in ("rotation", "rotated", "results.json", "altered"))

    def rotate(*words, code=0):
        return estate.mainstay("enrol", "--rotate", *words, code=code)

    def hubd(out, code=0):
        return estate.run("mainstay-hubd", "enrol", "--state", estate.path("hub"), "--request", request, "--answer", out, code=code)

    def shown():
        return estate.desk_json("show", "island")

    def carry_results():
        estate.mainstay("results", "export", "--out", out)
        estate.desk("import", out)

    carry_results()
    first = shown()
    assert first["statement"] and first["rotations"] == []
    done = rotate("--file", request)
    assert "mainstay-hubd enrol" in done.stdout and "mainstay enrol --rotate --answer" in done.stdout
    assert [p["kind"] for p in estate.status()["pending"]] == ["rotation"]
    hubd(answer)
    hubd(answer)  # asked again: the same rotation, the same answer
    with open(answer) as f:
        good = f.read()
    # Not what the hub signed; and what another hub signed, for it has another key.
    for text, reason in ((good.replace('"island"', '"other"'), "hash-mismatch"),
                         (re.sub(r"sig=:.{8}", "sig=:AAAAAAAA", good), "bad-signature"),
                         (re.sub(r"\nSignature: .*", "", good), "unsigned")):
        with open(altered, "w") as f:
            f.write(text)
        assert rotate("--answer", altered, code=1).stderr.rstrip().endswith(f"[{reason}]")
    assert not estate.leaves(kind="rotate")
    # The hub has swapped: what the former key signed is nobody's word, until the site has heard of it, too.
    estate.mainstay("results", "export", "--out", out)
    assert estate.desk("import", out, code=1).stderr.rstrip().endswith("[unknown-key]")
    assert "has another key" in rotate("--answer", answer).stdout
    assert len(estate.leaves(kind="rotate")) == 1
    second = shown()
    assert second["key"] != first["key"] == second["record"]["key"] and second["statement"] is None
    carry_results()
    assert shown()["statement"]["counter"] > first["statement"]["counter"]
    # A second one: neither the answer to the first nor the first itself counts once more.
    os.rename(request, altered)
    rotate("--file", request)
    assert rotate("--answer", answer, code=1).stderr.rstrip().endswith("[replayed]")
    hubd(answer)
    rotate("--answer", answer)
    os.rename(altered, request)
    assert hubd(answer, code=1).stderr.rstrip().endswith("[replayed]")
    assert rotate("--answer", answer, code=1).stderr.rstrip().endswith("[not-found]")
    assert len(shown()["rotations"]) == 2 and len(estate.leaves(kind="rotate")) == 2


# --- the monitor's start ---------------------------------------------------------------------------------------


def test_the_monitor_is_started_by_run_alone(estate):
    lone = estate.path("lone")
    os.makedirs(lone)
    done = subprocess.run([os.path.join(BIN, "mainstayd"), "--state", lone], capture_output=True, text=True, timeout=30)
    with open(os.path.join(estate.logs, "commands.log"), "a") as log:
        log.write(done.stderr)
    assert done.returncode == 1 and "[not-found]" in done.stderr
    assert not os.path.exists(os.path.join(lone, "lib", "monitor"))
