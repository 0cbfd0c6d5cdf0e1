"""Every route of the hub, tried by every kind of caller of one customer against what is another's.

The table of routes is the hub's own (`mainstay-hubd routes --json`): a route that has no row here fails.  What a caller
hears of an id of Globex must be, word by word, what it hears of one that exists nowhere; nothing of Globex stands in any
answer; and Globex's file and rows stay as they were.
"""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import time

import pytest

from hub import Client, Engineer, Hub, Key, Site, attribute, canonical, field, now, otlp_alert, otlp_metrics
from test_hub import checkpoint, request_of
from test_otlp import PROTOBUF, mint

T0 = time.time_ns()


class Ids:
    """What there is of Globex, or (twin) names of the same shape that exist nowhere."""

    def __init__(self, **ids):
        self.__dict__.update(ids)
        self.all = sorted(ids.values(), key=len, reverse=True)


REAL = Ids(customer="globex", site="globex-1", request="request-of-globex", alert="globex.1", engineer="gil")
TWIN = Ids(customer="globey", site="globey-2", request="request-of-globey", alert="globey.2", engineer="gus")


class World:
    """Acme and Globex on one hub, and everyone who may call it."""

    def __init__(self, hub):
        self.hub = hub
        self.ada = hub.engineer("ada", roles="support,enrol")
        hub.make_person(REAL.engineer, roles="support,enrol", customers="globex")
        self.acme = hub.accepted_site(self.ada, "acme-1", "acme")
        self.pending = Site(hub, "acme-2", "acme")
        assert self.pending.enrol().status == 200
        self.globex = hub.accepted_site(self.ada, REAL.site, "globex")
        self.fill()
        for name, roles in (("amy", "support,enrol"), ("rob", "rollout"), ("eve", "support,enrol"), ("oli", "support")):
            hub.make_person(name, roles=roles, customers="acme")
        self.amy, rob, eve = (hub.engineer(name, customers=("acme",)) for name in ("amy", "rob", "eve"))
        old = Engineer(hub, hub.people["oli"], ["acme"])
        assert old.login(not_after=now(1)).status == 200
        hub.revoke("eve")
        time.sleep(1.1)
        self.otlp = mint(hub, "acme-1").strip()
        self.callers = {
            "no key": Client(hub), "site": self.acme.client, "pending site": self.pending.client,
            "engineer": self.amy.client, "engineer without the role": rob.client, "login that ended": old.client,
            "revoked engineer": eve.client, "sender": None}

    def fill(self):
        """One of each thing there is, of Globex."""
        s = self.globex
        assert s.metrics([("globex.metric", 4711, T0)]).committed == 1
        assert s.alert("globex-alert", "firing", now(-60), "globex-text").committed == 1
        service = field(1, field(1, attribute("service.name", "globex")))
        line = field(5, field(1, b"globex-line"))
        state = field(5, field(6, field(1, attribute("name", "globex-os")))) + field(6, attribute("group", "os"))
        for stream, record in (("logs", line), ("inventory", state + field(12, b"mainstay.inventory"))):
            body = field(1, service + field(2, field(2, record)))
            reply = s.post("/v1/logs", stream, body, PROTOBUF)
            assert (reply.committed, reply.body) == (1, b""), "none was rejected"
        assert s.heartbeat([{"name": "globex-service", "release": "1", "channel": "stable"}]).committed == 1
        body = "old 0\n\n" + checkpoint(s, [b"globex"])
        assert s.post("/witness/add-checkpoint", "audit", body.encode(), "text/plain").status == 200
        assert s.client.request("GET", "/assignments/" + s.site).status == 200
        envelope, self.digest = request_of(self.ada.person, s, REAL.request)
        assert self.ada.post("/v1/fleet/requests", envelope).status == 202
        self.bearer = self.hub.command("token", "--customer", "globex", "--site", s.site, "--expires", "1h",
                                       "--otlp").stdout.decode().strip()
        self.secrets = ["globex", "4711", s.key.hex, s.audit.hex, s.courier.keyid, s.token["secret"], self.digest,
                        self.bearer]

    def call(self, caller, method, path, body=b"", **headers):
        """The answer, as far as it is the same for the same question."""
        if isinstance(body, dict):
            body = canonical(body)
            headers.setdefault("Content_Type", "application/json")
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if caller == "sender":
            headers["Authorization"] = "Bearer " + self.otlp
            return Client(self.hub).send(method, path, body, headers, None)
        return self.callers[caller].request(method, path, body, headers)

    def stored(self):
        """All rows that are Globex's, wherever they stand."""
        rows = {}
        for name in ("customers/globex.db", "fleet.db"):
            db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.hub.state, name), uri=True)
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows[name, table] = [r for r in db.execute("SELECT * FROM %s ORDER BY 1, 2" % table).fetchall()
                                     if name != "fleet.db" or "globex" in r or "globex-1" in r]
            db.close()
        assert len(rows["fleet.db", "sites"]) == len(rows["fleet.db", "keys"]) == 1 and len(rows) > 12
        return rows


@pytest.fixture(scope="module")
def world():
    with Hub(name="two-tenants") as hub:
        hub.make_repo()
        yield World(hub)


# --- what each route is asked ----------------------------------------------------------------------------------------


def plain(path):
    return lambda w, caller, i: [(path, b"", {})]


def about(path, body=b""):
    """A path with one of the ids in it."""
    return lambda w, caller, i: [(path % i.__dict__, body, {})]


def stream(name, body_of, content_type, **more):
    """A batch of the caller's own stream that names somebody else inside."""
    def probe(w, caller, i):
        w.sequence = getattr(w, "sequence", 0) + 1
        return [(None, body_of(w, i), dict({"Mainstay_Stream": name, "Mainstay_Sequence": str(w.sequence),
                                            "Content_Type": content_type}, **more))]
    return probe


def enrolment(w, caller, i):
    s = Site.__new__(Site)
    s.__dict__.update(w.pending.__dict__, site=i.site, key=Key(), audit=Key(), courier=Key())
    return [(None, s.enrolment(), {}), (None, s.enrolment(secret=w.pending.token["secret"]), {})]


def daemon(w, caller, i):
    return [(None, w.acme.key.seal("daemon", {"v": 1, "site": i.site, "role": "courier", "key": Key().hex,
                                              "not_after": now(86400)}), {})]


def goodbye(w, caller, i):
    return [(None, w.acme.key.seal("goodbye", {"v": 1, "site": i.site, "time": now()}), {})]


def rotation(w, caller, i):
    """Another's site is to have a key of Acme's: signed by that key alone, and by Acme's present one too."""
    new = Key()
    facts = {"v": 1, "site": i.site, "old": w.acme.key.hex, "new": new.hex, "time": now()}
    alone, both = new.seal("rotate", facts), w.acme.key.seal("rotate", facts)
    both["sigs"] += alone["sigs"]
    daemon = new.seal("daemon", {"v": 1, "site": i.site, "role": "courier", "key": Key().hex, "not_after": now(86400)})
    return [(None, {"v": 1, "rotation": e, "daemon": daemon}, {}) for e in (alone, both)]


def record(w, caller, i):
    facts = {"v": 1, "site": i.site, "customer": i.customer, "key": w.acme.key.hex, "platform": "linux-x86_64",
             "name": i.site, "labels": {}, "time": now(), "engineer": "amy"}
    return [("/v1/fleet/sites/%s/record" % i.site, w.amy.person.seal("site", facts), {})]


def asking(w, caller, i):
    s = Site.__new__(Site)
    s.__dict__.update(w.acme.__dict__, site=i.site, customer=i.customer)
    own = dict(w.acme.__dict__, site=i.site)
    mine = Site.__new__(Site)
    mine.__dict__.update(own)
    return [(None, request_of(w.amy.person, s, "q-%s" % caller.replace(" ", "-"))[0], {}),
            (None, request_of(w.amy.person, mine, "q-%s" % caller.replace(" ", "-"))[0], {})]


def results(w, i):
    envelope = w.acme.key.seal("result", {"v": 1, "request": w.digest})
    return canonical({"v": 1, "kind": "result", "request": i.request, "envelope": envelope})


def statement(w, i):
    return canonical(w.acme.key.seal("statement", {
        "v": 1, "site": i.site, "epoch": "00" * 16, "services": [], "platform": "p", "counter": 1,
        "audit": {"size": 0, "root": "sha256:" + hashlib.sha256(b"").hexdigest()}, "time": now()}))


def login(w, caller, i):
    e = Engineer(w.hub, w.amy.person, [i.customer])
    asked = Client(w.hub).request("GET", "/v1/login?engineer=amy").json()
    return [(None, w.amy.person.seal("login", {
        "v": 1, "hub": asked["hub"], "engineer": "amy", "key": e.key.hex, "customers": [i.customer],
        "nonce": asked["nonce"], "not_after": now(3600)}), {})]


def mailbox(w, caller, i):
    return [("/v1/mailbox?after=0", b"", {}), ("/v1/mailbox?after=0&site=" + i.site, b"", {})]


MATRIX = {
    "GET /healthz": plain("/healthz"),
    "GET /readyz": plain("/readyz"),
    "GET /metrics": None,  # numbers of the whole hub, for its operator on loopback alone
    "POST /v1/enrol": enrolment,
    "GET /v1/record": about("/v1/record?site=%(site)s"),
    "POST /v1/daemon": daemon,
    "POST /v1/leave": goodbye,
    "POST /v1/rotate": rotation,
    "POST /v1/fleet/sites/{}/record": record,
    "POST /v1/metrics": stream("metrics", lambda w, i: otlp_metrics(i.site, [("up", 1, T0)]), PROTOBUF),
    "POST /v1/logs": stream("alerts", lambda w, i: otlp_alert(i.site, "a", "firing", now(-1)), PROTOBUF),
    "GET /v1/fleet/sites/{}/logs": about("/v1/fleet/sites/%(site)s/logs?service=%(customer)s"),
    "GET /v1/fleet/sites/{}/inventory": about("/v1/fleet/sites/%(site)s/inventory?changes=1"),
    "GET /v1/fleet/sites/{}/metrics": about("/v1/fleet/sites/%(site)s/metrics?name=%(customer)s.metric"),
    "GET /v1/fleet/alerts": about("/v1/fleet/alerts?site=%(site)s"),
    "GET /v1/fleet/alerts/{}": about("/v1/fleet/alerts/%(alert)s"),
    "POST /v1/fleet/alerts/{}/ack": about("/v1/fleet/alerts/%(alert)s/ack", b"{}"),
    "POST /v1/fleet/alerts/{}/unack": about("/v1/fleet/alerts/%(alert)s/unack", b"{}"),
    "POST /v1/fleet/alerts/{}/note": about("/v1/fleet/alerts/%(alert)s/note", b'{"note":"seen"}'),
    "GET /v1/mailbox": mailbox,
    "POST /v1/fleet/requests": asking,
    "GET /v1/fleet/requests": about("/v1/fleet/requests?customer=%(customer)s"),
    "GET /v1/fleet/requests/{}": about("/v1/fleet/requests/%(request)s"),
    "POST /v1/heartbeat": stream("heartbeat", statement, "application/json"),
    "POST /witness/add-checkpoint": stream(
        "audit", lambda w, i: ("old 0\n\n" + checkpoint(w.acme, [b"x"], "mainstay.audit/" + i.site)).encode(),
        "text/plain"),
    "GET /witness/{}/checkpoint": lambda w, caller, i: [
        ("/witness/%s/checkpoint" % hashlib.sha256(("mainstay.audit/" + i.site).encode()).hexdigest(), b"", {})],
    "GET /v1/login": about("/v1/login?engineer=%(engineer)s"),
    "POST /v1/login": login,
    "GET /v1/fleet/sites": about("/v1/fleet/sites?customer=%(customer)s"),
    "GET /v1/fleet/sites/{}": about("/v1/fleet/sites/%(site)s"),
    "GET /v1/fleet/sites/{}/audit": about("/v1/fleet/sites/%(site)s/audit?from=0"),
    "GET /assignments/{}": about("/assignments/%(site)s"),
    # The last: afterwards there are rows of Acme's own under both ids.
    "POST /v1/results": stream("results", results, "application/json"),
}

# What must be told and done to its owner, or the rows above would prove nothing: (who, route) answered 2xx.
OWNERS = {"ada": ("GET /v1/fleet/sites/{}/metrics", "GET /v1/fleet/alerts", "GET /v1/fleet/requests",
                  "GET /v1/fleet/requests/{}", "GET /v1/fleet/sites", "GET /v1/fleet/sites/{}",
                  "GET /v1/fleet/sites/{}/audit", "POST /v1/fleet/alerts/{}/ack",
                  "GET /v1/fleet/alerts/{}", "POST /v1/fleet/alerts/{}/unack", "POST /v1/fleet/alerts/{}/note"),
          "globex": ("GET /v1/record", "GET /assignments/{}", "GET /witness/{}/checkpoint")}


def heard(reply, ids):
    """An answer without what is new in each: the ids as they were asked, times, nonces."""
    text = reply.body.decode("latin-1")
    for one in ids.all:
        text = text.replace(one, "ID")
    text = re.sub(r'"sequence":\d+', "", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{48}\b|\b[0-9a-f]{64}\b", "*", text)
    return reply.status, reply.reason, reply.headers.get("content-type"), text


def routes(hub):
    items = json.loads(hub.command("routes", "--json").stdout)["items"]
    return {"%s %s" % (r["method"], r["path"]): r for r in items}


def test_every_route_has_its_row(world):
    assert sorted(routes(world.hub)) == sorted(MATRIX)


def test_nobody_learns_or_changes_what_is_anothers(world):
    before, wrong, n = world.stored(), [], 0
    for route, probe in MATRIX.items():
        method, pattern = route.split(" ")
        for caller in world.callers if probe else ():
            pairs = zip(probe(world, caller, REAL), probe(world, caller, TWIN))
            for (path, body, headers), (path2, body2, headers2) in pairs:
                real = world.call(caller, method, path or pattern, body, **headers)
                twin = world.call(caller, method, path2 or pattern, body2, **headers2)
                n += 1
                if heard(real, REAL) != heard(twin, TWIN):
                    wrong.append((route, caller, heard(real, REAL), heard(twin, TWIN)))
                said = heard(real, REAL)[3]
                wrong += [(route, caller, "tells", s) for s in world.secrets if s in said]
    assert wrong == []
    assert n > 180
    assert world.stored() == before


@pytest.mark.parametrize("who", sorted(OWNERS))
def test_the_owner_is_told(world, who):
    client = world.ada.client if who == "ada" else world.globex.client
    for route in OWNERS[who]:
        method, pattern = route.split(" ")
        path, body, _ = MATRIX[route](world, who, REAL)[0]
        reply = client.request(method, path, body)
        assert reply.status == 200 and "globex" in reply.body.decode() + path, (route, reply.body)


def test_an_answer_of_acme_does_not_stand_before_globexs_request(world):
    """Sites name ids as they like; who is told both is told the one that an engineer asked for."""
    envelope = world.acme.key.seal("result", {"v": 1, "request": world.digest})
    body = canonical({"v": 1, "kind": "result", "request": REAL.request, "envelope": envelope})
    assert world.acme.post("/v1/results", "results", body, "application/json", sequence=10_000).status == 200
    page = world.ada.get("/v1/fleet/requests/" + REAL.request).json()
    assert (page["customer"], page["site"], "result" in page) == ("globex", REAL.site, False)


def test_an_engineer_of_one_customer_sees_that_one(world):
    for who, path, member in (("amy", "/v1/fleet/sites", "customer"), ("amy", "/v1/fleet/requests", "customer"),
                              ("amy", "/v1/fleet/alerts", "id")):
        mine = {str(i[member]).split(".")[0] for i in world.amy.get(path).json()["items"]}
        all_ = {str(i[member]).split(".")[0] for i in world.ada.get(path).json()["items"]}
        assert mine <= {"acme", ""} and "globex" in all_, (who, path, mine, all_)


def test_a_token_moves_no_site_to_another_customer(world):
    done = world.hub.command("token", "--customer", "acme", "--site", REAL.site, "--expires", "1h", check=False)
    assert done.returncode == 1 and b"[conflict]" in done.stderr and done.stdout == b""
    done = world.hub.command("token", "--customer", "acme", "--site", REAL.site, "--expires", "1h", "--otlp", check=False)
    assert done.returncode == 1 and b"[not-found]" in done.stderr and done.stdout == b""


@pytest.mark.parametrize("name", ["Globex", "GLOBEX", "../globex", "glob\u0435x", "globex/", ".globex", ""])
def test_names_that_are_almost_anothers_are_none(world, name):
    before = sorted(os.listdir(os.path.join(world.hub.state, "customers")))
    for more in ([], ["--otlp"]):
        done = world.hub.command("token", "--customer", name, "--site", "trick-1", "--expires", "1h", *more, check=False)
        assert done.returncode in (1, 2) and done.stdout == b"", done.stderr
    assert sorted(os.listdir(os.path.join(world.hub.state, "customers"))) == before


# --- one customer's file is damaged ------------------------------------------------------------------------------------


def test_a_damaged_file_is_its_customers_trouble_alone(world):
    hub = world.hub
    file = os.path.join(hub.state, "customers", "globex.db")
    assert hub.stop() == 0
    shutil.copy(file, file + ".kept")
    with open(file, "r+b") as f:
        f.write(b"not a database at all, whatever it was before")
    hub.start()
    try:
        reply = world.globex.metrics([("up", 1, T0)])
        assert (reply.status, reply.reason) == (503, "fault") and reply.committed is None
        assert world.ada.get("/v1/fleet/sites/globex-1").status == 503
        # It cannot be said that it is not there, where it may stand in what cannot be read.
        assert world.ada.get("/v1/fleet/requests/" + REAL.request).status == 503
        world.acme.sequence["metrics"] = 10_000
        assert world.acme.metrics([("up", 1, T0)]).status == 200
        assert world.ada.get("/v1/fleet/sites/acme-1").status == 200
        assert world.ada.get("/v1/fleet/alerts").json()["unavailable"] == ["globex"]
        assert "unavailable" not in world.amy.get("/v1/fleet/alerts").json()
        assert world.amy.get("/v1/fleet/requests/nowhere").status == 404
        assert Client(hub).request("GET", "/healthz").status == 200
        metrics = Client(hub).request("GET", "/metrics", check=False).body.decode()
        assert "mainstay_hub_customers_ailing 1\n" in metrics
        assert 'mainstay_hub_customer_ailing{customer="globex",why="EUCLEAN"} 1\n' in metrics
    finally:
        os.replace(file + ".kept", file)
    # Whole again: no restart is needed.
    assert world.globex.metrics([("up", 1, T0)]).status == 200
    assert world.ada.get("/v1/fleet/requests/" + REAL.request).status == 200
    assert (os.stat(file).st_mode & 0o777, os.stat(os.path.dirname(file)).st_mode & 0o777) == (0o600, 0o700)
