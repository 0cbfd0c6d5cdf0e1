"""A site without a vendor: `mainstay run` on a scratch folder, asked by the commands people use."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("MAINSTAY_BUILD") or os.path.join(ROOT, "build"))


def until(what, probe, timeout=20):
    """Ask again until probe() gives something true."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        got = probe()
        if got:
            return got
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {timeout} s")


class Site:
    def __init__(self, name="site"):
        self.top = tempfile.mkdtemp(prefix="mainstay-site.", dir="/tmp")
        os.chmod(self.top, 0o711)
        self.dir = os.path.join(self.top, "state")
        logs = os.path.join(BUILD, "log", "e2e", name)
        os.makedirs(logs, exist_ok=True)
        self.log_path = os.path.join(logs, f"{os.path.basename(self.top)}.log")
        self.process = None

    def up(self):
        read, write = os.pipe()
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, "bin", "mainstay"), "run", "--state", self.dir, "--ready-fd", str(write)],
                pass_fds=[write], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        os.close(write)
        with os.fdopen(read) as ready:
            assert ready.readline() == "READY\n", self.log()

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def run(self, *args, code=0):
        """A command; its exit code must be this (None: any)."""
        done = subprocess.run([os.path.join(BUILD, "bin", "mainstay"), *args, "--state", self.dir],
                              capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, MAINSTAY_DEBUG="1"))
        with open(self.log_path, "a") as log:
            log.write(done.stderr)
        assert code is None or done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *args, code=0):
        done = self.run(*args, "--json", code=code)
        return json.loads(done.stdout or done.stderr.splitlines()[-1])

    def status(self):
        return self.json("status")

    def pid(self, daemon):
        return next(d["pid"] for d in self.status()["daemons"] if d["name"] == daemon)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.top, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def down(self):
        if self.process and self.process.poll() is None:
            subprocess.run([os.path.join(BUILD, "bin", "mainstay"), "run", "--down", "--state", self.dir],
                           capture_output=True, timeout=60)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.top, ignore_errors=True)

    def kill(self, daemon, sig=signal.SIGKILL):
        pid = self.pid(daemon)
        os.kill(pid, sig)
        return pid
