"""The core of a site is replaced under its services, whatever is killed meanwhile, and one that is no good gives way.

The release is made of this very build, with another version in its programs, by packaging/core/assemble.  The service that
must not notice is one program that says PONG, for what is shown is the core's doing.
"""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from estate import BIN, POLICY, ROOT, Estate, until
from pinger import Pinger
from test_update_attackers import Thief, refused

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(BIN, "mainstayd")) or not shutil.which("gcc"),
                                reason="needs the built programs and gcc")

OURS = subprocess.run([os.path.join(BIN, "mainstay"), "--version"], capture_output=True, text=True,
                      check=False).stdout.split()[-1] if os.path.exists(os.path.join(BIN, "mainstay")) else ""

PONG = """name: pong
version: "1.0"
exec: [/bin/pong, "{run}/pong.sock"]
payload: {tree: tree}
health:
  type: resp
  socket: pong.sock
  period: 500ms
  timeout: 1s
  failures: 3
  soak: 500ms
"""

PONG_C = r"""#include <sys/socket.h>
#include <sys/un.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
static void on_term(int sig)
{
	_exit(sig - SIGTERM);
}
int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	char b[64];
	(void)argc;
	signal(SIGTERM, on_term); /* as the first process of its namespace it would have none otherwise */
	strncpy(a.sun_path, argv[1], sizeof(a.sun_path) - 1);
	unlink(argv[1]);
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 64) < 0)
		return 1;
	for (;;) {
		int c = accept(s, NULL, NULL);
		if (read(c, b, sizeof(b)) > 0 && write(c, "+PONG\r\n", 7) != 7)
			return 1;
		close(c);
	}
}
"""

HANG_C = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def compiled(estate, name, source, *flags):
    file, out = estate.path(f"{name}.c"), estate.path(name)
    with open(file, "w") as f:
        f.write(source)
    estate.run("gcc", *flags, "-o", out, file)
    return out


def pong(estate):
    """The service's folder."""
    folder = estate.path("service", "pong")
    os.makedirs(os.path.join(folder, "tree", "bin"))
    with open(os.path.join(folder, "service.yaml"), "w") as f:
        f.write(PONG)
    shutil.copy(compiled(estate, "pong", PONG_C, "-static"), os.path.join(folder, "tree", "bin"))
    return folder


def times(**other):
    """Replacements in packaging/core/service.yaml that make a trial short."""
    want = {"tries": 1, "trial-seconds": 30, "soak-seconds": 1} | other
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
    return "sha256:" + estate.run("sha256sum", f"{out}.built/index.json").stdout.split()[0]


def approve(estate, digest):
    estate.mainstay("update", "approve", digest, "--key", estate.path("olga"))


def planned(estate, digest):
    return next((i for i in estate.mainstay_json("update", "plan")["items"]
                 if i["service"] == "mainstay" and f"sha256:{i['to']}" == digest), None)


def stage(estate, digest):
    """The owner says yes, and the release comes to wait for `update apply`."""
    approve(estate, digest)
    estate.mainstay("update", "check")
    until("the core is staged", lambda: planned(estate, digest))


def step(estate):
    """Of the core's change in the journal; "" without one."""
    try:
        with open(estate.path("site", "lib", "monitor", "journal", "core.json")) as f:
            return json.load(f)["step"]
    except OSError:
        return ""


def core_of(pid):
    """Where a process' program lies: a release of the store, or the package."""
    return os.readlink(f"/proc/{pid}/exe").split("/")[-3]


def roster(estate, role):
    """The pid of a daemon, or 0."""
    with open(estate.path("site", "run", "supervise", "roster")) as f:
        return next((int(line.split()[2]) for line in f if line.split()[0] == role), 0)


def later(estate, *argv):
    return subprocess.Popen([os.path.join(BIN, "mainstay"), "--state", estate.path("site"), *argv],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(command, code, *texts):
    out, err = command.communicate(timeout=60)
    assert command.returncode == code and all(t in out + err for t in texts), (command.returncode, out, err)


def kill_run(estate):
    estate.site.proc.kill()
    estate.site.proc.wait()


def the_good_one(estate):
    """Its monitor is killed while it is on trial, and goes on where it was."""
    command = later(estate, "update", "apply", "--json")
    until("the trial", lambda: step(estate) == "trial")
    os.kill(roster(estate, "monitor"), signal.SIGKILL)
    ended(command, 0, '"version":"0.1.7"', '"outcome":"good"')
    status = estate.status()
    assert status["appliance"]["version"] == "0.1.7"
    assert (status["core"]["slot"], status["core"]["previous"]) == ("a", "packaged")
    assert status["update"]["state"] == "good"
    assert "0.1.7, slot a" in estate.mainstay("status").stdout


def the_old_one(estate, digest):
    """Signed, approved and older: whoever has the hub directs the site to it, for nothing."""
    thief = Thief(estate)
    thief.assign([("mainstay", "services/mainstay/0.1.6/index.json", digest[7:])])
    refused(estate, "mainstay", "rollback", "an older core")
    assert estate.status()["core"]["slot"] == "a" and not planned(estate, digest)


def the_hanging_one(estate, digest):
    """It is given up when its time is over, though nobody is left who counts it."""
    command = later(estate, "update", "apply")
    until("it is started", lambda: core_of(roster(estate, "monitor")) == digest[7:])
    ours = [roster(estate, r) for r in ("supervise", "monitor", "collectd", "courier")]
    kill_run(estate)
    until("it ended itself", lambda: not {pid for pid, _ in estate.processes()} & set(ours))
    estate.start_site()
    ended(command, 1, "[state-moved]", "in time")
    status = estate.status()
    assert status["appliance"]["version"] == "0.1.7" and status["core"]["slot"] == "a"
    assert status["update"]["state"] == "rolled-back"
    assert len(estate.leaves(kind="rollback", object="mainstay")) == 1


def the_same_again(estate, digest):
    """Not without a word; and a supervisor that is killed on trial is the end of the try."""
    assert "in time" in until("it is planned", lambda: planned(estate, digest))["back"]
    failed = estate.mainstay("update", "apply", code=1)
    assert "[conflict]" in failed.stderr and "--again" in failed.stderr, failed.stderr
    command = later(estate, "update", "apply", "--again")
    until("it is started", lambda: core_of(roster(estate, "monitor")) == digest[7:])
    os.kill(roster(estate, "supervise"), signal.SIGKILL)
    ended(command, 1, "[state-moved]", "it ended before")
    assert estate.status()["core"]["slot"] == "a"
    # The owners' new word is one; the monitor is killed before anything was started.
    approve(estate, digest)
    assert until("it is planned again", lambda: planned(estate, digest))["back"] == ""
    supervise, monitor = roster(estate, "supervise"), roster(estate, "monitor")
    os.kill(supervise, signal.SIGSTOP)
    command = later(estate, "update", "apply")
    until("it is to be staged", lambda: step(estate) == "stage")
    os.kill(monitor, signal.SIGKILL)
    os.kill(supervise, signal.SIGCONT)
    ended(command, 1, "[interrupted]")
    assert estate.status()["core"]["slot"] == "a"


def back_to_the_package(estate):
    """`mainstay run` is killed on the way: the next one goes on with the only try."""
    command = later(estate, "update", "rollback", "mainstay")
    until("the trial", lambda: step(estate) == "trial")
    kill_run(estate)
    estate.start_site()
    ended(command, 0)
    status = estate.status()
    assert status["core"]["slot"] == "packaged" and status["appliance"]["version"] == OURS


def test_a_core_takes_over_and_a_bad_one_gives_way():
    with Estate("core") as estate:
        owner = estate.ssh_key("olga")
        estate.vendor(pong(estate))
        estate.start_site()
        estate.enrol()
        estate.mainstay("on", "all")
        estate.policy(POLICY + f"owners: {{{{k: 1, keys: [{owner}]}}}}\n")
        estate.mainstay("service", "install", "pong")
        pid = estate.shim("pong")["pid"]
        with Pinger(estate.path("site", "run", "services", "pong", "pong.sock"), 2) as pinger:
            # Nothing changes without the owners' word for these very bytes.
            old, good = core(estate, "0.1.6"), core(estate, "0.1.7")
            approve(estate, old)
            estate.mainstay("update", "check")
            refused(estate, "mainstay", "not-approved", "a core that nobody approved")
            assert estate.status()["core"]["slot"] == "packaged"
            stage(estate, good)
            the_good_one(estate)
            the_old_one(estate, old)
            hang = compiled(estate, "hang", HANG_C)
            bad = core(estate, "0.1.8", lambda programs: shutil.copyfile(hang, os.path.join(programs, "mainstayd")),
                       **{"trial-seconds": 2})
            stage(estate, bad)
            the_hanging_one(estate, bad)
            the_same_again(estate, bad)
            back_to_the_package(estate)
        assert not pinger.failed and pinger.ok > 100
        assert estate.shim("pong")["pid"] == pid
