"""Redis as it is shipped: the real server from the release's tree, its users, knobs, numbers, operations and snapshots."""

import json
import os
import shutil
import signal
import socket
import subprocess

import pytest

from estate import ROOT, SITE, Estate, operations_of, until
from proxy import free_port

REDIS = os.path.join(ROOT, "packaging", "services", "redis")

# Operation: its arguments, and what its output must hold.
LOOK = {
    "ping": ([], "PONG"),
    "info": (["section=keyspace"], "db0:keys=20"),
    "slowlog": (["count=128"], "DEL"),
    "slowlog-length": ([], ""),
    "client-list": ([], "cmd=client|list user=default"),
    "memory-doctor": ([], "instance"),
    "memory-stats": ([], "peak.allocated"),
    "latency-doctor": ([], "latency"),
    "latency-latest": ([], ""),
    "latency-history": (["event=fork"], ""),
    "latency-histogram": (["command=del"], "calls"),
    "replication": ([], "master"),
    "keys-count": ([], "20"),
    "settings": (["names=maxmemory*"], "maxmemory-policy\nnoeviction"),
    "reload": ([], ""),
}
CHANGES = ["big-keys", "key", "client-kill", "statistics-reset", "slowlog-reset", "latency-reset", "memory-purge",
           "bgrewriteaof", "bgsave"]
OWN_POLICY = f"""v: 1
approvers:
  - {{{{name: olga, key: "{{key}}"}}}}
rules:
  - {{{{services: [redis], operations: [client, {', '.join([*LOOK, *CHANGES])}], decision: allow}}}}
"""


@pytest.fixture(scope="module")
def estate():
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not here")
    with Estate("service_redis") as e:
        e.vendor()
        e.start_site()
        e.enrol()
        e.policy(OWN_POLICY)
        e.install_redis()
        yield e


def own(estate, *names):
    return estate.path("site", "lib", "services", "redis", *names)


def secret(estate, name):
    with open(own(estate, "secrets", name)) as f:
        return f.read()


def ask(estate, *commands, where=None):
    """Commands of one connection and what comes back."""
    where = where or ("-s", estate.path("site", "run", "services", "redis", "redis.sock"))
    return estate.run("redis-cli", *where, stdin="".join(c + "\n" for c in commands)).stdout


def setting(estate, name):
    return ask(estate, f"CONFIG GET {name}").splitlines()[1]


def conf(estate):
    with open(own(estate, "conf", "redis.conf")) as f:
        return f.read()


def test_who_may_what(estate):
    app = f"AUTH app {secret(estate, 'app')}"
    assert ask(estate, app, *(f"SET k{i} v{i}" for i in range(20)), "GET k7").endswith("OK\nv7\n")
    assert ask(estate, "AUTH app wrong", "PING").startswith("WRONGPASS")
    keys = ("GET k1", "SET k1 x", "DEL k1", "KEYS *", "SCAN 0", "DUMP k1", "EVAL 'return 1' 0", "FLUSHALL", "SUBSCRIBE a")
    control = ("CONFIG SET dir /tmp", "CONFIG REWRITE", "MODULE LIST", "SHUTDOWN", "ACL LIST", "REPLICAOF h 1",
               "MONITOR", "REPLCONF ACK 1", "BGREWRITEAOF", "CLIENT KILL ID 1", "CONFIG RESETSTAT", "SLOWLOG RESET")
    for command in keys + control:
        assert ask(estate, command).startswith("NOPERM"), command
    for command in control:
        assert "NOPERM" in ask(estate, app, command), command
    operator = f"AUTH operator {secret(estate, 'operator')}"  # names and sizes of keys, no value
    assert ask(estate, operator, "TYPE k1") == "OK\nstring\n"
    for command in (*keys, *control, "SET k1 x", "EVAL_RO 'return redis.call(\"GET\", \"k1\")' 0"):
        if command not in ("SCAN 0", "BGREWRITEAOF", "CLIENT KILL ID 1", "CONFIG RESETSTAT", "SLOWLOG RESET"):
            said = ask(estate, operator, command)
            assert "NOPERM" in said or "can't run this command" in said, (command, said)
    assert "user default" in ask(estate, f"AUTH admin {secret(estate, 'admin')}", "ACL LIST")
    assert not any(secret(estate, name) in conf(estate) for name in ("app", "admin", "operator"))


def test_another_password_counts_and_the_former_does_not(estate):
    former = {name: secret(estate, name) for name in ("app", "admin")}
    estate.mainstay("service", "secret", "rotate", "redis", "app")
    estate.mainstay("service", "secret", "set", "redis", "admin", "--value-file", "-", stdin="chosen-by-the-customer-1234")
    assert secret(estate, "app") != former["app"] and secret(estate, "admin") == "chosen-by-the-customer-1234"
    for name, old in former.items():
        assert ask(estate, f"AUTH {name} {old}").startswith("WRONGPASS"), name
        assert ask(estate, f"AUTH {name} {secret(estate, name)}", "GET k7").endswith("OK\nv7\n"), name
        assert secret(estate, name) not in conf(estate)


def test_operations_that_look_run_without_a_password(estate):
    estate.mainstay("service", "set", "redis", "slowlog-log-slower-than=0")
    ask(estate, f"AUTH app {secret(estate, 'app')}", "DEL nothing")
    for name, done in zip(LOOK, estate.desk_all("redis", *([name, *LOOK[name][0]] for name in LOOK))):
        assert done["result"]["outcome"] == "ok" and LOOK[name][1] in done["stdout"], (name, done)
        assert "NOPERM" not in done["stdout"] and secret(estate, "app") not in done["stdout"]


class Client:
    """A program of the customer's that is connected."""

    def __init__(self, estate):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        # Its path is longer than a socket's address may be.
        folder = os.open(estate.path("site", "run", "services", "redis"), os.O_PATH)
        self.sock.connect(f"/proc/self/fd/{folder}/redis.sock")
        os.close(folder)
        self.file = self.sock.makefile("rb")
        assert self.say(f"AUTH app {secret(estate, 'app')}") == self.say("CLIENT SETNAME billing") == b"+OK"
        self.id = self.say("CLIENT ID").lstrip(b":").decode()

    def say(self, command):
        self.sock.sendall(command.encode() + b"\r\n")
        return self.file.readline().strip()


def test_operations_that_change_something_do_what_they_say(estate):
    client, stays = Client(estate), Client(estate)
    ask(estate, f"AUTH app {secret(estate, 'app')}", "SELECT 1", "SET large " + "x" * 5000, "SET small x")
    asks = [["big-keys", "database=1"], ["key", "key=large", "database=1"], ["client-kill", f"id={client.id}"],
            ["client", f"id={stays.id}"], ["latency-reset"], ["memory-purge"], ["bgrewriteaof"], ["slowlog-reset"],
            ["statistics-reset"], ["bgsave"]]
    assert {ask[0] for ask in asks} == {"client", *CHANGES} and {*LOOK, "client", *CHANGES} - {"reload"} == operations_of("redis")
    big, key, kill, shown, _, _, rewrite, slow, _, save = estate.desk_all("redis", *asks)
    lines = big["stdout"].splitlines()
    assert lines[0].startswith("2 keys looked at, all") and [line.split()[1:] for line in lines[1:]] == \
        [["string", "large"], ["string", "small"]]
    assert int(lines[1].split()[0]) > 5000 and "bytes " + lines[1].split()[0] in key["stdout"]
    assert "type string" in key["stdout"] and "xxx" not in key["stdout"] + big["stdout"]
    # The plan named that very client; it is cut off, and no other.
    assert f"id={client.id}" in kill["plan"]["targets"] and "name=billing" in kill["plan"]["targets"]
    assert client.file.read() == b"" and stays.say("PING") == b"+PONG"
    assert shown["stdout"].splitlines()[0] == f"id={stays.id}" and "user=app\n" in shown["stdout"]
    assert "started" in rewrite["stdout"] and "appenddirname" in rewrite["plan"]["targets"] and "OK" in slow["stdout"]
    assert save["result"]["outcome"] == "ok" and "dump.rdb" in save["plan"]["targets"]
    # What finds nothing to do fails: the client that is gone, before anything is planned; a key that is not there.
    gone, = estate.desk_all("redis", ["client-kill", f"id={client.id}"], code=1)
    assert '"conflict"' in gone and f"there is no client {client.id}" in gone, gone
    for said in estate.desk_all("redis", ["key", "key=large"], ["big-keys", "database=99"], code=4):
        assert "exit status 1" in said
    for operation in ("client-kill id=1 2", "client-kill id=0", "key key=a b", "key key=a\r\nFLUSHALL", "key key=-h",
                      "big-keys sample=10001", "big-keys database=1;2", "latency-history event=fork x",
                      "latency-histogram command=get;", "settings names=a b", "settings names=dir\r\nFLUSHALL",
                      "settings names=-h", "settings names=maxmemory;", "settings names="):
        name, argument = operation.split(" ", 1)
        refused = estate.desk("run", SITE, "redis", name, argument, "--reason", "look", "--ticket", "T-1", code=None)
        assert refused.returncode in (1, 2) and "[malformed]" in refused.stderr, operation


def test_how_full_it_is_and_whether_saves_go_well_arrive_as_numbers(estate):
    def arrived():
        got = {m["name"]: m["value"] for m in estate.desk_json("show", SITE)["metrics"]}
        assert 0 < got["redis_memory_percent"] < 100 and 0 < got["redis_clients_percent"] < 10
        return got["redis_rdb_last_bgsave_status"] == got["redis_aof_last_write_status"] == got["redis_up"] == 1

    until("numbers of Redis", arrived)


HOSTILE = [
    ("notify-keyspace-events", 'K"\nrequirepass x'), ("notify-keyspace-events", "KE A"), ("notify-keyspace-events", "K\\n"),
    ("notify-keyspace-events", "$" * 17), ("maxmemory", "1mb\nsave 1 1"), ("maxmemory", "65gb"),
    ("maxmemory-policy", "noeviction\ndir /tmp"), ("maxmemory-policy", "no-eviction"), ("appendonly", "yes # no"),
    ("appendfsync", "sometimes"), ("maxclients", "100 200"), ("timeout", "-1"), ("databases", '16"'), ("port", "6379 x"),
    ("dir", "/tmp"), ("include", "/etc/passwd"),
]


def test_a_value_is_never_more_than_a_value(estate):
    before, pid = conf(estate), estate.shim()["pid"]
    for knob, value in HOSTILE:
        refused = estate.mainstay("service", "set", "redis", f"{knob}={value}", code=None)
        assert refused.returncode in (1, 2) and "[" in refused.stderr, (knob, value, refused.stdout)
    assert conf(estate) == before and estate.shim()["pid"] == pid and estate.service("redis")["health"] == "passing"


def test_knobs_take_effect_in_the_server(estate):
    pid = estate.shim()["pid"]
    values = {"maxmemory": "33554432", "maxmemory-policy": "allkeys-lru", "appendfsync": "always", "maxclients": "77",
              "timeout": "600", "slowlog-log-slower-than": "5000", "notify-keyspace-events": "$K", "appendonly": "no"}
    told = estate.mainstay("service", "set", "redis", *(f"{k}={v}" for k, v in values.items())).stdout
    assert "reload" in told and estate.shim()["pid"] == pid
    for name, value in values.items():
        assert until(name, lambda n=name: setting(estate, n)) == value
    # What is empty again is taken up, too.
    estate.mainstay("service", "set", "redis", "notify-keyspace-events=", "appendonly=yes")
    assert estate.shim()["pid"] == pid and setting(estate, "appendonly") == "yes"
    assert ask(estate, "CONFIG GET notify-keyspace-events") == "notify-keyspace-events\n\n"
    port = free_port()
    assert "restart" in estate.mainstay("service", "set", "redis", f"port={port}", "databases=3").stdout
    tcp = ("-h", "127.0.0.1", "-p", str(port))
    assert ask(estate, "GET k1", where=tcp).startswith("NOPERM")
    assert ask(estate, f"AUTH app {secret(estate, 'app')}", "GET k1", "SELECT 3", where=tcp).split("\n")[:3] == \
        ["OK", "v1", "ERR DB index is out of range"]


def test_a_reload_that_redis_refuses_is_one_that_failed(estate):
    line, bad = estate.path("line"), estate.path("bad.conf")
    sock = estate.path("site", "run", "services", "redis", "redis.sock")
    with open(line, "w") as f:
        f.write(f"user admin on >{secret(estate, 'admin')} ~* &* +@all")
    with open(bad, "w") as f:
        f.write("maxmemory 1000000\nmaxclients none\n")
    assert "maxclients" in estate.run("dash", os.path.join(REDIS, "reload.sh"), sock, bad, line, code=1).stderr
    assert setting(estate, "maxmemory") == "33554432"
    with open(line, "w") as f:
        f.write("user admin on >wrong ~* &* +@all")
    assert "WRONGPASS" in estate.run("dash", os.path.join(REDIS, "reload.sh"), sock, bad, line, code=1).stderr


def test_a_killed_server_is_started_again_with_its_data(estate):
    pid = estate.shim()["pid"]
    os.kill(pid, signal.SIGKILL)
    until("another one", lambda: estate.shim()["pid"] not in (0, pid) and estate.service("redis")["health"] == "passing")
    assert estate.redis("dbsize") == "20"


def next_release(estate, version, *changes):
    folder = estate.path(f"redis-{version}")
    shutil.copytree(REDIS, folder)
    file = os.path.join(folder, "service.yaml")
    with open(file) as f:
        text = f.read()
    for old, new in (('version: "7.0.15"', f'version: "{version}"'), *changes):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with open(file, "w") as f:
        f.write(text)
    estate.publish(folder)
    estate.mainstay("update", "check")
    return until("a plan", lambda: [p for p in [estate.mainstay_json("update", "plan")]
                                    if [i["version"] for i in p["items"]] == [version]])[0]["digest"]


def test_an_update_brings_its_defaults_and_leaves_a_snapshot_that_can_be_read(estate):
    estate.mainstay("service", "set", "redis", "maxmemory-policy=")
    assert setting(estate, "maxmemory-policy") == "noeviction"
    digest = next_release(estate, "7.0.15-2", ("default: noeviction", "default: volatile-ttl"))
    estate.mainstay("update", "apply", "--plan", digest)
    assert setting(estate, "maxmemory-policy") == "volatile-ttl" and setting(estate, "maxmemory") == "33554432"
    assert estate.redis("dbsize") == "20"
    taken = os.listdir(own(estate, "data", ".snapshot"))
    assert len(taken) == 1
    read_elsewhere(estate, own(estate, "data", ".snapshot", taken[0]))


def read_elsewhere(estate, snapshot):
    """A server without a log has the snapshot's keys where the restore hook put it, and not what it had before."""
    scratch = estate.path("scratch")
    where = ("-s", os.path.join(scratch, "sock"))
    os.makedirs(scratch)
    with open(os.path.join(scratch, "dump.rdb"), "w") as f:
        f.write("what it had before")
    estate.run("dash", os.path.join(REDIS, "restore.sh"), scratch, snapshot)
    server = subprocess.Popen(["redis-server", "--port", "0", "--dir", scratch, "--unixsocket", where[1]],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("a scratch server", lambda: ask(estate, "PING", where=where) == "PONG\n")
        assert ask(estate, "DBSIZE", "GET k7", where=where) == "20\nv7\n"
    finally:
        server.terminate()
        server.wait(10)


def test_data_that_a_failing_update_destroyed_come_back(estate):
    digest = next_release(estate, "7.0.15-3", ("format: rdb10", "format: rdb11"), ("accepts: [rdb9]", "accepts: [rdb10]"),
                          ('exec:\n  - /usr/bin/redis-server\n  - "{conf}/redis.conf"',
                           'exec: [/usr/bin/dash, -c, "rm -rf /data/appendonlydir /data/dump.rdb; exit 1"]'))
    assert "one-way" in estate.mainstay("update", "plan").stdout
    failed = estate.mainstay("update", "apply", "--plan", digest, code=1).stderr
    assert "[state-moved]" in failed and "redis: redis" not in failed, failed
    until("the old release", lambda: estate.service("redis")["health"] == "passing")
    assert setting(estate, "maxmemory-policy") == "volatile-ttl" and setting(estate, "appendonly") == "yes"
    assert estate.redis("get", "k7") == "v7" and estate.redis("dbsize") == "20"


def test_a_person_may_go_back_to_the_snapshot_and_lose_what_came_since(estate):
    digest = next_release(estate, "7.0.15-4", ("format: rdb10", "format: rdb11"), ("accepts: [rdb9]", "accepts: [rdb10]"))
    estate.mainstay("update", "apply", "--plan", digest)
    assert estate.redis("set", "since", "1") == "OK"
    refused = estate.mainstay("update", "rollback", "redis", code=1).stderr
    assert "[conflict]" in refused and "--restore-data" in refused and "redis: redis" not in refused, refused
    assert estate.redis("dbsize") == "21"
    assert "is lost" in estate.mainstay("update", "rollback", "redis", "--restore-data", "--show").stdout
    back = estate.mainstay("update", "rollback", "redis", "--restore-data").stdout
    assert "redis 7.0.15-2 is running, health passing" in back and "redis: redis" not in back, back
    assert estate.redis("dbsize") == "20" and estate.redis("get", "k7") == "v7" and estate.redis("get", "since") == ""
    assert [i["outcome"] for i in estate.mainstay_json("update", "history")["items"]][-2:] == ["good", "good"]
    estate.mainstay("service", "stop", "redis")
    assert "bye bye" in estate.mainstay("service", "logs", "redis").stdout
