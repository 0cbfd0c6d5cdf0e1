"""A way of lines to the sink: started, watched, killed, counted.  What all have in common, and our own."""
import os
import signal
import struct
import subprocess
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.environ.get("MAINSTAY_BUILD", os.path.join(ROOT, "build"))
BENCH = os.path.join(BUILD, "tests/bench/telemetry")
FILES = ("syslog.log", "json.log", "nginx.log")
STALL_S = 20  # nothing came for so long: nothing will


class Sink:
    """sink.c, as a peer of everybody."""
    names = ("lines", "doubled", "unnumbered", "wire", "records", "again")

    def __init__(self, dir, lines):
        os.mkdir(dir)
        self.dir = dir
        self.process = subprocess.Popen([os.path.join(BENCH, "sink"), dir, str(lines)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.https, self.tcp, self.key = self.process.stdout.readline().split()

    def counts(self):
        with open(os.path.join(self.dir, "counts"), "rb") as f:
            return dict(zip(self.names, struct.unpack("=6Q", f.read(48))))

    def close(self):
        """Returns the CPU seconds that it used: on a machine of few cores they were not the system's."""
        self.process.stdin.close()
        _pid, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        return used.ru_utime + used.ru_stime


class Way:
    """One system.  Subclasses say what to start; each process is started again where it was killed."""
    name = ""
    most = None  # SIZE over which it would take minutes; it is measured with so much unless PEERS says otherwise

    def __init__(self, work, sink, corpus):
        self.work, self.sink, self.corpus = work, sink, corpus
        self.logs = os.path.join(work, "logs")
        self.running = {}
        self.cpu, self.memory = {}, {}
        os.makedirs(self.logs)
        self.prepare()

    def prepare(self):
        """Everything before the lines are there."""

    def commands(self):
        """{NAME: argv} of what reads and ships."""
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def appear(self):
        for file in FILES:
            os.link(os.path.join(self.corpus, file), os.path.join(self.logs, file))

    def start(self):
        for name, argv in self.commands().items():
            if name not in self.running:
                with open(os.path.join(self.work, name + ".out"), "ab") as out:
                    self.running[name] = subprocess.Popen(argv, stdout=out, stderr=out, env=self.environment())

    def look(self):
        """The most memory that each had so far.  Not ru_maxrss: that begins with what this Python had when it forked."""
        for name, process in self.running.items():
            try:
                with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
                    peak = [int(line.split()[1]) for line in f if line.startswith("VmHWM:")]
            except OSError:
                continue
            self.memory[name] = max([self.memory.get(name, 0), *(kb / 1024 for kb in peak)])

    def end(self, with_signal):
        """Stop all that runs, and add up what it used."""
        self.look()
        for name, process in self.running.items():
            os.kill(process.pid, with_signal)  # not send_signal(): it would take what wait4() tells
        for name, process in self.running.items():
            for _ in range(300):
                pid, _status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                time.sleep(0.1)
            else:
                os.kill(process.pid, KILL)
                _pid, _status, used = os.wait4(process.pid, 0)
            process.returncode = 0
            self.cpu[name] = self.cpu.get(name, 0) + used.ru_utime + used.ru_stime
        self.running = {}

    def wait(self, lines, until=None):
        """Until all are there, or nothing comes any more, or a time.  Returns when the last came."""
        last, at = -1, time.monotonic()
        while True:
            now = self.sink.counts()["lines"]
            self.look()
            if now != last:
                last, at = now, time.monotonic()
            if now == lines or time.monotonic() - at > STALL_S or (until and time.monotonic() >= until):
                return at
            time.sleep(0.02)


class Mainstay(Way):
    """The collector's and the courier's own code (load.c, courier.c), each a process."""
    name = "mainstay"

    def prepare(self):
        self.state = os.path.join(self.work, "state")
        self.spool = os.path.join(self.state, "lib/telemetry/spool")
        for folder in (self.spool, os.path.join(self.state, "lib/courier"), os.path.join(self.state, "run"),
                       os.path.join(self.state, "etc")):
            os.makedirs(folder, mode=0o700)
        # A state that has followed an empty folder reads what appears from its beginning.
        subprocess.run(self.collector(), check=True)
        self.ship()
        time.sleep(2.5)  # sites start together, so the first record waits a little; that is no part of the way

    def collector(self):
        return [os.path.join(BENCH, "load"), "follow", self.logs, self.spool]

    def ship(self):
        with open(os.path.join(self.work, "courier.out"), "ab") as out:
            self.running["courier"] = subprocess.Popen(self.commands()["courier"], stdout=out, stderr=out)

    def commands(self):
        return {"collector": self.collector(),
                "courier": [os.path.join(BENCH, "courier"), self.state, self.sink.https, self.sink.key,
                            os.path.join(self.sink.dir, "ca.pem")]}


KILL, END = signal.SIGKILL, signal.SIGTERM
