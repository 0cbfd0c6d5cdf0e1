"""Ends of what an estate (tests/e2e/estate.py) consists of, as a loss of power or SIGKILL brings them."""

import os
import signal

from estate import until


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


def end_site(estate):
    """The site's machine stops: all of it at once."""
    ours = [pid for pid, words in estate.processes() if estate.path("site") in words]
    for pid in ours:
        kill(pid, signal.SIGSTOP)
    for pid in ours:
        kill(pid)
    estate.site.proc.wait()
    until("the site gone", lambda: not [p for p in ours if is_alive(p)])


def nginx_of(estate):
    """The hub's nginx: its master; and its workers, which name no folder."""
    masters = [pid for pid, words in estate.processes() if words.startswith("nginx")]
    return masters, [int(pid) for master in masters for pid in read(f"/proc/{master}/task/{master}/children").split()]


def end_hub(estate):
    """hubd and the whole of its nginx at once; the workers would live on with its port."""
    masters, _ = nginx_of(estate)
    for pid in masters:
        kill(pid, signal.SIGSTOP)  # it starts no others now
    masters, workers = nginx_of(estate)
    estate.hub.proc.kill()
    estate.hub.proc.wait()
    for pid in masters + workers:
        kill(pid)
    until("nginx gone", lambda: not [p for p in masters + workers if is_alive(p)])
