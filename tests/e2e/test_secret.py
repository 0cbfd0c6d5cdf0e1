"""A service with a secret, on a site without a vendor: the secret works, and stands nowhere but where it is kept."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from site_alone import Site, until

CANARY = "cAnArY.7f3a91c2"
RELEASE = "5ec2e7" + "0" * 58

DEFINITION = {
    "name": "redis", "version": "1", "exec": ["/usr/bin/redis-server", "{conf}/redis.conf"],
    "config": [{"path": "redis.conf", "format": "conf",
                "lines": ["port 0", "unixsocket {{run}}/redis.sock", "dir {{data}}", "databases {{knob.databases}}",
                          "include {{secret.password}}"]}],
    "health": {"type": "unix", "socket": "{run}/redis.sock", "period": "200ms"},
    "knobs": {"databases": {"type": "int", "min": 0, "max": 64, "default": 16}},
    "secrets": {"password": {"template": "requirepass {value}"}},
}


def canonical(v):
    return json.dumps(v, sort_keys=True, separators=(",", ":"))


def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def make_tree(tree):
    """redis-server and the libraries it needs, as a release would bring them."""
    program = "/usr/bin/redis-server"
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in [program, *re.findall(r"(/\S+) \(0x", listed)]:
        os.makedirs(tree + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, tree + path)


@pytest.fixture
def site():
    if not os.path.exists("/usr/bin/redis-server") or not shutil.which("redis-cli"):
        pytest.skip("redis-server and redis-cli are not here")
    s = Site("secret")
    make_tree(f"{s.dir}/lib/store/{RELEASE}")
    put(f"{s.dir}/lib/store/{RELEASE}.definition.json", canonical(DEFINITION))
    put(f"{s.dir}/lib/cluster.lock", canonical({"v": 1, "services": {"redis": {
        "channel": "stable", "counter": 1, "release": RELEASE, "version": "1"}}}))
    put(f"{s.dir}/etc/cluster.yaml", "services:\n  redis: {}  # the cache\n")
    try:
        s.up()
        yield s
    finally:
        s.down()


def is_healthy(site):
    items = site.json("service", "list")["items"]
    return [(i["state"], i["health"]) for i in items] == [("running", "passing")]


def places(site):
    """Every file below the state and the logs, and what /proc tells of every process."""
    kept = f"{site.dir}/lib/services/redis/secrets/"
    for top in (site.top, os.path.dirname(site.log_path)):
        for folder, _, names in os.walk(top):
            yield from (p for p in (os.path.join(folder, n) for n in names)
                        if not p.startswith(kept) and os.path.isfile(p))
    yield from glob.glob("/proc/[0-9]*/cmdline")
    yield from glob.glob("/proc/[0-9]*/environ")


def test_a_secret_works_and_stands_nowhere_else(site):
    until("redis passes", lambda: is_healthy(site))
    first = open(f"{site.dir}/lib/services/redis/secrets/password", encoding="ascii").read()
    assert re.fullmatch("[0-9a-f]{64}", first)
    value = os.path.join(site.top, "value")
    put(value, CANARY + "\n")
    said = []

    def is_taken():  # healthy a moment before its start is over
        told = site.run("service", "secret", "set", "redis", "password", "--value-file", value, code=None)
        said.append(told.stdout + told.stderr)
        assert told.returncode == 0 or "[busy]" in told.stderr, told.stderr
        return told.returncode == 0

    until("the secret is taken", is_taken)
    os.remove(value)
    assert CANARY not in "".join(said)
    until("redis passes again", lambda: is_healthy(site))

    def asked(password):
        socket = f"{site.dir}/run/services/redis/redis.sock"
        return subprocess.run(["redis-cli", "-s", socket], input=f"AUTH {password}\nPING\n", capture_output=True,
                              text=True, timeout=10, check=False).stdout.split("\n")

    assert asked(CANARY)[:2] == ["OK", "PONG"]
    assert asked(first)[0].startswith("WRONGPASS")
    found = []
    for path in places(site):
        try:
            with open(path, "rb") as f:
                content = f.read(8 << 20)
        except OSError:
            continue
        if CANARY.encode() in content or first.encode() in content:
            found.append(path)
    assert not found
    shown = site.run("service", "show", "redis").stdout + site.run("service", "secret", "list", "redis").stdout
    assert "secret.password" in shown and CANARY not in shown
    # A knob with which it cannot start goes back, and it runs on.
    refused = site.run("service", "set", "redis", "databases=0", code=1)
    assert "state-moved" in refused.stderr and "as before" in refused.stderr
    with open(f"{site.dir}/etc/cluster.yaml", encoding="utf-8") as f:
        assert f.read() == "services:\n  redis: {}  # the cache\n"
    assert is_healthy(site) and asked(CANARY)[:2] == ["OK", "PONG"]

    for lines in (0, 1, 3):
        assert len(site.run("service", "logs", "redis", "--lines", str(lines)).stdout.splitlines()) == lines

    def shim():
        with open(f"{site.dir}/run/shim/redis.json", encoding="utf-8") as f:
            return json.load(f)

    # Who held its secret is killed at once: redis runs on, its new shim is brought it, and can start it again.
    before = shim()
    with open(f"{site.dir}/run/supervise/roster", encoding="utf-8") as f:
        rows = [line.split(" ") for line in f]
    for row in [r for r in rows if r[0] in ("supervise", "shim")]:
        os.kill(int(row[2]), signal.SIGKILL)
    with open(site.log_path, encoding="utf-8") as log:
        until("its shim was brought the secret",
              lambda: "makes room for one that has its secrets" in log.read() or log.seek(0))
    until("its shim has it", lambda: not shim()["lost_secrets"])
    assert shim()["pid"] == before["pid"]
    os.kill(before["pid"], signal.SIGKILL)
    until("redis was started again", lambda: shim()["pid"] not in (0, before["pid"]) and is_healthy(site))
    assert asked(CANARY)[:2] == ["OK", "PONG"]
    # Its shim may just be brought the secret once more: "busy", whose remedy is to try again.
    until("nothing is under way", lambda: site.run("service", "stop", "redis", code=None).returncode == 0)
    removed = site.json("service", "remove", "redis")
    assert removed["data"] == f"{site.dir}/lib/services/redis" and os.path.isdir(removed["data"] + "/data")
