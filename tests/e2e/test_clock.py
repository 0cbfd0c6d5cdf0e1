"""A site whose clock was never set, and one far ahead, beside a hub and a desk whose clocks are right: neither is stranded,
and neither believes the hub's time."""

import calendar
import json
import os
import shutil
import subprocess
import time

import pytest

from estate import BIN, SITE, Daemon, Estate, until

HERE = os.path.dirname(os.path.abspath(__file__))
ENTER = """set -e
mount --make-rprivate /
mount --bind "$1" /etc
shift
exec "$@"
"""


class Lost(Estate):
    """The site's processes, and the commands there, live in a mount namespace whose /etc/ld.so.preload shifts the wall
    clock.  (By a variable it would not reach the daemons: their environment is empty.)"""

    def __init__(self, name, moment):
        super().__init__(name)
        shift = calendar.timegm(time.strptime(moment, "%Y-%m-%d")) - int(time.time())
        library, self.etc = self.path("shift.so"), self.path("etc")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", f"-DSHIFT_S={shift}", "-D_GNU_SOURCE", "-o", library,
                        os.path.join(HERE, "clock_shift.c")], check=True)
        shutil.copytree("/etc", self.etc, symlinks=True)
        with open(os.path.join(self.etc, "ld.so.preload"), "w") as f:
            f.write(library + "\n")

    def start_site(self):
        os.makedirs(self.path("site", "etc"), exist_ok=True)
        with open(self.path("site", "etc", "mainstay.yaml"), "w") as f:
            f.write("telemetry:\n  period: 1s\n")
        self.site = Daemon(os.path.join(self.logs, "site.log"), shutil.which("unshare"), "-m", "sh", "-c", ENTER, "sh",
                           self.etc, os.path.join(BIN, "mainstay"), "run", "--state", self.path("site"))

    def mainstay(self, *argv, **kw):
        return self.run("nsenter", "-t", self.site.proc.pid, "-m", os.path.join(BIN, "mainstay"), "--state",
                        self.path("site"), *argv, **kw)

    def floor(self):
        with open(self.path("site", "lib", "monitor", "floor.json")) as f:
            return f.read()


def can_mount():
    return os.geteuid() == 0 and shutil.which("nsenter") and shutil.which("cc") and subprocess.run(
        ["unshare", "-m", "mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no mount namespaces, nsenter or cc")
@pytest.mark.parametrize("moment", ["1970-01-02", "2099-06-01"])
def test_a_wrong_clock_strands_nobody(moment):
    with Lost("clock." + moment[:4], moment) as e:
        e.begin()
        assert e.status()["clock"]["now"].startswith(moment)
        floor = e.floor()
        e.mainstay("on", "all")
        # metadata, objects, heartbeats: through TLS whose certificates are not yet, or no longer, valid by this clock
        e.mainstay("service", "install", "redis")
        until("Redis passing", lambda: e.service("redis")["health"] == "passing")
        status = until("contact", lambda: (s := e.status())["hub"]["last_contact"] and s)
        assert status["hub"]["recorded"] and status["clock"]["doubtful"]
        assert abs(status["hub"]["clock_offset_ms"]) > 40 * 365 * 86400 * 1000
        doctor = json.loads(e.mainstay("doctor", "--json", code=None).stdout)["items"]
        assert not next(i for i in doctor if i["check"] == "clock")["ok"]
        assert until("the statement", lambda: e.desk_json("show", SITE)["statement"])
        # what the ceiling allows waits for a person all the same
        desk = e.desk_later("run", SITE, "redis", "ping", "--reason", "r", "--ticket", "T-1", "--wait", "60s")
        waiting = until("waiting", lambda: e.requests(state="waiting"))[0]
        e.approve(waiting["id"])
        out, err = desk.communicate(timeout=90)
        assert desk.returncode == 0, err
        assert json.loads(out)["result"]["stdout"].strip() == "PONG"
        e.mainstay("update", "check")
        # whatever the hub said of its time
        assert e.floor() == floor
