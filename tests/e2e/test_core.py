"""The core of a site is replaced under its services, and a core that is no good gives way to the one before.

The release is made of this very build, with another version in its programs, by packaging/core/assemble.
"""

import os
import shutil
import subprocess
import time

import pytest

from estate import BIN, POLICY, ROOT, Estate, until
from pinger import Pinger

pytestmark = pytest.mark.skipif(not (os.path.exists(os.path.join(BIN, "mainstayd")) and
                                     os.path.exists("/usr/bin/redis-server")),
                                reason="needs the built programs and redis-server")

OURS = subprocess.run([os.path.join(BIN, "mainstay"), "--version"], capture_output=True, text=True,
                      check=False).stdout.split()[-1] if os.path.exists(os.path.join(BIN, "mainstay")) else ""


def times(**other):
    """Replacements in packaging/core/service.yaml that make a trial short."""
    want = {"tries": 1, "trial-seconds": 3, "soak-seconds": 1} | other
    shipped = {"tries": 3, "trial-seconds": 60, "soak-seconds": 10}
    return [(f"default: {shipped[k]}, apply: next-start, help: {h}", f"default: {v}, apply: next-start, help: {h}")
            for k, v, h in ((k, v, {"tries": "times", "trial-seconds": "for", "soak-seconds": "that"}[k])
                            for k, v in want.items())]


def core(estate, version, spoil=None, programs="0.1.7", **other):
    """Publish a core of this version, whose programs call themselves so; spoil changes them first.  Its digest."""
    out = estate.path(f"core-{version}")
    estate.run(os.path.join(ROOT, "packaging", "core", "assemble"), BIN, version, out)
    folder = os.path.join(out, "tree", "bin")
    for name in os.listdir(folder):
        file = os.path.join(folder, name)
        with open(file, "rb") as f:
            data = f.read()
        with open(file, "wb") as f:
            f.write(data.replace(OURS.encode(), programs.encode()))
    if spoil:
        spoil(folder)
    file = os.path.join(out, "service.yaml")
    with open(file) as f:
        text = f.read()
    for old, new in times(**other):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with open(file, "w") as f:
        f.write(text)
    estate.run("mainstay-release", "build", out, "-o", f"{out}.built", "--class", "core")
    estate.run("mainstay-release", "sign", f"{out}.built", "--key", estate.path("keys", "targets.key"))
    estate.run("mainstay-release", "publish", f"{out}.built", "--to", estate.path("repo"), "--keys",
               estate.path("keys"))
    digest = estate.run("sha256sum", f"{out}.built/index.json").stdout.split()[0]
    return f"sha256:{digest}"


def stage(estate, digest):
    """The owner says yes, and the release comes to wait for `update apply`."""
    estate.mainstay("update", "approve", digest, "--key", estate.path("olga"))
    estate.mainstay("update", "check")
    until("the core is staged", lambda: planned(estate, digest))


def planned(estate, digest):
    items = estate.mainstay_json("update", "plan")["items"]
    return any(i["service"] == "mainstay" and f"sha256:{i['to']}" == digest for i in items)


def refuses(estate, digest):
    """What `update status` says of a core that nobody approved."""
    estate.mainstay("update", "check")
    return until("it is refused", lambda: next(
        s for s in [estate.mainstay_json("update", "status")] if s["reason"] == "not-approved" and digest[7:] in s["text"]))


def hanging(estate):
    """A program that says nothing and does not end by itself."""
    source, out = estate.path("hang.c"), estate.path("hang")
    with open(source, "w") as f:
        f.write("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    estate.run("gcc", "-o", out, source)
    return lambda programs: shutil.copyfile(out, os.path.join(programs, "mainstayd"))


def test_a_core_takes_over_and_a_bad_one_gives_way():
    with Estate("core") as estate:
        estate.begin()
        estate.install_redis()
        owner = estate.ssh_key("olga")
        file = estate.path("site", "etc", "policy.yaml")
        with open(file, "w") as f:
            f.write(POLICY.format(key=owner) + f"owners: {{k: 1, keys: [{owner}]}}\n")
        estate.mainstay("policy", "apply", file)
        pid = estate.shim()["pid"]
        with Pinger(estate.path("site", "run", "services", "redis", "redis.sock"), 2) as pinger:
            # Nothing changes without the owners' word for these very bytes.
            good = core(estate, "0.1.7")
            refuses(estate, good)
            assert estate.status()["core"]["slot"] == "packaged"
            stage(estate, good)
            done = estate.mainstay_json("update", "apply")
            assert done["version"] == "0.1.7" and done["outcome"] == "good", done
            status = estate.status()
            assert status["appliance"]["version"] == "0.1.7"
            assert (status["core"]["slot"], status["core"]["previous"]) == ("a", "packaged")
            assert status["update"]["state"] == "good"
            assert "0.1.7, slot a" in estate.mainstay("status").stdout
            # A core that hangs is given up, and the one before goes on.
            stage(estate, core(estate, "0.1.8", hanging(estate)))
            begun = time.monotonic()
            failed = estate.mainstay("update", "apply", code=1)
            assert time.monotonic() - begun < 20
            assert "[state-moved]" in failed.stderr and "in time" in failed.stderr, failed.stderr
            status = estate.status()
            assert status["appliance"]["version"] == "0.1.7" and status["core"]["slot"] == "a"
            assert status["update"]["state"] == "rolled-back"
            assert len(estate.leaves(kind="rollback", object="mainstay")) == 1
            estate.mainstay("update", "rollback", "mainstay")
            status = estate.status()
            assert status["core"]["slot"] == "packaged" and status["appliance"]["version"] == OURS
        assert not pinger.failed and pinger.ok > 100
        assert estate.shim()["pid"] == pid
