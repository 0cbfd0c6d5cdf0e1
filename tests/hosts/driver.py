"""A site whose PID 1 is systemd: the units that ship, with the played daemons of tests/e2e/test_supervise.py.

What the tests of test_supervise.py ask of a Site they ask of this one, too: one set of tests for both bodies of spawn.h.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import test_supervise as played  # noqa: E402

ROOT = played.ROOT
UNITS = os.path.join(ROOT, "packaging", "systemd")
NEEDS = ("libcurl4", "libssl3", "libjansson4", "libzstd1", "libsqlite3-0", "libyaml-0-2", "libevent-2.1-7", "libseccomp2",
         "libnanomsg5", "bubblewrap")
# Version 2 of control groups alone, where this machine has its controllers in version 1: nothing limits there, and it is said.
UNIFIED = bool(os.environ.get("UNIFIED"))
DAEMONS = ("mainstayd", "mainstay-collectd", "mainstay-courier")


# Run in a unit's namespaces, as its user, under its filter: a line for each thing tried, with the errno; 0: it was done.
PROBE = r"""
use strict; use Errno; use Socket;
$| = 1;
sub say { my ($what, $ok) = @_; printf "%s %d\n", $what, $ok ? 0 : $!+0; }
say "etc", open(my $a, ">", "/etc/probe");
say "usr", open(my $b, ">", "/usr/probe");
say "home", opendir(my $c, "/root");
say "ptrace", syscall(101, 16, 1, 0, 0) >= 0;
my ($none, $tmp, $tmpfs) = ("none", "/tmp", "tmpfs"); # syscall() wants strings that it could change
say "mount", syscall(165, $none, $tmp, $tmpfs, 0, 0) >= 0;
say "unshare", syscall(272, 0x10000000) >= 0;
say "bpf", syscall(321, 0, 0, 0) >= 0;
say "module", syscall(175, 0, 0, 0) >= 0;
say "reboot", syscall(169, 0, 0, 0, 0) >= 0;
say "inet", socket(my $d, AF_INET, SOCK_STREAM, 0);
say "out", connect($d, pack_sockaddr_in(9, inet_aton("10.77.0.1")));
say "packet", socket(my $e, 17, SOCK_RAW, 0);
say "site-key", opendir(my $f, "/var/lib/mainstay/monitor");
say "courier-key", opendir(my $g, "/var/lib/mainstay/courier");
say "pseudonym-key", open(my $h, "<", "/var/lib/mainstay/telemetry/pseudonym.key");
say "hub-key", opendir(my $i, "/var/lib/mainstay-hub");
for my $name ("control", "courier", "collect", "supervise") {
	socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0);
	say "$name.sock", connect($s, pack_sockaddr_un("/run/mainstay/$name.sock"));
}
print "all 0\n";
"""
EPERM, ENOENT, ENXIO, EACCES, EROFS, EAFNOSUPPORT, ENETUNREACH, ECONNREFUSED = 1, 2, 6, 13, 30, 97, 101, 111


def probed(text):
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()}


def host(*args, **more):
    return subprocess.run([f"{HERE}/host", *args], capture_output=True, text=True, timeout=180,
                          env=os.environ | {"ROOT_driver": "vendor"}, **more)


class Machine:
    """One host for all tests of a module; `install` puts programs where packages would."""

    name = "driver"

    def __init__(self):
        for verb in ("up", "wait"):
            got = host(verb, self.name)
            assert got.returncode == 0, got.stderr
        self.disk = host("disk", self.name).stdout.strip()
        self.leader = int(host("pid", self.name).stdout)
        self.root = f"/proc/{self.leader}/root"

    def inside(self, *args, check=True):
        got = host("in", self.name, *args)
        assert not check or got.returncode == 0, (args, got.stdout, got.stderr)
        return got.stdout

    def install(self, programs):
        """programs: {name in /usr/lib/mainstay: file here}; with the units, and what the programs need."""
        self.inside("apt-get", "-qq", "-y", "install", *NEEDS)
        os.makedirs(f"{self.disk}/usr/lib/mainstay", exist_ok=True)
        for name, path in programs.items():
            self.put(path, f"/usr/lib/mainstay/{name}")
        for name in os.listdir(UNITS):
            if name.endswith((".service", ".socket", ".slice", ".target")):
                self.put(f"{UNITS}/{name}", f"/usr/lib/systemd/system/{name}")
        self.put(f"{UNITS}/mainstay.sysusers", "/usr/lib/sysusers.d/mainstay.conf")
        self.inside("systemd-sysusers")
        self.inside("systemctl", "daemon-reload")

    def put(self, path, where):
        if os.path.exists(self.disk + where):
            os.unlink(self.disk + where)  # it may be running
        shutil.copy(path, self.disk + where)

    def processes(self):
        """{pid there: pid here} of all that run there."""
        space, found = os.readlink(f"/proc/{self.leader}/ns/pid"), {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/status") as f:
                    ids = re.search(r"^NSpid:(.*)$", f.read(), re.M).group(1).split()
                spaces = [os.readlink(f"/proc/{pid}/ns/pid"), os.readlink(f"/proc/{pid}/ns/pid_for_children")]
            except (OSError, AttributeError):
                continue
            if space in spaces:
                found[int(ids[-1])] = int(pid)
            elif len(ids) > 2:  # in a namespace within: the number it has there is the second
                found.setdefault(int(ids[1]), int(pid))
        return found

    def here(self, pid):
        return self.processes().get(pid, 0) if pid > 0 else pid

    def down(self):
        host("down", self.name)


class UnitSite(played.Site):
    """As played.Site, whose pids and files are those of the machine that the tests run on."""

    def __init__(self, machine):
        self.machine = machine
        self.top = tempfile.mkdtemp(prefix="mainstay-", dir="/tmp")
        self.dir = f"{self.top}/state"
        os.mkdir(self.dir)
        for name, path in {"lib": "/var/lib/mainstay", "run": "/run/mainstay", "play": "/var/lib/mainstay/play"}.items():
            os.symlink(machine.root + path, f"{self.dir}/{name}")

    def up(self):
        self.machine.inside("systemctl", "start", "mainstay.target")
        played.wait_for(lambda: all(self.roster().get(r) for r in ("monitor", "collectd", "courier")), 20, "the daemons")
        os.makedirs(f"{self.machine.root}/var/lib/mainstay/play", exist_ok=True)

    def log(self):
        return self.machine.inside("journalctl", "--no-pager", "-n", "60", check=False)

    def inside(self, root):
        return {"lib": "/var/lib/mainstay", "run": "/run/mainstay"}[root]

    def roster(self):
        known = self.machine.processes()
        return {role: known.get(pid, 0) for role, pid in super().roster().items()}

    def state(self, name):
        state = super().state(name)
        return state | {"pid": self.machine.here(state["pid"])}

    def kill(self, role, sig=signal.SIGKILL):
        """What supervise is elsewhere is PID 1 here, which nobody kills: the monitor holds what else there is to lose."""
        super().kill("monitor" if role == "supervise" else role, sig)

    def unit(self, name, *properties):
        text = self.machine.inside("systemctl", "show", f"mainstay-service-{name}.service", *(f"-p{p}" for p in properties))
        return dict(line.split("=", 1) for line in text.splitlines())

    def end(self):
        self.machine.inside("systemctl", "stop", "mainstay.target", check=False)
        self.machine.inside("systemctl", "stop", "mainstay-service-*.service", "mainstay-core.service", check=False)
        self.machine.inside("systemctl", "reset-failed", check=False)
        self.machine.inside("rm", "-rf", "/var/lib/mainstay", "/run/mainstay")
        shutil.rmtree(self.top)


def missing():
    """Why none of this can be tried; "" where it can."""
    got = subprocess.run([f"{HERE}/root", "missing"], capture_output=True, text=True, timeout=60).stdout
    if got:
        return got.replace("\n", ", ")
    made = subprocess.run([f"{HERE}/root", "path", "vendor"], capture_output=True, text=True, timeout=60).stdout.strip()
    if not all(os.path.isdir(part) for part in made.split(":")):
        return "no disk for hosts yet: tests/hosts/root make"
    return "" if os.path.exists(played.PLAY) else "the built programs"


def eventually(what, seconds=20, text="it"):
    return played.wait_for(what, seconds, text)


def pause(seconds):
    time.sleep(seconds)
