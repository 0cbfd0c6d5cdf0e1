"""Who runs on an estate (tests/e2e/estate.py), and their ends, as a loss of power or SIGKILL brings them."""

import glob
import os
import signal

from estate import until

MONITOR, COLLECTOR, COURIER, SUPERVISOR, SHIM, HUB, TELLER, NGINX = (
    "monitor", "collector", "courier", "supervisor", "shim", "hub", "hub-notify", "nginx")
WORKER, JUDGE, ACTIVATE, OPERATE, NOTIFY = "worker", "judge", "activate", "operate", "notify"
PROGRAMS = {HUB: "mainstay-hubd", TELLER: "mainstay-hub-notify", MONITOR: "mainstayd", COLLECTOR: "mainstay-collectd",
            COURIER: "mainstay-courier", SUPERVISOR: "mainstay-supervise", SHIM: "mainstay-supervise"}
# As the kernel cuts their names off; an operation's worker is one that the requests' torture calls just that.
WORKERS = {WORKER: "mainstay-operate"[:15], JUDGE: "mainstay-judge", ACTIVATE: "mainstay-activate"[:15], OPERATE: "mainstay-operate"[:15],
           NOTIFY: "mainstay-notify"[:15]}


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except OSError:
        return ""  # it is no more


def is_alive(pid):
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] not in ([], ["Z"], ["X"])


def kill(pid, how=signal.SIGKILL):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass  # it ended by itself meanwhile


def children(pid):
    return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]


def all_processes():
    for folder in glob.glob("/proc/[0-9]*"):
        words = read(f"{folder}/cmdline").replace("\0", " ").strip()
        if words and is_alive(os.path.basename(folder)):
            yield int(os.path.basename(folder)), words


def is_boxed_of(site, pid):
    """It sees a folder of this site, as a service or an operation does that names none."""
    return f"{os.path.basename(os.path.dirname(site))}/site/" in read(f"/proc/{pid}/mountinfo")


def pids_of(estate, who):
    """Where one of them runs; of nginx, master and workers."""
    if who == NGINX:
        masters, workers = nginx_of(estate)
        return masters + workers
    if who in WORKERS:
        return [pid for boss in pids_of(estate, SUPERVISOR) for pid in children(boss) if read(f"/proc/{pid}/comm").strip() == WORKERS[who]]
    return [pid for pid, words in estate.processes()
            if os.path.basename(words.split()[0]) == PROGRAMS[who] and ("--shim" in words) == (who == SHIM)]


def end_site(estate):
    """The site's machine stops: all of it at once."""
    ours = []
    while True:  # whom one that is not stopped yet starts meanwhile is stopped, too
        more = [pid for pid, words in all_processes() if pid not in ours and pid != os.getpid()
                and (estate.path("site") in words or is_boxed_of(estate.path("site"), pid))]
        if not more:
            break
        for pid in more:
            kill(pid, signal.SIGSTOP)
        ours += more
    for pid in ours:
        kill(pid)
    estate.site.proc.wait()
    until("the site gone", lambda: not [p for p in ours if is_alive(p)])


def nginx_of(estate):
    """The hub's nginx: its master; and its workers, which name no folder."""
    masters = [pid for pid, words in estate.processes() if words.startswith("nginx")]
    return masters, [pid for master in masters for pid in children(master)]


def end_hub(estate):
    """hubd and the whole of its nginx at once; the workers would live on with its port."""
    masters, _ = nginx_of(estate)
    for pid in masters:
        kill(pid, signal.SIGSTOP)  # it starts no others now
    masters, workers = nginx_of(estate)
    workers += orphans_of(estate)
    estate.hub.proc.kill()
    estate.hub.proc.wait()
    for pid in masters + workers:
        kill(pid)
    until("nginx gone", lambda: not [p for p in masters + workers if is_alive(p)])


def orphans_of(estate):
    """nginx's workers whose master was killed: they name no folder, but write to its log."""
    log = estate.path("hub", "nginx", "error.log")
    return [pid for pid, words in all_processes() if words.startswith("nginx: worker") and log in map(target, glob.glob(f"/proc/{pid}/fd/*"))]


def target(link):
    try:
        return os.readlink(link)
    except OSError:
        return ""
