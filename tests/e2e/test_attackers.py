"""What a thief gets, and what not: of a token, of a courier's key, of what a TLS-opening proxy saw, of a sender's token;
of one engineer's key, of one release key; of the witness.  remote/README.md lists it.

A thief of the hub itself: test_desk.py (against engineers), test_update.py (director's key), test_story.py (mailbox).
"""

import base64
import glob
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import time

import pytest

from estate import CUSTOMER, SITE, Estate, until
from hub import Client, Key, Site, canonical, now, otlp_metrics
from test_desk import Thief, key_of
from test_hub import checkpoint, refused, request_of
from test_operation import good, import_, kinds, seal
from test_otlp import PROTOBUF, mint, send

T0 = time.time_ns()


def twin(of, **other):
    """The same site in other hands: what stands in other is the thief's own."""
    s = Site.__new__(Site)
    s.__dict__.update(of.__dict__, sequence=dict(of.sequence))
    s.__dict__.update(other)
    s.client = Client(of.hub, s.courier)
    return s


# --- a fake site: whoever has, or guesses, a token ---------------------------------------------------------------------


def test_a_guessed_token_opens_nothing(hub, ada):
    s = Site(hub, "fake-1")
    before = hub.rows("SELECT * FROM sites", customer=None), hub.rows("SELECT keyid FROM keys", customer=None)
    for guess in ("00" * 32, secrets.token_hex(32), hub.token("acme", "fake-2")["secret"]):
        refused(twin(s, key=Key(), courier=Key()).enrol(secret=guess), 401, "bad-signature")
    # A name made up hears the same.
    refused(twin(s, site="fake-0").enrol(), 401, "bad-signature")
    assert (hub.rows("SELECT * FROM sites", customer=None), hub.rows("SELECT keyid FROM keys", customer=None)) == before


def test_a_stolen_token_makes_a_site_that_waits_and_that_is_noticed(hub, ada):
    s = Site(hub, "fake-3")
    thief = twin(s, key=Key(), audit=Key(), courier=Key())
    assert thief.enrol().json()["status"] == "pending"
    # It has no record, so nothing that a site acts on, and cannot choose whose it is.
    refused(thief.client.request("GET", "/v1/record"), 404, "not-found")
    for reply in (thief.client.request("GET", "/assignments/fake-3"), thief.poll(), thief.heartbeat(),
                  thief.metrics([("lie", 1, T0)])):
        assert (reply.status, reply.reason) == (403, "not-approved"), reply.body
    refused(thief.enrol(customer="globex"), 400, "unknown-field")
    assert ada.get("/v1/fleet/sites/fake-3").json()["customer"] == "acme"
    # The true site is refused at once: that is how it is noticed; and the engineer compares fingerprints before accepting.
    refused(s.enrol(), 410, "used-token")
    assert ada.get("/v1/fleet/sites/fake-3").json()["key"] == thief.key.hex != s.key.hex
    facts = {"v": 1, "site": "fake-3", "customer": "acme", "key": s.key.hex, "platform": "p", "name": "n", "labels": {},
             "time": now(), "engineer": "ada"}
    reply = ada.post("/v1/fleet/sites/fake-3/record", ada.person.seal("site", facts))
    assert reply.status == 403 and reply.reason in ("altered", "wrong-addressee", "unknown-key"), reply.body
    refused(thief.client.request("GET", "/v1/record"), 404, "not-found")


def test_a_used_token_is_one_keys_alone(hub, ada):
    s = hub.accepted_site(ada, "fake-4")
    page = ada.get("/v1/fleet/sites/fake-4").json()
    refused(twin(s, key=Key(), audit=Key(), courier=Key()).enrol(), 410, "used-token")
    refused(twin(s, key=Key(), courier=Key()).enrol(), 410, "used-token")
    # A key of the site's own, but another audit log: no other log under its name.
    reply = twin(s, audit=Key()).enrol()
    assert ada.get("/v1/fleet/sites/fake-4").json()["audit_key"] == page["audit_key"] == s.audit.hex, reply.body
    assert ada.get("/v1/fleet/sites/fake-4").json()["key"] == page["key"]


# --- the courier's key ---------------------------------------------------------------------------------------------------


def test_the_courier_s_key_carries_and_signs_nothing(hub, ada):
    s, other = hub.accepted_site(ada, "courier-1"), hub.accepted_site(ada, "courier-2")
    assert s.heartbeat().committed == 1
    envelope, digest = request_of(ada.person, s, "stolen-1")
    assert ada.post("/v1/fleet/requests", envelope).status == 202
    body = "old 0\n\n" + checkpoint(s, [b"a"])
    assert s.post("/witness/add-checkpoint", "audit", body.encode(), "text/plain").status == 200
    page = ada.get("/v1/fleet/sites/courier-1").json()

    # What they get: that site's traffic.
    thief = twin(s, key=Key(), audit=Key())
    assert thief.poll().json()["items"][0]["body"] == envelope
    assert thief.metrics([("lie", 1, T0)]).status == 200

    # What not: its word.  Statements, results and heads are signed by keys that the courier never had.
    for kind in ("plan", "result"):
        answer = {"v": 1, "kind": kind, "request": "stolen-1", "envelope": thief.courier.seal(kind, {
            "v": 1, "request": digest, "outcome": "ok", "text": "all is well"})}
        refused(thief.post("/v1/results", "results", canonical(answer), "application/json"), 422, "unknown-key")
    refused(thief.heartbeat(), 422, "unknown-key")
    forged = "old 1\n%s\n\n%s" % (base64.b64encode(hashlib.sha256(b"\0b").digest()).decode(), checkpoint(thief, [b"a", b"b"]))
    refused(thief.post("/witness/add-checkpoint", "audit", forged.encode(), "text/plain"), 403, "unknown-key")
    # Nor a key after its own, nor another site, of which it hears nothing.
    refused(Client(hub).request("POST", "/v1/daemon", thief.daemon(courier=Key())), 401, "unknown-key")
    refused(thief.client.request("GET", "/assignments/courier-2"), 403, "wrong-addressee")
    assert twin(other, courier=thief.courier).poll(after=0).json() == thief.poll().json(), "the key says who it is"
    after = ada.get("/v1/fleet/sites/courier-1").json()
    assert (after["statement"], after["audit"], after["key"]) == (page["statement"], page["audit"], page["key"])
    assert ada.get("/v1/fleet/requests/stolen-1").json().get("result") is None

    # It ends with the next: an hour of grace for what is under way, and not a week.
    former, new = s.daemon(days=6.2), Key()
    assert Client(hub).request("POST", "/v1/daemon", former).status == 200
    assert Client(hub).request("POST", "/v1/daemon", s.daemon(days=6.5, courier=new)).status == 200
    ends = dict(hub.rows("SELECT keyid, not_after FROM keys WHERE site = ?", s.site, customer=None))
    assert ends[s.courier.keyid] < (time.time() + 3601) * 1e6 < ends[new.keyid]
    # The site's word for it, shown again, gives it back nothing.
    refused(Client(hub).request("POST", "/v1/daemon", former), 409, "replayed")
    assert dict(hub.rows("SELECT keyid, not_after FROM keys WHERE site = ?", s.site, customer=None)) == ends


# --- a proxy that opens TLS ---------------------------------------------------------------------------------------------


def test_what_a_proxy_saw_is_worth_nothing_a_second_time(hub, ada):
    s = Site(hub, "proxy-1")
    seen = canonical(s.enrolment())
    assert Client(hub).request("POST", "/v1/enrol", seen, {"Content-Type": "application/json"}).status == 200
    keys = hub.rows("SELECT * FROM keys WHERE site = 'proxy-1'", customer=None)

    # The enrolment again: the answer that its owner got, and nothing else changes; its token is not in it.
    again = Client(hub).request("POST", "/v1/enrol", seen, {"Content-Type": "application/json"})
    assert again.status == 200 and again.json()["status"] == "pending"
    assert s.token["secret"].encode() not in base64.b64decode(json.loads(seen)["payload"])
    assert hub.rows("SELECT * FROM keys WHERE site = 'proxy-1'", customer=None) == keys
    # Altered: with the proxy's own keys, the site's HMAC is of other keys.
    stolen = json.loads(base64.b64decode(json.loads(seen)["payload"]))
    evil = Key()
    changed = twin(s, key=evil, courier=Key())
    payload = dict(stolen, key=evil.hex, daemon=changed.daemon())
    refused(Client(hub).request("POST", "/v1/enrol", evil.seal("enrol", payload)), 401, "bad-signature")
    refused(Client(hub).request("POST", "/v1/enrol", dict(json.loads(seen), payload=base64.b64encode(canonical(
        dict(stolen, platform="other"))).decode())), 401, "bad-signature")

    facts = {"v": 1, "site": "proxy-1", "customer": "acme", "key": s.key.hex, "platform": "p", "name": "n", "labels": {},
             "time": now(), "engineer": "ada"}
    assert ada.post("/v1/fleet/sites/proxy-1/record", ada.person.seal("site", facts)).status == 200

    # A signed batch: again, altered, with another's body, at another path, as another method.
    body = otlp_metrics(s.site, [("m", 1, T0)])
    headers = {"Content-Type": PROTOBUF, "Mainstay-Stream": "metrics", "Mainstay-Sequence": "1"}
    nonce = s.client.sign("POST", "/v1/metrics", headers, body)
    rows = "SELECT sum(points) FROM point_batches"
    for evil, reason, status in (
            (dict(body=body + b"\x0a\x00"), "hash-mismatch", 401), (dict(path="/v1/logs"), "bad-signature", 401),
            (dict(headers=dict(headers, **{"Mainstay-Sequence": "9"})), "bad-signature", 401),
            (dict(headers=dict(headers, **{"Mainstay-Stream": "alerts"})), "bad-signature", 401),
            (dict(headers={k: v for k, v in headers.items() if k != "Content-Digest"}), "unsigned", 401)):
        # A copy of the signature each, since a nonce is used up by whoever is first.
        fresh = {"Content-Type": PROTOBUF, "Mainstay-Stream": "metrics", "Mainstay-Sequence": "1"}
        mine = s.client.sign("POST", "/v1/metrics", fresh, body)
        if "headers" in evil:
            put = {k: v for k, v in fresh.items() if k in evil["headers"]}
            put.update({k: v for k, v in evil["headers"].items() if k.startswith("Mainstay")})
        else:
            put = fresh
        stored = hub.rows(rows)
        reply = s.client.send("POST", evil.get("path", "/v1/metrics"), evil.get("body", body), put, mine)
        assert (reply.status, hub.rows(rows)) == (status, stored), reply.body
        assert reply.reason in (reason, "malformed"), (reply.reason, reason)
    assert s.client.send("POST", "/v1/metrics", body, headers, nonce).committed == 1
    refused(s.client.send("POST", "/v1/metrics", body, headers, nonce), 409, "replayed")


def test_hundreds_of_replays_over_a_hub_that_is_killed(hub, ada):
    s = hub.accepted_site(ada, "proxy-2")
    seen = []
    for n in range(1, 11):
        body = otlp_metrics(s.site, [("m", n, T0 + n)])
        headers = {"Content-Type": PROTOBUF, "Mainstay-Stream": "metrics", "Mainstay-Sequence": str(n)}
        nonce = s.client.sign("POST", "/v1/metrics", headers, body)
        assert s.client.send("POST", "/v1/metrics", body, headers, nonce).committed == n
        seen.append((body, headers, nonce))
    stored, taken, tried = hub.rows("SELECT * FROM point_batches"), 0, 0
    for _ in range(3):
        hub.stop(9)
        hub.start()
        for _ in range(10):
            for body, headers, nonce in seen:
                reply = s.client.send("POST", "/v1/metrics", body, headers, nonce)
                taken += (reply.status, reply.reason) != (409, "replayed")
                tried += 1
    assert (tried, taken) == (300, 0) and hub.rows("SELECT * FROM point_batches") == stored


def test_a_senders_token_writes_as_that_sender_until_it_is_revoked(hub, ada):
    s = hub.accepted_site(ada, "sender-1")
    assert s.metrics([("up", 1, T0)]).status == 200
    token = mint(hub, "sender-1").strip()
    assert send(hub, "/v1/metrics", otlp_metrics("courier-1", [("up", 0, T0)]), token).status == 200
    page = {m["service"]: m["value"] for m in ada.get("/v1/fleet/sites/sender-1").json()["metrics"]}
    assert page == {"redis": 1, "otlp:redis": 0}, "the site's own word stands beside it"
    headers = {"Authorization": "Bearer " + token}
    for method, path in (("GET", "/v1/mailbox"), ("GET", "/v1/record"), ("GET", "/v1/fleet/sites"),
                         ("POST", "/v1/heartbeat"), ("POST", "/v1/results"), ("GET", "/assignments/sender-1"),
                         ("POST", "/witness/add-checkpoint")):
        reply = Client(hub).send(method, path, b"{}" if method == "POST" else b"", dict(headers), None)
        assert (reply.status, reply.reason) == (401, "unsigned"), path
    hub.command("revoke", token.split("_")[1])
    assert send(hub, "/v1/metrics", otlp_metrics("x", [("up", 5, T0)]), token).status == 401
    page = {m["service"]: m["value"] for m in ada.get("/v1/fleet/sites/sender-1").json()["metrics"]}
    assert page == {"redis": 1, "otlp:redis": 0}


# --- a whole estate -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="estate")
def an_estate():
    with Estate("attackers") as e:
        e.begin()
        e.install_redis()
        yield e


def files(folder):
    return {os.path.relpath(f, folder): open(f, "rb").read()
            for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if os.path.isfile(f)}


def resigned(document, root, *keys):
    """A TUF document over what it says now, signed by these key files of root's."""
    made = [key_of(k) for k in keys]
    ids = {v["keyval"]["public"]: k for k, v in root["keys"].items()}
    return json.dumps({"signatures": [{"keyid": ids[k.hex], "sig": k.private.sign(canonical(document)).hex()}
                                      for k in made], "signed": document}, separators=(",", ":")).encode()


def newest(estate, role):
    found = glob.glob(estate.path("repo", "tuf", f"*.{role}.json"))
    return max(found, key=lambda f: int(os.path.basename(f).split(".")[0]))


def signed(file):
    with open(file) as f:
        return json.load(f)["signed"]


def test_one_release_key_is_too_few(estate):
    """Of the root's three, one; then the targets key without those of snapshot and timestamp; then the timestamp's."""
    repo, keys = estate.path("repo"), lambda name: estate.path("keys", name + ".key")
    kept, root = files(repo), signed(newest(estate, "root"))
    release, pid = estate.service("redis")["release"], estate.shim()["pid"]

    def put(name, data):
        with open(os.path.join(repo, "tuf", name), "wb") as f:
            f.write(data)

    def mend():
        for name in set(files(repo)) - set(kept):
            os.unlink(os.path.join(repo, name))
        for name, data in kept.items():
            with open(os.path.join(repo, name), "wb") as f:
                f.write(data)

    def refused_everywhere(reason):
        log = os.path.join(estate.logs, "site.log")
        mark = os.path.getsize(log)
        assert f"[{reason}]" in estate.desk("show", SITE, code=1).stderr
        estate.mainstay("update", "check", code=None)
        until(f"the site refuses: {reason}", lambda: f"[{reason}] (" in open(log).read()[mark:])
        assert estate.service("redis")["release"] == release and estate.shim()["pid"] == pid
        mend()

    evil = Key()
    grab = dict(root, version=root["version"] + 1, keys=dict(root["keys"], **{"ee" * 32: {
        "keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": evil.hex}}}))
    grab["roles"] = {k: dict(v, keyids=["ee" * 32], threshold=1) for k, v in root["roles"].items()}
    put(f"{grab['version']}.root.json", resigned(grab, root, keys("root-1")))
    refused_everywhere("threshold")

    # The targets key alone: the snapshot names the bytes that it signed before.  (Who holds this version already does
    # not fetch it again; a desk that begins does.)
    targets = signed(newest(estate, "targets"))
    more = dict(targets, targets={k: dict(v, custom=dict(v["custom"], counter=9)) if "counter" in v.get("custom", {})
                                  else v for k, v in targets["targets"].items()})
    assert more != targets
    put(os.path.basename(newest(estate, "targets")), resigned(more, root, keys("targets")))
    shutil.rmtree(estate.path("desk", "desk"))
    assert "[hash-mismatch]" in estate.desk("login", code=1).stderr
    mend()
    estate.desk("login")
    estate.desk("show", SITE)

    # The timestamp key alone: it can name an older snapshot, which nobody follows.
    stamp = signed(os.path.join(repo, "tuf", "timestamp.json"))
    old = stamp["meta"]["snapshot.json"]["version"] - 1
    assert old >= 1
    with open(os.path.join(repo, "tuf", f"{old}.snapshot.json"), "rb") as f:
        data = f.read()
    meta = dict(stamp["meta"]["snapshot.json"], version=old, length=len(data))
    if "hashes" in meta:
        meta["hashes"] = {"sha256": hashlib.sha256(data).hexdigest()}
    put("timestamp.json", resigned(dict(stamp, version=stamp["version"] + 1, meta={"snapshot.json": meta}),
                                   root, keys("timestamp")))
    refused_everywhere("rollback")
    estate.desk("show", SITE)


def test_an_engineer_s_key_is_what_the_ceiling_allows_until_it_is_revoked(estate):
    estate.engineer("theo", "support")
    stolen = seal(estate, good(estate, engineer="theo", operation="ping"), "theo")
    until("people with theo", lambda: estate.desk("login", key="theo", code=None).returncode == 0)
    pid = estate.shim()["pid"]
    # What they get: what runs without being asked.
    answer = estate.desk_json("run", SITE, "redis", "ping", "--reason", "r", "--ticket", "t", "--wait", "60s", key="theo")
    assert answer["outcome"] == "ok"
    # What is asked waits, and this key approves nothing, neither at the monitor nor as a permit.
    estate.desk("run", SITE, "redis", "restart", "--reason", "r", "--ticket", "t", "--wait", "1s", key="theo", code=5)
    waiting = until("a request that waits", lambda: estate.requests(state="waiting"))[0]["id"]
    done = estate.approve(waiting, key="theo", code=1)
    assert "[wrong-role]" in done.stderr or "[unknown-key]" in done.stderr, done.stderr
    # Nor is it anybody at another customer.
    estate.run("mainstay-hubd", "token", "--state", estate.path("hub"), "--customer", "globex", "--site", "globex-1",
               "--expires", "1h")
    assert "[not-found]" in estate.desk("show", "globex-1", key="theo", code=1).stderr
    other = seal(estate, good(estate, engineer="theo", customer="globex"), "theo")
    assert "[wrong-addressee]" in import_(estate, other, code=1).stderr
    assert "start" not in kinds(estate, waiting) and estate.shim()["pid"] == pid
    # Revoked, it is nobody at the hub at once, and at the site with the next document: also in what it signed before.
    estate.run("mainstay-release", "people", "set", estate.path("repo"), "--keys", estate.path("keys"), "--name", "theo",
               "--revoke", "--reason", "laptop stolen")
    estate.run("mainstay-release", "people", "sign", estate.path("repo"), "--keys", estate.path("keys"))
    assert "[revoked]" in estate.desk("fleet", key="theo", code=1).stderr
    assert "[unknown-key]" in estate.desk("login", key="theo", code=1).stderr
    estate.mainstay("update", "check", code=None)  # which brings the people document, too, and need not find a release
    until("the site knows", lambda: "[revoked]" in import_(estate, stolen, code=1).stderr)
    assert estate.approve(waiting, code=None).returncode == 1
    assert "start" not in kinds(estate, waiting) and estate.shim()["pid"] == pid


KINDS = ("request", "dry-run", "cancel", "permit", "owner", "site", "login", "rollout", "plan", "result", "progress", "permits",
         "statement", "daemon", "assignment", "rotate")


def acked(estate):
    with open(estate.path("site", "lib", "courier", "acks.json")) as f:
        return json.load(f)["streams"]["mailbox"]


def mailbox(estate, thief, items):
    """What the site's next polls are given, sixteen at a time; returns when they were all taken or refused.  The last of
    them has the last number that there is."""
    n, most = acked(estate), 1 << 52
    left = [{"n": n + 1 + i, "kind": kind, "body": body} for i, (kind, body) in enumerate(items)]
    left[-1]["n"] = most
    left = [left[i:i + 16] for i in range(0, len(left), 16)]

    def page(_):
        if not left:
            time.sleep(0.2)
        return {"v": 1, "items": left.pop(0) if left else []}

    thief.pages["/v1/mailbox"] = page
    until("the site has seen all of it", lambda: acked(estate) == most)


def forgeries(estate, keys, carried, waiting):
    """Items for a mailbox, of all that the hub's keys can make and all that it ever carried; and two requests among them."""
    base = good(estate, operation="ping")

    def new(**changes):
        return dict(base, id="r-" + secrets.token_hex(8), nonce=secrets.token_hex(16), **changes)

    def cancel(of, rid):
        return {"v": 1, "request": of, "id": rid, "engineer": "vera", "reason": "so it says", "time": now()}

    def asked(**changes):
        return "request", seal(estate, new(**changes))

    estate.ssh_key("forger")
    tried, taken_back = new(), new()
    of_waiting = cancel("sha256:" + hashlib.sha256(base64.b64decode(carried[waiting]["payload"])).hexdigest(), waiting)
    of_taken = cancel("sha256:" + hashlib.sha256(canonical(taken_back)).hexdigest(), taken_back["id"])
    items = [(word, body) for body in carried.values() for word in ("request", "dry-run", "cancel")]
    for key in keys:
        items += [("request", key.seal(kind, new())) for kind in KINDS]
        items.append(("cancel", key.seal("cancel", of_waiting)))
    return items + [
        ("request", seal(estate, new(), "forger")), ("cancel", seal(estate, of_waiting, "forger", "cancel")),
        asked(site="site2"), asked(customer="globex"), asked(definition="sha256:" + "0" * 64),
        asked(not_before=now(-7200), expires=now(-3600)), asked(not_before=now(3000), expires=now(3600)),
        # An engineer's word for something else; and what was only to be planned.
        ("request", seal(estate, estate.desk_json("show", SITE)["record"], "vera", "site")),
        ("request", seal(estate, {"v": 1}, "vera", "login")),
        ("request", seal(estate, tried, "vera", "dry-run")), ("request", seal(estate, tried)),
        # What takes it back comes first.
        ("cancel", seal(estate, of_taken, "vera", "cancel")), ("request", seal(estate, taken_back)),
    ], tried["id"], taken_back["id"]


def test_who_has_hub_and_nginx_runs_nothing(estate):
    """All of the hub's keys, all that it ever carried, and the site's only way out: it makes, replays, swaps, reorders."""
    estate.desk("run", SITE, "redis", "ping", "--reason", "r", "--ticket", "t", "--wait", "60s")
    estate.desk("run", SITE, "redis", "restart", "--reason", "r", "--ticket", "t", "--wait", "0", code=5)
    waiting = until("a request that waits", lambda: estate.requests(state="waiting"))[-1]["id"]
    with sqlite3.connect(estate.path("hub", "customers", f"{CUSTOMER}.db"), timeout=10) as con:
        rows = con.execute("SELECT id, envelope FROM requests WHERE n > 0").fetchall()
    keys = [key_of(estate.path("hub", name + ".key")) for name in ("reply", "witness", "director")]
    items, tried, taken_back = forgeries(estate, keys, {i: json.loads(e) for i, e in rows}, waiting)
    starts, pid = len(estate.leaves(kind="start")), estate.shim()["pid"]
    estate.hub.stop()
    thief = Thief(estate)
    thief.pages["/v1/heartbeat"] = thief.pages["/v1/results"] = {}
    try:
        mailbox(estate, thief, items)
        # And people of its own: engineers stand in what officers sign, offline.
        stamp = signed(estate.path("repo", "tuf", "timestamp.json"))
        stamp["version"] += 1
        thief.files["/tuf/timestamp.json"] = json.dumps({"signed": stamp, "signatures": [
            {"keyid": k.keyid, "sig": k.private.sign(canonical(stamp)).hex()} for k in keys]}).encode()
        assert "[threshold]" in estate.mainstay("update", "check", code=1).stderr
    finally:
        thief.close()
        estate.start_hub()
    assert len(estate.leaves(kind="start")) == starts and estate.shim()["pid"] == pid
    assert kinds(estate, waiting) == ["request"] and waiting in [r["id"] for r in estate.requests(state="waiting")]
    assert kinds(estate, tried) == ["request", "end"]  # its plan was made; to run it is a repetition
    assert "request" not in kinds(estate, taken_back)
    assert {"replayed", "malformed", "unknown-key", "bad-signature", "wrong-addressee", "altered", "expired", "not-yet-valid",
            "revoked", "threshold"} <= {i["reason"] for i in estate.leaves(kind="refuse")}
    estate.mainstay("requests", "deny", waiting, "--reason", "test is over")
    estate.mainstay("audit", "verify")
    # And who has the hub back has all of it back.
    answer = estate.desk_json("run", SITE, "redis", "ping", "--reason", "r", "--ticket", "t", "--wait", "60s")
    assert answer["outcome"] == "ok"


def test_a_witness_that_lies_is_not_believed_and_answers_of_yesterday_let_nothing_go(estate):
    """Somebody in the hub's place with its TLS and reply key: cosignatures that are none, and answers to other requests."""
    until("all is cosigned", lambda: estate.status()["audit"]["cosigned"] == estate.status()["audit"]["size"])
    cosigned = estate.status()["audit"]["cosigned"]
    db = estate.path("hub", "customers", f"{CUSTOMER}.db")
    request = seal(estate, good(estate, operation="ping"))
    estate.hub.stop()
    thief, asked = Thief(estate), []

    def witness(posted):
        asked.append(posted)
        text = posted.decode().split("\n\n", 1)[1].split("\n\n")[0] + "\n"
        evil = Key()
        moment = int(time.time())
        line = evil.private.sign(f"cosignature/v1\ntime {moment}\n{text}".encode())
        keyid = hashlib.sha256(b"e2e-vendor\n\x04" + key_of(estate.path("hub", "witness.key")).raw).digest()[:4]
        return ("\u2014 e2e-vendor %s\n" % base64.b64encode(keyid + moment.to_bytes(8, "big") + line).decode()).encode()

    # What is not the witness's is the hub's own answer, but to another request: all that a proxy has.
    honest = thief.nonce
    thief.nonce = lambda handler: honest(handler) if handler.path.startswith("/witness/") else "00" * 16
    thief.pages["/v1/results"] = thief.pages["/v1/heartbeat"] = {}
    try:
        thief.pages["/witness/add-checkpoint"] = witness
        import_(estate, request)
        until("it ran", lambda: estate.requests(state="done"))
        until("the witness was asked", lambda: asked, timeout=60)
        time.sleep(1)
        assert estate.status()["audit"]["cosigned"] == cosigned < estate.status()["audit"]["size"]
        # Now as the hub itself: it will not have the result.
        del thief.pages["/v1/results"]
        thief.nonce = honest
        until("status says so", lambda: [i for i in estate.status()["outbox"]["stuck"] if i["status"] == 404])
        assert [i for i in estate.leaves(kind="refuse", actor="hub") if i["reason"] == "not-found"]
    finally:
        thief.close()
    estate.start_hub()
    rid = json.loads(base64.b64decode(request["payload"]))["id"]

    def arrived():
        with sqlite3.connect(db, timeout=10) as con:
            return con.execute("SELECT result FROM requests WHERE id = ? AND result IS NOT NULL", (rid,)).fetchone()

    until("the result is at the hub after all", arrived, timeout=90)
    until("nothing is stuck", lambda: estate.status()["outbox"]["stuck"] == [])
    until("the log is cosigned again", lambda: estate.status()["audit"]["cosigned"] > cosigned, timeout=90)
    estate.mainstay("audit", "verify")
