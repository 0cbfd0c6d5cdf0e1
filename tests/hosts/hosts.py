"""Hosts as a test sees them: commands run on one, its disk, its power; and what a story observed."""

import glob
import json
import os
import shutil
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


PACKAGES = {"vendor": ("mainstay-hub", "mainstay-release"), "desk": ("mainstay-desk",), "site": ("mainstay",),
            "second": ("mainstay",)}


class Observed(Exception):
    """Something that should have been observed was not."""


class Story:
    """Counts what was observed; each line is one observation."""

    def __init__(self):
        self.seen, self.begun = 0, time.monotonic()

    def chapter(self, text):
        print(f"\n[{time.monotonic() - self.begun:5.1f} s] {text}", flush=True)

    def see(self, text, ok=True):
        if not ok:
            print(f"  NOT OBSERVED: {text}", flush=True)
            raise Observed(text)
        self.seen += 1
        print(f"  {text}", flush=True)


def until(what, probe, timeout=60):
    """Ask again until the probe gives something true; its last answer is what is returned."""
    end, why = time.monotonic() + timeout, None
    while True:
        try:
            got = probe()
        except (Observed, KeyError, IndexError, StopIteration, ValueError, OSError, subprocess.TimeoutExpired) as e:
            got, why = None, e
        if got:
            return got
        if time.monotonic() > end:
            raise Observed(f"{what}: not within {timeout} s ({why})")
        time.sleep(0.1)


def tool(*argv, check=True, timeout=120, env=None):
    done = subprocess.run([os.path.join(HERE, "host"), *argv], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise Observed(f"host {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


class Host:
    def __init__(self, name):
        self.name, self.address = name, tool("address", name)
        self.disk = tool("disk", name)

    def argv(self, *argv):
        return [os.path.join(HERE, "host"), "in", self.name, *(str(a) for a in argv)]

    def run(self, *argv, code=0, stdin=None, timeout=120):
        """Run a command there; its exit code must be this one (None: any)."""
        done = subprocess.run(self.argv(*argv), input=stdin, capture_output=True, text=True, timeout=timeout)
        if code is not None and done.returncode != code:
            raise Observed(f"{self.name}: {' '.join(map(str, argv))}: exit {done.returncode}, not {code}\n"
                           f"{done.stdout}{done.stderr}")
        return done

    def out(self, *argv, **kw):
        return self.run(*argv, **kw).stdout.strip()

    def json(self, *argv, **kw):
        return json.loads(self.run(*argv, "--json", **kw).stdout)

    def later(self, *argv):
        """A command in the background; a power cut ends it, too."""
        return subprocess.Popen(self.argv(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def path(self, name):
        """A file of its disk as this machine sees it."""
        return os.path.join(self.disk, name.lstrip("/"))

    def alive(self, name):
        """The same through its PID 1: what is mounted there, sockets, /run."""
        return f"/proc/{tool('pid', self.name)}/root{name}"

    def write(self, name, text, mode=0o644):
        path = self.alive(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def read(self, name):
        with open(self.alive(name)) as f:
            return f.read()

    def give(self, name, other, to=None):
        """Carry a file to another host, as a stick would."""
        shutil.copy(self.alive(name), other.alive(to or name))

    def give_package(self, folder):
        """Put its packages on its disk; their names there."""
        names = []
        for package in PACKAGES[self.name]:
            file = glob.glob(os.path.join(folder, f"{package}_*.deb"))[0]
            shutil.copy(file, self.path("/root"))
            names.append(f"/root/{os.path.basename(file)}")
        return names

    def cut(self):
        tool("cut", self.name)

    def boot(self):
        tool("boot", self.name)
        tool("wait", self.name)

    def reboot(self):
        self.run("systemctl", "reboot", code=None)
        tool("gone", self.name, "60")
        self.boot()

    def sent(self):
        """Packets that left it since it was made."""
        return int(self.out("cat", "/sys/class/net/eth0/statistics/tx_packets"))
