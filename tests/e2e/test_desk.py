"""The desk against a thief who has the hub: its address, its TLS, its reply key.  What the thief says is signed as the hub
would sign it; what others should have signed is not believed all the same."""

import base64
import copy
import glob
import hashlib
import http.server
import json
import os
import signal
import ssl
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from estate import BIN, ENGINEER, SITE, Estate
from hub import Client, Key, canonical, now
from passphrase import seed_of

RUN = ("run", SITE, "redis", "ping", "--reason", "r", "--ticket", "t", "--wait", "2s")
PAGE, HISTORY = f"/v1/fleet/sites/{SITE}", f"/v1/fleet/sites/{SITE}/audit"


def key_of(file):
    with open(file) as f:
        text = f.read()
    return Key(seed_of(file) if text.startswith("mainstay-key") else bytes.fromhex(text.strip().split(":")[1]))


class Thief:
    """A hub of canned answers: pages {path: JSON}, files from the repository, signed by the hub's own reply key."""

    def __init__(self, estate):
        with open(estate.path("facts.json")) as f:
            self.url = json.load(f)["url"]
        self.repo = estate.path("repo")
        self.key = key_of(estate.path("hub", "reply.key"))
        self.pages, self.files = {}, {}
        thief = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                thief.serve(self)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        host, port = self.url.split("://")[1].rsplit(":", 1)
        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(estate.path("hub", "server.pem"), estate.path("hub", "server.key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def note(self, estate, text):
        """A checkpoint as the site's audit key and the hub's witness would sign it."""
        audit = key_of(estate.path("site", "lib", "monitor", "audit.key"))
        witness = key_of(estate.path("hub", "witness.key"))
        name = f"mainstay.audit/{SITE}"
        with open(estate.path("facts.json")) as f:
            witness_name = json.load(f)["witness"]["name"]

        def line(who, kind, key, signature):
            keyid = hashlib.sha256(who.encode() + b"\n" + bytes([kind]) + key.raw).digest()[:4]
            return "\u2014 %s %s\n" % (who, base64.b64encode(keyid + signature).decode())

        moment = int(time.time())
        cosigned = witness.private.sign(f"cosignature/v1\ntime {moment}\n{text}".encode())
        return text + "\n" + line(name, 1, audit, audit.private.sign(text.encode())) + line(
            witness_name, 4, witness, moment.to_bytes(8, "big") + cosigned)

    def serve(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        posted = handler.rfile.read(length) if length else b""
        path = handler.path.split("?")[0]
        if path.startswith(("/tuf/", "/objects/")):
            file = os.path.join(self.repo, path[1:])
            body = self.files.get(path)
            body = body() if callable(body) else body
            if body is None and os.path.exists(file):
                with open(file, "rb") as f:
                    body = f.read()
            if body == "hangs up":
                handler.connection.close()
            elif isinstance(body, int):
                self.reply(handler, body, b"", None)
            else:
                self.reply(handler, 200 if body is not None else 404, body or b"", None)
            return
        page = self.pages.get(path)
        if page == "hangs up":
            handler.connection.close()
            return
        if callable(page):
            page = page(posted)
        status = 404 if page is None else 200
        if isinstance(page, tuple):
            status, page = page
        body = page if isinstance(page, bytes) else json.dumps(page or {"reason": "not-found"}).encode()
        self.reply(handler, status, body, self.nonce(handler))

    @staticmethod
    def nonce(handler):
        text = handler.headers.get("Signature-Input", "")
        return text.split('nonce="')[1].split('"')[0] if text else handler.headers.get("Mainstay-Nonce")

    def reply(self, handler, status, body, nonce):
        handler.send_response(status)
        if nonce:
            digest = "sha-256=:%s:" % base64.b64encode(hashlib.sha256(body).digest()).decode()
            params = '("@status" "content-digest");created=%d;nonce="%s";keyid="%s";tag="mainstay-v1"' % (
                time.time(), nonce, self.key.keyid)
            base = '"@status": %d\n"content-digest": %s\n"@signature-params": %s' % (status, digest, params)
            handler.send_header("Content-Digest", digest)
            handler.send_header("Signature-Input", "sig=" + params)
            handler.send_header("Signature",
                                "sig=:%s:" % base64.b64encode(self.key.private.sign(base.encode())).decode())
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module", name="stage")
def a_stage():
    """An estate whose hub was honest once; then a thief stands in its place, with a copy of what it said."""
    with Estate("desk") as e:
        e.begin()
        e.install_redis()
        e.engineer("mallory", "support,rollout")
        e.desk(*RUN, code=None)
        e.desk("audit", "verify", SITE)
        key = key_of(glob.glob(e.path("desk", "desk", "*", "http.key"))[0])
        with open(e.path("facts.json")) as f:
            facts = json.load(f)
        hub = SimpleNamespace(authority=facts["url"].split("://")[1], ca=e.path("hub", "ca.pem"), facts=facts)
        client = Client(hub, key)
        # Heads of the past first: the site signs on, and its page must not be older than they are.
        pages = {p: client.request("GET", p).json() for p in (HISTORY, PAGE, "/v1/fleet/sites", "/v1/fleet/requests")}
        e.site.stop()
        e.hub.stop()
        thief = Thief(e)
        try:
            yield SimpleNamespace(estate=e, thief=thief, pages=pages)
        finally:
            thief.close()


@pytest.fixture(autouse=True)
def honest_again(stage):
    stage.thief.pages = copy.deepcopy(stage.pages)
    stage.thief.files = {}
    stage.thief.key = key_of(stage.estate.path("hub", "reply.key"))


def refused(stage, reason, *command, code=1):
    done = stage.estate.desk(*command, code=code)
    assert f"[{reason}]" in done.stderr, done.stderr
    return done


def seal(stage, word, payload, key):
    """As a person with an SSH key."""
    data = canonical(payload)
    done = subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", f"{word}@mainstay", "-f", stage.estate.path(key)],
                          input=data, capture_output=True, check=True)
    with open(stage.estate.path(f"{key}.pub")) as f:
        keyid = hashlib.sha256(base64.b64decode(f.read().split()[1])).hexdigest()
    return {"payload": base64.b64encode(data).decode(),
            "sigs": [{"keyid": keyid, "sig": "".join(done.stdout.decode().split("\n")[1:-2])}]}


def payload(envelope):
    return json.loads(base64.b64decode(envelope["payload"]), strict=False)


def site_key(stage):
    return key_of(stage.estate.path("site", "lib", "monitor", "site.key"))


@pytest.mark.flow
def test_the_canned_hub_passes_for_the_hub(stage):
    assert stage.estate.desk_json("show", SITE)["verified"]
    stage.estate.desk("audit", "verify", SITE)
    stage.estate.desk("run", *RUN[1:], "--offline")


@pytest.mark.flow
def test_another_reply_key_is_no_hub(stage):
    stage.thief.key = Key()
    for command in (["fleet"], ["show", SITE], ["login"]):
        refused(stage, "unreachable", *command, code=3)


@pytest.mark.flow
def test_login_is_for_the_card_s_hub(stage):
    stage.thief.pages["/v1/login"] = {"hub": "another-hub", "nonce": "00" * 24}
    refused(stage, "wrong-addressee", "login")


@pytest.mark.flow
def test_rubbish(stage):
    stage.thief.pages["/v1/fleet/sites"] = {"sites": []}
    refused(stage, "malformed", "fleet")
    stage.thief.pages["/v1/fleet/requests"] = {}
    refused(stage, "malformed", "requests")
    stage.thief.pages["/v1/fleet/sites"] = b"<html>"
    refused(stage, "malformed", "fleet")
    del stage.thief.pages["/v1/fleet/sites"]
    refused(stage, "not-found", "fleet")
    for page in ((500, b""), (502, b"<html>"), (503, {"reason": "fault"}), (403, {"reason": "because"})):
        stage.thief.pages["/v1/fleet/sites"] = page
        refused(stage, "unreachable", "fleet", code=3)
    for answer in (500, "hangs up"):
        stage.thief.files["/tuf/timestamp.json"] = answer
        refused(stage, "unreachable", "show", SITE, code=3)
    stage.thief.pages["/v1/fleet/sites"] = "hangs up"
    refused(stage, "unreachable", "fleet", code=3)


@pytest.mark.flow
def test_a_list_with_a_hole_says_so(stage):
    assert "cannot read" not in stage.estate.desk("fleet").stderr
    stage.thief.pages["/v1/fleet/sites"]["unavailable"] = ["globex", "\x1b[2Jx", 1]
    done = stage.estate.desk("fleet")
    assert "cannot read what it has of customer globex" in done.stderr and "\x1b" not in done.stderr
    assert SITE in done.stdout


@pytest.mark.flow
def test_what_is_only_the_hub_s_word_is_never_shown_as_signed(stage):
    assert "(the hub says" in stage.estate.desk("fleet").stdout
    page = stage.thief.pages[PAGE]
    page.update(customer="globex", platform="toaster-1", key="00" * 32)
    page["clone"] = {"kind": "x\n\nservices: name, version, channel (signed)\n  redis", "first": {}, "second": {}}
    shown = stage.estate.desk("show", SITE).stdout
    assert "globex" not in shown and "toaster" not in shown and "acme" in shown
    assert shown.count("\nservices: name, version, channel (signed)") == 1
    shown = stage.estate.desk_json("show", SITE)
    assert shown["verified"] and shown["customer"] == shown["record"]["customer"] != "globex"
    assert (shown["platform"], shown["key"]) == (shown["record"]["platform"], shown["record"]["key"])
    del page["record"]
    assert "(the hub says; no engineer has accepted it)" in stage.estate.desk("show", SITE).stdout


@pytest.mark.flow
def test_a_log_that_parted_is_named_with_what_to_do(stage):
    assert "AUDIT LOG" not in stage.estate.desk("show", SITE).stdout
    page = stage.thief.pages[PAGE]
    page["conflicts"] = [{"kind": "fork", "checkpoint": "x", "stood": "y", "time": "\x1b[2J"}]
    done = stage.estate.desk("show", SITE)
    # The hub alone says this one: what the site signed is told by its sizes and roots (unit/remote/desk).
    assert "AUDIT LOG" in done.stdout and "nothing that the site signed" in done.stdout
    assert "audit verify " + SITE in done.stdout and "\x1b" not in done.stdout + done.stderr


@pytest.mark.flow
def test_records(stage):
    page = stage.thief.pages[PAGE]
    good = payload(page["record"])
    # Somebody else's site; a record by an engineer who may not enrol; one in another's name; the thief's own key.
    page["record"] = seal(stage, "site", dict(good, site="site2"), ENGINEER)
    refused(stage, "wrong-addressee", "show", SITE)
    page["record"] = seal(stage, "site", dict(good, engineer="mallory"), "mallory")
    refused(stage, "wrong-role", "show", SITE)
    page["record"] = seal(stage, "site", dict(good, engineer="mallory"), ENGINEER)
    refused(stage, "unknown-key", "show", SITE)
    page["record"] = copy.deepcopy(stage.pages[PAGE]["record"])
    page["record"]["payload"] = base64.b64encode(canonical(dict(good, key=Key().hex))).decode()
    refused(stage, "bad-signature", "show", SITE)
    del page["record"]
    refused(stage, "not-approved", *RUN)


@pytest.mark.flow
def test_statements(stage):
    page = stage.thief.pages[PAGE]
    good = payload(page["statement"])
    page["statement"] = Key().seal("statement", good)
    refused(stage, "unknown-key", "show", SITE)
    page["statement"] = site_key(stage).seal("plan", good)
    refused(stage, "bad-signature", "show", SITE)
    page["statement"] = site_key(stage).seal("statement", dict(good, site="site2"))
    refused(stage, "wrong-addressee", "show", SITE)
    page["statement"] = copy.deepcopy(stage.pages[PAGE]["statement"])
    stage.estate.desk("show", SITE)
    page["statement"] = site_key(stage).seal("statement", dict(good, counter=good["counter"] - 1))
    refused(stage, "rollback", *RUN)
    page["statement"] = site_key(stage).seal("statement", dict(good, epoch="not hex"))
    refused(stage, "malformed", *RUN)
    del page["statement"]
    refused(stage, "not-found", *RUN)


def test_standing_permits(stage):
    page, epoch = stage.thief.pages[PAGE], payload(stage.thief.pages[PAGE]["statement"])["epoch"]
    good = {"v": 1, "site": SITE, "epoch": epoch, "counter": 1 << 40, "time": now(), "permits": [], "more": 0}

    def shown(kind="permits", key=None, **changes):
        page["permits"] = (key or site_key(stage)).seal(kind, dict(good, **changes))

    shown(key=Key())
    refused(stage, "unknown-key", "show", SITE)
    shown(kind="statement")
    refused(stage, "bad-signature", "show", SITE)
    shown(site="site2")
    refused(stage, "wrong-addressee", "show", SITE)
    shown()
    assert "runs without asking again (signed" in stage.estate.desk("show", SITE).stdout
    shown(counter=good["counter"] - 1)
    refused(stage, "rollback", "show", SITE)
    shown(epoch="0" * 32)  # of a former life of the site: none counts
    assert stage.estate.desk_json("show", SITE)["permits"] is None
    del page["permits"]
    for kept in glob.glob(stage.estate.path("desk", "desk", "*", "permits", f"{SITE}.json")):
        os.remove(kept)


@pytest.mark.flow
def test_a_site_that_only_files_reach(stage):
    """What it said of itself came by hand: for the next request, until the hub knows something newer."""
    page = stage.thief.pages[PAGE]
    good = payload(page["statement"])
    file, order = stage.estate.path("island.json"), stage.estate.path("order.json")
    with open(file, "w") as f:
        json.dump({"v": 1, "site": SITE, "statement": site_key(stage).seal("statement", good), "items": []}, f)
    del page["statement"]
    words = ("request", *RUN[1:-2], "--file", order)
    try:
        assert stage.estate.desk_json("import", file)["items"] == []
        assert "mainstay requests import" in stage.estate.desk(*words).stdout
        with open(order) as f:
            asked = payload(json.load(f))
        assert (asked["epoch"], asked["operation"]) == (good["epoch"], "ping")
        assert "brought by hand" in stage.estate.desk("show", SITE).stdout
        # An answer to what was asked of another site is none of this one's.
        with open(file, "w") as f:
            elsewhere = {"id": asked["id"], "request": seal(stage, "request", dict(asked, site="site2"), ENGINEER)}
            elsewhere.update(decision="", plan=None, result=None)
            json.dump({"v": 1, "site": SITE, "statement": site_key(stage).seal("statement", good), "items": [elsewhere]}, f)
        refused(stage, "wrong-addressee", "import", file)
        page["statement"] = site_key(stage).seal("statement", dict(good, counter=good["counter"] + 1))
        assert "brought by hand" not in stage.estate.desk("show", SITE).stdout
    finally:
        for folder in ("statements", "seen"):
            for kept in glob.glob(stage.estate.path("desk", "desk", "*", folder, f"{SITE}.json")):
                os.remove(kept)


@pytest.mark.flow
def test_releases(stage):
    page = stage.thief.pages[PAGE]
    good = payload(page["statement"])
    release = next(s["release"] for s in good["services"] if s["name"] == "redis")
    with open(stage.estate.path("site", "lib", "store", f"{release}.json")) as f:
        definition = json.load(f)["definition"].split(":")[1]
    path = f"/objects/{definition[:2]}/{definition}.zst"
    other = next(p for p in glob.glob(stage.estate.path("repo", "objects", "*", "*.zst"))
                 if definition not in p and os.path.getsize(p) < 20000)
    with open(other, "rb") as f:
        stage.thief.files[path] = f.read()
    refused(stage, "hash-mismatch", *RUN)
    stage.thief.files = {}
    services = [{"name": "redis", "release": "ab" * 32, "channel": "stable"}]
    page["statement"] = site_key(stage).seal("statement", dict(good, services=services))
    refused(stage, "not-found", *RUN)
    page["statement"] = site_key(stage).seal("statement", dict(good, services=[]))
    refused(stage, "not-found", *RUN)


@pytest.mark.flow
def test_a_path_that_leaves_no_room_for_a_folder(stage):
    argv = stage.estate.desk_argv("fleet")
    argv[argv.index("--state") + 1] = "/" + "x" * 4080
    done = stage.estate.run(*argv, code=2)
    assert "[usage]" in done.stderr and "too long" in done.stderr


@pytest.mark.flow
def test_files_that_are_not_there(stage):
    hidden = stage.estate.path("repo", "hidden")
    for folder in ("objects", "tuf/targets/services", "tuf/targets/people"):
        os.rename(stage.estate.path("repo", folder), hidden)
        try:
            refused(stage, "not-found", *RUN)
        finally:
            os.rename(hidden, stage.estate.path("repo", folder))


@pytest.mark.flow
def test_answers(stage):
    """Plan and result of this very request, by this very site, or nothing."""
    asked = {}

    def post(body):
        envelope = json.loads(body)
        asked["digest"] = "sha256:" + hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
        asked["id"] = payload(envelope)["id"]
        page = dict(asked["answer"]) if asked.get("answer") else {}
        stage.thief.pages[f"/v1/fleet/requests/{asked['id']}"] = asked["make"]() or page
        return {"id": asked.get("say") or asked["id"]}

    def result(outcome="ok", digest=None):
        return {"v": 1, "request": digest or asked["digest"], "outcome": outcome, "reason": "", "exit_status": 0,
                "signal": 0, "stdout": "all is well\n", "stderr": "", "truncated": False, "cpu_ms": 0, "max_rss": 0,
                "wall_ms": 0}

    def done(envelope):
        return {"id": asked["id"], "site": SITE, "state": "done", "decision": "allow", "plan": None,
                "result": envelope}

    stage.thief.pages["/v1/fleet/requests"] = post
    key = site_key(stage)
    for make, reason in ((lambda: done(Key().seal("result", result())), "unknown-key"),
                         (lambda: done(key.seal("plan", result())), "bad-signature"),
                         (lambda: done(key.seal("result", result(digest="sha256:" + "ab" * 32))), "altered"),
                         (lambda: done(key.seal("result", dict(result(), outcome="fine"))), "malformed"),
                         (lambda: {"state": "x&y=z"}, "malformed")):
        asked.update(make=make, say=None)
        said = refused(stage, reason, *RUN)
        assert "all is well" not in said.stdout
    asked.update(make=lambda: done(key.seal("result", result())), say=None)
    assert "all is well" in stage.estate.desk(*RUN).stdout
    asked["say"] = "r-other"
    refused(stage, "wrong-addressee", *RUN)


def live(key, n, text, digest):
    return key.seal("progress", {"v": 1, "request": digest, "n": n, "time": now(), "kind": "out", "text": text})


def digest_of(envelope):
    return "sha256:" + hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()


@pytest.mark.flow
def test_what_is_shown_live_is_the_site_s_own(stage):
    """Forged, of another request, replayed: dropped and said; and nothing of it makes the run fail."""
    key, asked = site_key(stage), {}

    def post(body):
        asked["envelope"] = envelope = json.loads(body)
        asked["path"] = f"/v1/fleet/requests/{payload(envelope)['id']}"
        digest = digest_of(envelope)
        stage.thief.pages[asked["path"]] = lambda _: asked["pages"].pop(0)(envelope, digest)
        return {"id": payload(envelope)["id"]}

    def running(*pieces):
        return lambda envelope, digest: {"state": "delivered", "decision": "allow",
                                         "progress": [p(digest) for p in pieces]}

    def ended(envelope, digest):
        result = {"v": 1, "request": digest, "outcome": "ok", "reason": "", "exit_status": 0, "signal": 0,
                  "stdout": "one\ntwo\n", "stderr": "", "truncated": False, "cpu_ms": 0, "max_rss": 0, "wall_ms": 0}
        return {"state": "done", "decision": "allow", "result": key.seal("result", result)}

    stage.thief.pages["/v1/fleet/requests"] = post
    asked["pages"] = [running(lambda d: live(key, 1, "one\n", d)), running(lambda d: live(Key(), 2, "forged-line\n", d)),
                      running(lambda d: live(key, 2, "other-line\n", "sha256:" + "ab" * 32)),
                      running(lambda d: live(key, 1, "again-line\n", d), lambda d: live(key, 2, "two\n", d)), ended]
    done = stage.estate.desk(*RUN[:-1], "30s")
    assert done.stdout.endswith("one\ntwo\nok in 0 ms\n")
    assert "live | one\n" in done.stderr and "live | two\n" in done.stderr
    assert not any(word in done.stderr + done.stdout for word in ("forged-line", "other-line", "again-line"))
    assert "[unknown-key]" in done.stderr and "3 pieces were dropped" in done.stderr


@pytest.mark.flow
def test_a_plan_is_the_site_s_own(stage):
    key, asked = site_key(stage), {}

    def post(body):
        envelope = json.loads(body)
        plan = {"v": 1, "request": digest_of(envelope), "text": "operation  restart\n", "argv": ["restart"],
                "targets": [], "limits": {"timeout_ms": 1, "memory": 0, "output": 1}, "downtime": "none", "undo": "",
                "not_recorded": []}
        stage.thief.pages[f"/v1/fleet/requests/{payload(envelope)['id']}"] = {
            "state": "done", "decision": "ask", "plan": asked["make"](plan)}
        return {"id": payload(envelope)["id"]}

    stage.thief.pages["/v1/fleet/requests"] = post
    for make, reason in ((lambda p: Key().seal("plan", p), "unknown-key"),
                         (lambda p: key.seal("result", p), "bad-signature"),
                         (lambda p: key.seal("plan", dict(p, request="sha256:" + "ab" * 32)), "altered")):
        asked["make"] = make
        assert "operation  restart" not in refused(stage, reason, *RUN, "--plan").stdout
    asked["make"] = lambda p: key.seal("plan", p)
    done = stage.estate.desk(*RUN, "--plan")
    assert "operation  restart" in done.stdout and "nothing was run" in done.stdout
    refused(stage, "usage", *RUN, "--plan", "--offline", code=2)


@pytest.mark.flow
def test_who_stops_waiting_is_told_how_to_go_on(stage):
    asked = {}

    def post(body):
        asked["id"] = payload(json.loads(body))["id"]
        stage.thief.pages[f"/v1/fleet/requests/{asked['id']}"] = {"state": "delivered", "decision": "allow"}
        return {"id": asked["id"]}

    stage.thief.pages["/v1/fleet/requests"] = post
    argv = [os.path.join(BIN, "mainstay-desk"), *stage.estate.desk_argv(*RUN[:-1], "60s")[1:]]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as desk:
        while "asked" not in desk.stdout.readline():
            pass
        time.sleep(0.3)
        desk.send_signal(signal.SIGINT)
        said = desk.communicate(timeout=10)[1]
    assert desk.returncode == 5
    assert f"mainstay-desk requests {asked['id']}" in said and f"mainstay-desk cancel {asked['id']} --reason" in said


@pytest.mark.flow
def test_that_it_expired_is_the_hub_s_word_until_it_has(stage):
    """Who gave up then would send another, and both would run."""
    asked, key = {}, site_key(stage)

    def post(body):
        envelope = json.loads(body)
        asked.update(id=payload(envelope)["id"], digest=digest_of(envelope), polls=0)
        stage.thief.pages[f"/v1/fleet/requests/{asked['id']}"] = page
        return {"id": asked["id"]}

    def page(_):
        asked["polls"] += 1
        if asked["polls"] < asked["truth"]:
            return {"state": "expired", "decision": "allow"}
        return {"state": "done", "decision": "allow", "result": key.seal("result", {
            "v": 1, "request": asked["digest"], "outcome": "ok", "reason": "", "exit_status": 0, "signal": 0,
            "stdout": "all is well\n", "stderr": "", "truncated": False, "cpu_ms": 0, "max_rss": 0, "wall_ms": 0})}

    stage.thief.pages["/v1/fleet/requests"] = post
    asked["truth"] = 3
    done = stage.estate.desk(*RUN[:-1], "30s")
    assert "all is well" in done.stdout and "the hub says that it expired, but it ends " in done.stderr
    asked["truth"] = 100
    done = stage.estate.desk(*RUN[:-1], "0", code=5)
    assert "the hub says that it expired, but it ends " in done.stdout and "may run it until then" in done.stdout


@pytest.mark.flow
def test_cancels(stage):
    """Only what the site signed says that something was cancelled."""
    key, kept, say = site_key(stage), {}, {}

    def post(body):
        envelope = json.loads(body)
        message = payload(envelope)
        if "operation" not in message:
            kept["cancel"] = message
            return {"id": say.get("id") or message["id"]}
        kept.update(id=message["id"], digest=digest_of(envelope), page={"state": "waiting", "decision": "ask",
                                                                       "request": envelope})
        stage.thief.pages[f"/v1/fleet/requests/{kept['id']}"] = lambda _: kept["page"]
        return {"id": kept["id"]}

    def result(signer, outcome):
        kept["page"] = dict(kept["page"], result=signer.seal("result", {
            "v": 1, "request": kept["digest"], "outcome": outcome, "reason": "", "exit_status": -1, "signal": 0,
            "stdout": "", "stderr": "", "truncated": False, "cpu_ms": 0, "max_rss": 0, "wall_ms": 0}))

    stage.thief.pages["/v1/fleet/requests"] = post
    stage.estate.desk(*RUN[:-1], "0", code=5)
    words = ("cancel", kept["id"], "--reason", "the wrong site", "--wait", "1s")
    assert "has not answered" in stage.estate.desk(*words, code=5).stdout
    assert kept["cancel"]["request"] == kept["digest"] and kept["cancel"]["engineer"] == ENGINEER
    assert kept["cancel"]["reason"] == "the wrong site"
    for signer, outcome, reason in ((Key(), "cancelled", "unknown-key"), (key, "ok", "conflict")):
        result(signer, outcome)
        refused(stage, reason, *words)
    for outcome, text in (("cancelled", "stopped at the site"), ("refused", "before it ran")):
        result(key, outcome)
        assert text in stage.estate.desk(*words).stdout
    say["id"] = "r-other"
    refused(stage, "wrong-addressee", *words)
    # What was asked is another's word: the id of one request and the envelope of another.
    kept["page"]["request"] = seal(stage, "request", dict(payload(kept["page"]["request"]), id="r-1"), ENGINEER)
    refused(stage, "altered", *words)
    kept["page"]["request"] = seal(stage, "login", payload(kept["page"]["request"]), ENGINEER)
    refused(stage, "bad-signature", *words)


@pytest.mark.flow
def test_a_request_that_is_looked_up_later(stage):
    """What was asked stands in the engineer's signature; who answers for it is the key that was the site's then."""
    kept, old, new = {}, site_key(stage), Key()

    def answer(key, envelope):
        digest = "sha256:" + hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
        result = key.seal("result", {
            "v": 1, "request": digest, "outcome": "ok", "reason": "", "exit_status": 0, "signal": 0,
            "stdout": "all is well\n", "stderr": "", "truncated": False, "cpu_ms": 0, "max_rss": 0, "wall_ms": 0})
        return {"id": payload(envelope)["id"], "site": SITE, "state": "done", "decision": "allow", "plan": None,
                "request": envelope, "result": result}

    def post(body):
        envelope = json.loads(body)
        kept[payload(envelope)["id"]] = envelope
        show(old, payload(envelope)["id"])
        return {"id": payload(envelope)["id"]}

    def show(key, name, **change):
        stage.thief.pages[f"/v1/fleet/requests/{name}"] = {**answer(key, kept[name]), **change}

    def rotate(shift_s):
        moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + shift_s))
        doc = {"v": 1, "site": SITE, "old": old.raw.hex(), "new": new.raw.hex(), "time": moment}
        first = old.seal("rotate", doc)
        first["sigs"] += new.seal("rotate", doc)["sigs"]
        stage.thief.pages[PAGE].update(rotations=[first], statement=None)

    stage.thief.pages["/v1/fleet/requests"] = post
    for _ in range(2):
        stage.estate.desk(*RUN)
    one, two = kept
    assert "all is well" in stage.estate.desk("requests", one).stdout
    refused(stage, "usage", "requests", "../x", code=2)
    show(Key(), one)
    refused(stage, "unknown-key", "requests", one)
    show(old, one, request=kept[two])
    refused(stage, "altered", "requests", one)
    show(old, one, request=None)
    refused(stage, "not-found", "requests", one)
    show(old, one)
    try:
        rotate(60)  # the key was rotated after it was asked: what was signed before counts, and the desk says so
        done = stage.estate.desk("requests", one)
        assert "all is well" in done.stdout and "signed by the key that was the site's until" in done.stdout
        rotate(-60)  # before: whoever has the old key, and the hub, lies
        refused(stage, "unknown-key", "requests", one)
        show(new, one)
        assert "until" not in stage.estate.desk("requests", one).stdout
    finally:
        for pin in glob.glob(stage.estate.path("desk", "desk", "*", "keys", f"{SITE}.json")):
            os.remove(pin)


@pytest.mark.flow
def test_a_shell_completes(stage):
    """In bash itself: words of the table, then what this desk saw, with no network."""
    e = stage.estate
    e.desk("run", *RUN[1:-2], "--offline")
    refused(stage, "usage", "completion", "fish", code=2)
    assert e.desk("completion", "zsh").stdout.startswith("#compdef mainstay-desk\n")
    script = e.path("completion")
    with open(script, "w") as f:
        f.write(e.desk("completion", "bash").stdout)

    def tab(line):
        code = 'source "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _mainstay_desk 2>/dev/null; echo "${COMPREPLY[@]}"'
        line = f"mainstay-desk --state {e.path('desk')} {line}"
        return subprocess.run(["bash", "-c", code, "bash", script, line], env={"PATH": f"{BIN}:/usr/bin:/bin"}, check=True,
                              capture_output=True, text=True).stdout.split()

    assert tab("can") == ["cancel"] and tab("audit ") == ["verify"]
    assert tab("run --rea") == ["--reason"]
    assert tab("run s") == [SITE] and tab("show ") == [SITE] == tab("audit verify ")
    assert tab(f"run --reason r {SITE} re") == ["redis"]
    assert "ping" in tab(f"run {SITE} redis ") and tab(f"run {SITE} redis memory-d") == ["memory-doctor"]
    assert tab(f"run {SITE} redis info sec") == ["section="]
    values = tab(f"run {SITE} redis info section=")
    assert not any("=" in v for v in values)  # bash replaces what stands behind it alone
    assert tab("run --card ") == []


@pytest.mark.flow
def test_audit_heads(stage):
    page, history = stage.thief.pages[PAGE], stage.thief.pages[HISTORY]
    good = copy.deepcopy(page)
    page["audit_key"] = Key().hex
    refused(stage, "altered", "audit", "verify", SITE)
    page["audit_key"] = "none"
    refused(stage, "malformed", "audit", "verify", SITE)
    page["audit_key"] = good["audit_key"]
    # Nor does a desk that saw no log yet take the hub's word for its key, or anything without the site's.
    pin = glob.glob(stage.estate.path("desk", "desk", "*", "sites", f"{SITE}.json"))
    for file in pin:
        os.unlink(file)
    page["audit_key"] = Key().hex
    refused(stage, "altered", "audit", "verify", SITE)
    page["audit_key"] = good["audit_key"]
    page["statement"] = None
    refused(stage, "not-found", "audit", "verify", SITE)
    statement = payload(good["statement"])
    own = statement["audit"].pop("key")
    page["statement"] = site_key(stage).seal("statement", statement)
    refused(stage, "malformed", "audit", "verify", SITE)
    # What the site itself names is another key than the one that this desk remembers.
    page["statement"] = good["statement"]
    history["items"] = []
    stage.estate.desk("audit", "verify", SITE)
    statement["audit"]["key"] = page["audit_key"] = Key().hex
    page["statement"] = site_key(stage).seal("statement", statement)
    refused(stage, "altered", "audit", "verify", SITE)
    page.update(audit_key=own, statement=good["statement"])
    history["items"] = copy.deepcopy(stage.pages[HISTORY]["items"])
    # A head without the witness, without the site, and none at all.
    text = good["audit"]["checkpoint"]
    lines = [line for line in text.splitlines(True) if line.startswith("\u2014")]
    for line in lines:
        page["audit"]["checkpoint"] = text.replace(line, "")
        refused(stage, "unknown-key", "audit", "verify", SITE)
    page["audit"]["checkpoint"] = ""
    refused(stage, "not-found", "audit", "verify", SITE)
    page["audit"] = copy.deepcopy(good["audit"])
    history["items"][0].pop("checkpoint")
    refused(stage, "malformed", "audit", "verify", SITE)
    # Another log's head under this log's name, signed by both: only the site itself could do that.
    history["items"] = []
    page["audit"]["checkpoint"] = stage.thief.note(stage.estate, text.split("\n\n")[0].replace(SITE, "x") + "\n")
    refused(stage, "wrong-addressee", "audit", "verify", SITE)
    page["audit"] = copy.deepcopy(good["audit"])
    # Backwards, and a present that is older than the past.
    if len(stage.pages[HISTORY]["items"]) > 1:
        history["items"] = list(reversed(stage.pages[HISTORY]["items"]))
        refused(stage, "rollback", "audit", "verify", SITE)
    # What the site itself signed about that size.
    history["items"] = stage.pages[HISTORY]["items"]
    statement = payload(page["statement"])
    statement["audit"].update(size=good["audit"]["size"], root="sha256:" + "ab" * 32)
    page["statement"] = site_key(stage).seal("statement", statement)
    refused(stage, "altered", "audit", "verify", SITE)
    statement["audit"]["root"] = "none"
    page["statement"] = site_key(stage).seal("statement", statement)
    refused(stage, "malformed", "audit", "verify", SITE)


@pytest.mark.flow
def test_accept_compares_the_fingerprint(stage):
    stage.thief.pages[f"{PAGE}/record"] = {}
    page = stage.thief.pages[PAGE]
    digest = "sha256:" + hashlib.sha256(bytes.fromhex(page["key"])).hexdigest()
    stage.estate.desk("accept", SITE, "--fingerprint", digest)
    refused(stage, "hash-mismatch", "accept", SITE, "--fingerprint", "sha256:" + "ab" * 32)
    # For an island: the list of people is gone when it is to be taken along.
    people = glob.glob(stage.estate.path("repo", "tuf", "targets", "people", "*"))
    for file in people:
        with open(file, "rb") as f:
            once = iter([f.read()])
        stage.thief.files[file.replace(stage.estate.path("repo"), "")] = lambda once=once: next(once, 404)
    out = stage.estate.path("record")
    assert "does not have it" in refused(stage, "not-found", "accept", SITE, "--out", out).stderr
    assert not os.path.exists(out)
    stage.thief.files = {}
    assert f"mainstay enrol --record {out}" in stage.estate.desk("accept", SITE, "--out", out).stdout
    refused(stage, "usage", "accept", SITE, "--fingerprint", "ab", code=2)
    # A key of low order would make anybody the site.
    page["key"] = "01" + "00" * 31
    refused(stage, "low-order-key", "accept", SITE)


@pytest.mark.flow
def test_usage(stage):
    e = stage.estate
    for words in (["alerts", "ack", "../x"], ["show", "../x"], ["alerts", "ack", "a" * 300],
                  [*RUN[:-1], "soon"]):
        refused(stage, "usage", *words, code=2)
    done = e.run("mainstay-desk", "--state", e.path("desk"), "fleet", code=2)
    assert "[usage]" in done.stderr
    argv = [os.path.join(BIN, "mainstay-desk"), *e.desk_argv("fleet")[3:]]
    done = subprocess.run(argv, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "[usage]" in done.stderr
    done = e.run("mainstay-desk", "--state", "/" + "x" * 5000, *e.desk_argv("fleet")[3:], code=2)
    assert "[usage]" in done.stderr


@pytest.mark.flow
def test_a_login_ends(stage):
    file = glob.glob(stage.estate.path("desk", "desk", "*", "session.json"))[0]
    with open(file) as f:
        text = f.read()
    try:
        with open(file, "w") as f:
            f.write(canonical(dict(json.loads(text), not_after=now(-1))).decode())
        key = os.path.join(os.path.dirname(file), "http.key")
        with open(key) as f:
            seed = f.read()
        refused(stage, "unsigned", "fleet")
        assert not os.path.exists(file) and not os.path.exists(key)
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(seed)
        with open(file, "w") as f:
            f.write(text + " " * 5000)
        refused(stage, "too-large", "fleet")
    finally:
        with open(file, "w") as f:
            f.write(text)
