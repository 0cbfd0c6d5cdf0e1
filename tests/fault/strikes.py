"""Whom the torture of whole estates kills, and when."""

import os
import signal
import subprocess
import threading
import time

from estates import (ACTIVATE, COLLECTOR, COURIER, HUB, JUDGE, MONITOR, NGINX, NOTIFY, OPERATE, SHIM, SUPERVISOR, TELLER, WORKERS, children,
                     end_hub, end_site, is_alive, kill, nginx_of, pids_of, read)
from holds import Hold
from shipped import POINTS as SHIPPING

RUN, SERVICE, SITE_WHOLE, DESK, RELEASE, COMMAND = "run", "service", "site", "desk", "release", "command"
VICTIMS = (MONITOR, COLLECTOR, COURIER, SUPERVISOR, RUN, SHIM, SERVICE, JUDGE, ACTIVATE, OPERATE, NOTIFY, HUB, TELLER, NGINX, DESK,
           RELEASE, COMMAND, SITE_WHOLE)
# Who is started anew for each thing that is done, by whom, and for how many seconds they live about.
SHORT_S = {JUDGE: 0.004, ACTIVATE: 0.04, OPERATE: 0.15, NOTIFY: 0.02, DESK: 0.4, RELEASE: 0.06, COMMAND: 0.2}
COMMANDS = (DESK, RELEASE, COMMAND)
DAEMONS = (MONITOR, COLLECTOR, COURIER, SUPERVISOR, RUN, SHIM, HUB, TELLER, NGINX)
# Whoever brings others down, so that they come to no point.
GREAT = (SITE_WHOLE, RUN, SUPERVISOR)
# From when on somebody is to die, and how long a point is waited for; one that comes with a person's deed, while they are at that, too.
ROUND_S, POINT_S, DEED_S = 2.2, 2.5, 15
# How long one who is just being started again is waited for.
BACK_S = 1
# (what is happening, whose, the system calls before which it dies, the how manieth of them: from, to; the folder it is about, below the site)
POINTS = tuple((*point, "") for point in SHIPPING) + (
    ("a change's journal gets its name", MONITOR, "renameat", 1, 6, "lib/monitor/journal"),
    ("a change's journal goes", MONITOR, "unlinkat", 1, 1, "lib/monitor/journal"),
    ("cluster.lock gets its name", MONITOR, "renameat", 1, 2, "lib"),
    ("cluster.yaml gets its name", MONITOR, "renameat", 1, 1, "etc"),
    ("the monitor's own files get their names", MONITOR, "renameat", 1, 6, "lib/monitor"),
    ("a request gets its name", MONITOR, "renameat", 1, 5, "lib/monitor/requests"),
    ("a leaf is written", MONITOR, "fdatasync", 1, 6, ""),
    ("the supervisor is asked, or somebody is answered", MONITOR, "sendmsg", 1, 12, ""),
    ("a service's file gets its name", MONITOR, "renameat", 1, 1, "lib/services/tuned/conf"),
    ("a worker is started", SUPERVISOR, "clone,clone3,vfork", 1, 6, ""),
    ("the roster gets its name", SUPERVISOR, "renameat", 1, 6, "run/supervise"),
    ("a spec gets its name", SUPERVISOR, "renameat", 1, 1, "run/supervise/spec"),
    ("its state gets its name", SHIM, "renameat", 1, 2, ""),
    ("a probe is begun", SHIM, "clone,clone3,vfork", 1, 2, ""),
    ("the job is read", JUDGE, "recvmsg", 1, 1, ""),
    ("the judgement is written", JUDGE, "write,pwrite64", 1, 1, ""),
    ("the judgement is told", JUDGE, "sendmsg", 1, 1, ""),
    ("a file of a tree is written", ACTIVATE, "write,pwrite64,copy_file_range", 1, 4, ""),
    ("a tree is synced", ACTIVATE, "syncfs", 1, 1, ""),
    ("a tree gets its name", ACTIVATE, "renameat,renameat2", 1, 3, ""),
    ("the step is told as done", ACTIVATE, "sendmsg", 1, 1, ""),
    ("the job is read", OPERATE, "recvmsg", 1, 1, ""),
    ("the operation is started", OPERATE, "clone,clone3,vfork,execve", 1, 2, ""),
    ("what it wrote is told", OPERATE, "sendmsg", 1, 3, ""),
    ("the customer's program is started", NOTIFY, "clone,clone3,vfork", 1, 1, ""),
    ("a receiver is told", TELLER, "sendto,sendmsg,writev", 1, 2, ""),
    ("what was told is written down", TELLER, "pwrite64", 1, 4, ""),
    ("metadata gets its name", COURIER, "renameat", 1, 6, ""),
    ("a request is answered", HUB, "writev", 1, 20, ""),
    ("the hub's rows are synced", HUB, "fdatasync", 1, 12, ""),
    ("a request is signed and goes", DESK, "sendto,write", 1, 12, ""),
    ("a file of the repository is written", RELEASE, "openat", 30, 160, ""),
    ("a file of the repository is synced", RELEASE, "fsync,fdatasync", 1, 30, ""),
    ("a file of the repository gets its name", RELEASE, "rename,renameat,renameat2", 1, 20, ""),
    ("the monitor is asked", COMMAND, "sendmsg,sendto", 1, 2, ""),
    ("the monitor's answer comes", COMMAND, "recvmsg,recvfrom", 1, 4, ""),
)
# Those that come but once in a round, of somebody who turns a knob, or who puts in and takes out: such a person begins once they are waited for.
OF_KNOBS = ("cluster.yaml gets its name", "a service's file gets its name")
OF_CHANGES = ("a change's journal gets its name", "a change's journal goes", "cluster.lock gets its name", "a spec gets its name")
WAITED_FOR = OF_KNOBS + OF_CHANGES


class Strike:
    """One who dies in one round: at a point, or at a moment.  tries: so often it did not come to the point."""

    def __init__(self, everybody, victim, point, tries, dice):
        self.everybody, self.e, self.victim, self.point, self.tries, self.dice = everybody, everybody.e, victim, point, tries, dice
        self.at = 0 if victim in COMMANDS or (point and point[0] in WAITED_FOR) else \
            dice.random() * ROUND_S * (0.4 / (1 + tries) if victim in SHORT_S or point else 1)
        self.pass_over = dice.randint(0, 2) if victim in (RELEASE, COMMAND) and not tries else 0  # so many commands before it
        self.nth = dice.randint(point[3], max(point[3], point[4] >> tries)) if point else 0
        # The delays of those who are there for moments; squared: most of what they do, they do at once.
        self.late = dice.random() ** 2 * 2 * SHORT_S.get(victim, 0) / (1 << tries)
        self.struck, self.reached, self.over, self.ready = False, False, threading.Event(), threading.Event()

    def met(self):
        return self.reached if self.point else self.struck

    def ambushes(self):
        return self.victim in WORKERS

    def story(self):
        how = f"{self.point[0]} ({self.nth})" if self.point else f"{self.at:.2f} s"
        return f"{self.victim} at {how}" + ("" if self.met() else ", who was not there" if not self.point else ", which did not come")

    # --- commands, which their persons start ----------------------------------------------------------------------

    def under(self):
        """The words before a command that is to die at a point."""
        if not self.point:
            return []
        return ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={self.point[2]}", "-e",
                f"inject={self.point[2]}:signal=KILL:when={self.nth}"]

    def watch(self, process):
        """A command that runs now is the one who dies, where its time has come."""
        if self.point:
            process.wait()
            # strace dies as what it traced did.
            self.struck = self.reached = self.struck or process.returncode == -signal.SIGKILL
            return
        try:
            process.wait(self.late)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.struck = True

    # --- everybody else -------------------------------------------------------------------------------------------

    def run(self, began):
        time.sleep(max(0, began + self.at - time.monotonic()))
        if self.victim in COMMANDS:
            return  # whoever starts it takes this along
        if self.victim in (SITE_WHOLE, HUB, RUN) and not self.point:
            self.bring_down()
        elif self.point:
            self.hold(self.candidates())
        else:
            self.strike(self.candidates())
        if self.struck and self.victim in (HUB, TELLER):
            self.everybody.teller_deaths += 1
        if self.struck or self.victim == HUB:
            self.revive()

    def candidates(self):
        """Those of them who are there; who is not is given a moment to come back."""
        end = time.monotonic() + BACK_S
        pids = self.present()
        while not pids and time.monotonic() < end:
            time.sleep(0.05)
            pids = self.present()
        return pids

    def present(self):
        if self.victim == SERVICE:
            return [pid for pid in self.everybody.service_pids() if is_alive(pid)]
        if self.victim == NGINX:
            masters, workers = nginx_of(self.e)
            return masters if self.dice.random() < 0.4 else workers
        return pids_of(self.e, self.victim)

    def strike(self, pids):
        if not pids:
            return
        pid = self.dice.choice(sorted(pids))
        name = self.everybody.service_pids().get(pid) if self.victim == SERVICE else None
        if name:
            self.everybody.service_deaths.setdefault(name, []).append(time.monotonic())
        kill(pid)
        self.struck = True

    def hold(self, pids):
        """Let one of them come to the point; who does not, dies then."""
        if not pids:
            return
        pid = self.dice.choice(sorted(pids))
        where = ["-P", os.path.join(self.everybody.site, self.point[5])] if self.point[5] else []
        # What the supervisor and shims start is not followed: each process would have calls of its own.
        follow = [] if self.victim in (SUPERVISOR, SHIM) else ["-f"]
        try:
            hold = Hold(pid, self.point[2], self.nth, *where, *follow, how="KILL")
        except AssertionError:
            return
        self.ready.set()
        began = time.monotonic()
        kill(pid, signal.SIGCONT)
        while is_alive(pid) and time.monotonic() < began + (DEED_S if self.everybody.may_come_to(self.point) else POINT_S):
            time.sleep(0.02)
        self.reached = not is_alive(pid)
        if not self.reached:
            kill(pid)
        self.struck = True
        hold.release()

    def stops(self):
        """Whom it meets goes on only once it is ready: to come to a point, or no more, after one who was gone too soon."""
        return bool(self.point or self.tries)

    def fall_on(self, pid):
        if self.point:
            self.hold([pid])
            return
        time.sleep(0 if self.stops() else self.late)
        self.struck = is_alive(pid)
        kill(pid)

    def bring_down(self):
        if self.victim == SITE_WHOLE:
            end_site(self.e)
        elif self.victim == RUN:
            kill(self.e.site.proc.pid)
            self.e.site.proc.wait()
        elif self.victim == HUB and self.dice.random() < 0.5:
            kill(self.e.hub.proc.pid)  # alone: its nginx lives on for a moment
            time.sleep(self.dice.random() * 0.2)
        self.struck = True

    def revive(self):
        """What nothing else starts again."""
        if self.victim == HUB:
            end_hub(self.e)
            self.e.start_hub()
        elif self.victim in (SITE_WHOLE, RUN):
            self.e.start_site()


class Ambush:
    """Waits for all those who are started for one thing and gone a moment later: one looks all the time, for all who wait."""

    def __init__(self, everybody, strikes):
        self.everybody, self.e, self.waiting, self.threads = everybody, everybody.e, list(strikes), []

    def run(self, began):
        seen = set()
        while self.waiting and not self.everybody.over.is_set():
            bosses = children(self.e.site.proc.pid) or pids_of(self.e, SUPERVISOR)
            for pid in [pid for boss in bosses for pid in children(boss) if pid not in seen]:
                comm = read(f"/proc/{pid}/comm").strip()
                if comm in WORKERS.values():
                    self.meet(pid, comm, began, seen)
                elif comm != "mainstay-superv":  # that will become something else
                    seen.add(pid)
            time.sleep(0.001 if bosses else 0.05)
        for thread in self.threads:
            thread.join()

    def meet(self, pid, comm, began, seen):
        due = [s for s in self.waiting if WORKERS[s.victim] == comm and time.monotonic() >= began + s.at]
        if not due:
            return
        if due[0].stops():
            kill(pid, signal.SIGSTOP)
        self.waiting.remove(due[0])
        seen.add(pid)
        self.threads.append(threading.Thread(target=due[0].fall_on, args=(pid,)))
        self.threads[-1].start()
