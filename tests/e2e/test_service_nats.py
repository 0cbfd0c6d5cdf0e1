"""NATS as it is shipped: a real nats-server from the release's tree, its knobs, password, numbers, operations and streams."""

import http.server
import json
import os
import shutil
import signal
import socket
import threading
import urllib.request

import pytest

from estate import ROOT, SITE, Estate, operations_of, until
from proxy import free_port

NATS = os.path.join(ROOT, "packaging", "services", "nats")


class Client:
    """A connection to a nats-server; raises ConnectionError where it is not let in."""

    def __init__(self, port, password):
        self.sock = socket.create_connection(("127.0.0.1", port), 5)
        self.file = self.sock.makefile("rb")
        self.info = json.loads(self.file.readline().split(b" ", 1)[1])
        login = {"verbose": False, "pedantic": False, "user": "app", "pass": password, "headers": True,
                 "no_responders": True}
        self.sock.sendall(b"CONNECT " + json.dumps(login).encode() + b"\r\nPING\r\n")
        answer = self.line()
        if answer != "PONG":
            raise ConnectionError(answer)
        self.sock.sendall(b"SUB inbox 1\r\n")

    def line(self):
        while True:
            got = self.file.readline().decode().strip()
            if got != "PING":
                return got
            self.sock.sendall(b"PONG\r\n")

    def ask(self, subject, payload=b""):
        """The answer to a request, as JSON."""
        self.sock.sendall(b"PUB %s inbox %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
        words = self.line().split()
        assert words[0] == "MSG", words
        return json.loads(self.file.read(int(words[-1]) + 2))

    def api(self, what, **ask):
        answer = self.ask(f"$JS.API.{what}", json.dumps(ask).encode() if ask else b"")
        assert "error" not in answer, answer
        return answer

    def close(self):
        self.file.close()
        self.sock.close()


def variant(estate, version, *changes):
    """The folder as it is shipped, with another version and these replacements in service.yaml."""
    folder = estate.path(f"nats-{version}")
    shutil.copytree(NATS, folder)
    file = os.path.join(folder, "service.yaml")
    with open(file) as f:
        text = f.read()
    for old, new in (('version: "2.9.10"', f'version: "{version}"'), *changes):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with open(file, "w") as f:
        f.write(text)
    return folder


class Exporter(http.server.BaseHTTPRequestHandler):
    """What an exporter beside the server shows, on a port of loopback."""

    asked = []

    def do_GET(self):
        self.asked.append((self.path, self.headers["User-Agent"]))
        body = b"# TYPE app_requests counter\napp_requests_total 5\n# EOF\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


OWN_POLICY = """v: 1
approvers:
  - {{name: olga, key: "{key}"}}
rules:
  - services: [nats]
    operations: [info, health, health-server, connections, connection, closed, accounts, stacks, subscriptions, who-listens,
                 jetstream, streams, consumers, login, stream-purge, consumer-delete, reload]
    decision: allow
"""


@pytest.fixture(scope="module")
def estate():
    for program in ("nats-server", "socat"):
        if not shutil.which(program, path="/usr/sbin:/usr/bin"):
            pytest.skip(f"{program} is not here")
    exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    with Estate("service_nats") as e:
        e.port, e.monitor = free_port(), free_port()
        e.defaults = (("default: 4222", f"default: {e.port}"), ("default: 8222", f"default: {e.monitor}"),
                      ("metrics:\n", f'metrics:\n  - {{source: prometheus, port: "{exporter.server_port}", path: /m}}\n'))
        e.vendor(service=variant(e, "2.9.10-1", *e.defaults))
        e.start_site()
        e.enrol()
        e.policy(OWN_POLICY)
        e.mainstay("on", "all")
        e.mainstay("service", "install", "nats")
        with open(e.path("site", "lib", "services", "nats", "secrets", "app")) as f:
            e.password = f.read()
        yield e
    exporter.shutdown()


def passing(estate):
    return estate.service("nats")["health"] == "passing"


def conf(estate):
    with open(estate.path("site", "lib", "services", "nats", "conf", "nats.conf")) as f:
        return f.read()


def stream(port, password, name="S"):
    """What the server says of a stream's messages."""
    client = Client(port, password)
    try:
        return client.api(f"STREAM.INFO.{name}")["state"]["messages"]
    finally:
        client.close()


def test_an_exporters_port_is_reached_through_the_monitor(estate):
    until("it was asked", lambda: Exporter.asked)
    path, agent = Exporter.asked[0]
    assert path == "/m" and agent.startswith("mainstay/")  # the collector, which may open UNIX sockets alone
    until("its numbers wait", lambda: "app_requests_total" in estate.mainstay("telemetry", "review").stdout)
    shown = estate.mainstay("metrics").stdout
    assert 'app_requests_total{service="nats"} 5\n' in shown and 'up{service="nats"} 1\n' in shown


def test_only_who_knows_the_password_comes_in(estate):
    client = Client(estate.port, estate.password)
    assert client.info["version"].startswith("2.9.") and client.info["auth_required"] and client.info["jetstream"]
    client.api("STREAM.CREATE.S", name="S", subjects=["s.>"], storage="file", num_replicas=1, retention="limits")
    assert [client.ask("s.x", b"kept")["seq"] for _ in range(20)] == list(range(1, 21))
    client.close()
    for wrong in ("", "wrong", estate.password[:-1]):
        with pytest.raises(ConnectionError, match="Authorization Violation"):
            Client(estate.port, wrong)
    assert estate.password not in conf(estate)


PAGES = {
    "info": ([], lambda page, e: page["port"] == e.port and page["jetstream"]["config"]["max_storage"] == 1 << 30),
    "health": ([], lambda page, e: page == {"status": "ok"}),
    "health-server": ([], lambda page, e: page == {"status": "ok"}),
    "connections": (["sort=msgs_to", "count=1"], lambda page, e: page["num_connections"] == 1
                    and page["connections"][0]["subscriptions"] == 1),
    "connection": (["cid=CID"], lambda page, e: page["connections"][0]["subscriptions_list"] == ["inbox"]),
    "closed": ([], lambda page, e: {"Authentication Failure"} <= {c["reason"] for c in page["connections"]}),
    "accounts": ([], lambda page, e: max(a["received"]["msgs"] for a in page["account_statz"]) >= 20),
    "subscriptions": ([], lambda page, e: page["num_subscriptions"] > 40),
    "who-listens": (["subject=inbox"], lambda page, e: [s["subject"] for s in page["subscriptions_list"]] == ["inbox"]),
    "jetstream": ([], lambda page, e: page["streams"] == 1 and page["messages"] == 20),
    "streams": ([], lambda page, e: page["account_details"][0]["stream_detail"][0]["config"]["subjects"] == ["s.>"]),
    "consumers": ([], lambda page, e: page["account_details"][0]["stream_detail"][0]["consumer_detail"][0]["name"] == "C"),
}


def test_operations_show_the_servers_own_pages(estate):
    client = Client(estate.port, estate.password)
    client.api("CONSUMER.DURABLE.CREATE.S.C", stream_name="S",
               config={"durable_name": "C", "ack_policy": "explicit", "deliver_policy": "all"})
    asks = [[name, *(arg.replace("CID", str(client.info["client_id"])) for arg in PAGES[name][0])] for name in PAGES]
    *pages, stacks, reload = estate.desk_all("nats", *asks, ["stacks"], ["reload"])
    for name, done in zip(PAGES, pages):
        assert done["outcome"] == "ok" and PAGES[name][1](json.loads(done["stdout"]), estate), (name, done)
    assert "goroutine" in stacks["stdout"] and reload["result"]["outcome"] == "ok"
    client.close()


def test_operations_repair_what_fills_the_disk(estate):
    """By what JetStream itself answers, after a plan that names the very stream and consumer; as many messages afterwards."""
    client = Client(estate.port, estate.password)
    # What stands in a description cannot pass for another stream's name.
    client.api("STREAM.CREATE.R", name="R", subjects=["r.>"], storage="file", num_replicas=1, retention="limits",
               description='"\n          "name": "S"')
    assert [client.ask("r.x", b"old")["seq"] for _ in range(9)][-1] == 9
    for consumer in ("C", "gone"):
        client.api(f"CONSUMER.DURABLE.CREATE.R.{consumer}", stream_name="R", config={"durable_name": consumer, "ack_policy": "explicit"})
    login, purge, delete = estate.desk_all("nats", ["login"], ["stream-purge", "stream=R", "before=8"],
                                           ["consumer-delete", "stream=R", "consumer=gone"])
    assert {*PAGES, "stacks", "login", "stream-purge", "consumer-delete"} == operations_of("nats")
    assert json.loads(login["stdout"])["streams"] == 2 and json.loads(purge["stdout"])["purged"] == 7
    assert json.loads(delete["stdout"])["success"] and estate.password not in login["stdout"]
    assert purge["plan"]["targets"][1].startswith("stream R, created ") and '"limits"' in purge["plan"]["targets"][1]
    assert delete["plan"]["targets"][1].startswith("consumer gone of stream R, created ")
    state = client.api("STREAM.INFO.R")["state"]
    assert (state["messages"], state["first_seq"], state["consumer_count"]) == (2, 8, 1)
    for said in estate.desk_all("nats", ["stream-purge", "stream=nobody", "before=8"],
                                ["consumer-delete", "stream=R", "consumer=gone"], code=1):
        assert '"conflict"' in said and "there is no stream" in said, said
    client.api("STREAM.DELETE.R")
    client.close()


def test_an_argument_is_never_more_than_a_value(estate):
    for ask in [*(["who-listens", f"subject={s}"] for s in ("inbox&limit=9", "a b", "a\r\nX: y", "../../varz", "a.>", "", "a..b")),
                ["connection", "cid=1&state=closed"], ["connection", "cid=0"], ["streams", "count=1 HTTP/1.0"],
                ["stream-purge", "stream=S.>", "before=8"], ["stream-purge", "stream=S", "before=8}"],
                ["stream-purge", "stream=$(id)", "before=8"], ["stream-purge", "stream=S", "before=1"],
                ["consumer-delete", "stream=S", "consumer=C\r\nPUB s.x 1"], ["consumer-delete", "stream=*", "consumer=C"]]:
        refused = estate.desk("run", SITE, "nats", *ask, "--reason", "r", "--ticket", "t", code=None)
        assert refused.returncode in (1, 2) and "[malformed]" in refused.stderr, ask
    assert stream(estate.port, estate.password) == 20


def test_numbers_of_both_pages_arrive(estate):
    def arrived():
        got = {m["name"]: m["value"] for m in estate.desk_json("show", SITE)["metrics"]}
        assert got["nats_up"] == 1 and got["nats_jetstream_messages"] == 20
        return got["nats_in_msgs"] >= 20 and got["nats_total_connections"] >= 1

    until("numbers of NATS", arrived)


HOSTILE = [
    ("server-name", 'x"\njetstream: disabled'), ("server-name", "x\nport: 1"), ("server-name", "$HOME"),
    ("server-name", "a b"), ("server-name", "include /etc/passwd"), ("server-name", "x" * 65),
    ("port", "80"), ("port", "4222}"), ("max-payload", "1mb; debug: true"), ("max-payload", "65mb"),
    ("ping-interval", '1s"'), ("ping-max", "2 # x"), ("debug", "true\ntrace: true"), ("jetstream", "yes{"),
    ("trace", "true"),
]


def test_a_value_is_never_more_than_a_value(estate):
    before, pid = conf(estate), estate.shim("nats")["pid"]
    for knob, value in HOSTILE:
        refused = estate.mainstay("service", "set", "nats", f"{knob}={value}", code=None)
        assert refused.returncode in (1, 2) and "[" in refused.stderr, (knob, value, refused.stdout)
    assert conf(estate) == before and estate.shim("nats")["pid"] == pid and passing(estate)


def test_knobs_take_effect_in_the_server(estate):
    pid = estate.shim("nats")["pid"]
    told = estate.mainstay("service", "set", "nats", "max-payload=2mb", "ping-interval=30s", "max-connections=99",
                           "ping-max=3", "write-deadline=5s", "debug=true").stdout
    assert "reload" in told and estate.shim("nats")["pid"] == pid
    page = until("the reload", lambda: [p for p in [look(estate)] if p["max_payload"] == 2 << 20])[0]
    assert (page["ping_interval"], page["max_connections"], page["ping_max"], page["write_deadline"]) == \
        (30 * 10**9, 99, 3, 5 * 10**9)
    assert "Reloaded: debug = true" in estate.mainstay("service", "logs", "nats").stdout
    told = estate.mainstay("service", "set", "nats", "server-name=acme.1", "max-pending=32mb",
                           "jetstream-max-storage=2gb").stdout
    assert "restart" in told
    page = look(estate)
    assert (page["server_name"], page["max_pending"]) == ("acme.1", 32 << 20) and page["max_payload"] == 2 << 20
    assert page["jetstream"]["config"]["max_storage"] == 2 << 30


def test_a_reload_that_the_server_refuses_goes_back_without_a_stop(estate):
    before, pid = conf(estate), estate.shim("nats")["pid"]
    refused = estate.mainstay("service", "set", "nats", "max-payload=64mb", code=1)  # more than max-pending
    assert "[state-moved]" in refused.stderr and "max_payload (67108864) cannot be higher" in refused.stderr
    assert conf(estate) == before and estate.shim("nats")["pid"] == pid and passing(estate)
    assert look(estate)["max_payload"] == 2 << 20


def test_another_password_counts_and_the_former_does_not(estate):
    former = estate.password
    estate.mainstay("service", "secret", "rotate", "nats", "app")
    with open(estate.path("site", "lib", "services", "nats", "secrets", "app")) as f:
        estate.password = f.read()
    assert estate.password != former and stream(estate.port, estate.password) == 20
    with pytest.raises(ConnectionError, match="Authorization Violation"):
        Client(estate.port, former)
    assert estate.password not in conf(estate)


def look(estate):
    with urllib.request.urlopen(f"http://127.0.0.1:{estate.monitor}/varz", timeout=5) as page:
        return json.load(page)


def test_a_killed_server_is_started_again_with_its_streams(estate):
    pid = estate.shim("nats")["pid"]
    os.kill(pid, signal.SIGKILL)
    until("another one", lambda: estate.shim("nats")["pid"] not in (0, pid) and passing(estate))
    assert stream(estate.port, estate.password) == 20


def apply(estate, version, *changes, code=0):
    estate.publish(variant(estate, version, *estate.defaults, *changes))
    estate.mainstay("update", "check")
    plan = until("a plan", lambda: [p for p in [estate.mainstay_json("update", "plan")] if p["items"]])[0]
    return estate.mainstay("update", "apply", "--plan", plan["digest"], code=code)


def test_an_update_brings_its_defaults_and_streams_that_a_failing_one_destroyed_come_back(estate):
    apply(estate, "2.9.10-2", ("default: 256mb", "default: 128mb"))
    page = look(estate)
    assert page["jetstream"]["config"]["max_memory"] == 128 << 20 and page["server_name"] == "acme.1"
    assert stream(estate.port, estate.password) == 20
    failed = apply(estate, "2.9.10-3", ("format: jetstream-2.9", "format: other"), ("accepts: []", "accepts: [jetstream-2.9]"),
                   ("  - /usr/lib/mainstay/start.sh\n  - \"{run}\"", "  - -c\n  - rm -rf /data/jetstream; exit 1\n  - \"{run}\""),
                   code=1)
    assert "[state-moved]" in failed.stderr, failed.stderr
    until("the old release", lambda: passing(estate))
    assert stream(estate.port, estate.password) == 20
    estate.mainstay("service", "stop", "nats")
    assert "Server Exiting" in estate.mainstay("service", "logs", "nats").stdout
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", estate.port), 2)
