"""What is cut: programs that work on a folder and note what they promised (`work`), and that look at what a cut has
left of it (`check`).  audit_log.c, spool.c, keeps.c and update.c say what each does and holds to be right."""

import concurrent.futures
import os
import shutil
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"), "tests", "fault")
ALL = os.environ.get("CUTS") == "all"
CUTS = 0 if ALL else int(os.environ.get("CUTS", "150"))
SEED = int(os.environ.get("SEED", "1"))
# A check mostly waits: for timers, and for the disk.
JOBS = int(os.environ.get("FAULT_JOBS", "6"))


def passing(folder):
    """A file on its way to its name in this folder."""
    start = ".tmp." if folder == "." else folder + "/.tmp."
    return lambda path, is_folder: is_folder is False and path.startswith(start)


def names(folder):
    return lambda path, is_folder: is_folder and path == folder


class Work:
    """forgotten: {what: which syncs that is (path, is it a folder; None: all of the file system)}"""

    def __init__(self, name, steps, disk_bytes, forgotten):
        self.name, self.steps, self.disk_bytes, self.forgotten = name, str(steps), disk_bytes, forgotten
        self.program = os.path.join(BUILD, name)

    def do(self, folder, notes, record, env=None, timeout_s=300):
        """Work in the folder; what it says.  Raises where it fails."""
        done = subprocess.run([self.program, "work", folder, str(SEED), notes, self.steps, record], text=True, timeout=timeout_s,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, TMPDIR=os.path.dirname(notes), **(env or {})),
                              check=False)
        if done.returncode:
            said = " | ".join(done.stdout.splitlines()[-4:] + done.stderr.splitlines()[-4:])
            raise RuntimeError(f"{self.name} ended with {done.returncode}: {said}")
        return done.stdout.strip()

    def check(self, folder, notes, at, timeout_s=300):
        """None where all holds, else what does not."""
        done = subprocess.run([self.program, "check", folder, str(SEED), notes, str(at)], text=True, timeout=timeout_s,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env=dict(os.environ, TMPDIR=os.path.dirname(notes)))
        if done.returncode == 0:
            return None
        return done.stdout.strip() or f"ended with {done.returncode}: " + " | ".join(done.stderr.splitlines()[-3:])

    def begins(self, notes):
        """How long the record was when the first promise was made."""
        with open(notes, encoding="ascii") as f:
            row = f.readline().split()
            return int(row[1]) if row[1].isdigit() else int(f.readline().split()[0])

    def steps_at(self, notes):
        """[(length of the record, what is done next)] of those that say so."""
        with open(notes, encoding="ascii") as f:
            rows = [line.split() for line in f][1:]
        return [(int(row[0]), row[-1]) for row in rows if row[0].isdigit()]


WORKS = {w.name: w for w in (
    Work("audit_log", os.environ.get("STEPS", 110), 24 << 20, {
        "names in the log's own folder": names("."),
        "names in the folders below": lambda path, is_folder: is_folder and path != ".",
        "records": lambda path, is_folder: not is_folder and path.startswith("records/"),
        "tiles": lambda path, is_folder: not is_folder and path.startswith("tile/"),
        "the checkpoint before its rename": passing("."),
    }),
    Work("spool", os.environ.get("STEPS", 250), 24 << 20, {
        "the spool's records": lambda path, is_folder: not is_folder and path.startswith("metrics/"),
        "acks.json before its rename": passing("."),
    }),
    Work("keeps", os.environ.get("STEPS", 5), 24 << 20, {}),
    # Staging wants 64 MB free beside the tree.
    Work("update", 99, 160 << 20, {
        "a tree's files and names before its own name": lambda path, is_folder: path == "lib/store" and is_folder is None,
        "names in the store": names("lib/store"),
        "cluster.lock before its rename": passing("lib"),
        "cluster.lock's name": names("lib"),
        "the journals before their rename": passing("lib/monitor/journal"),
        "the journals' names": names("lib/monitor/journal"),
        "slots before their rename": passing("lib/core"),
        "names of the slots": names("lib/core"),
        "the monitor's files before their rename": passing("lib/monitor"),
        "names of the monitor's files": names("lib/monitor"),
        "cluster.yaml before its rename": passing("etc"),
        "cluster.yaml's name": names("etc"),
    }),
)}


def scratch(prefix):
    """A folder, in memory where there is room: what is synced here is known without a disk."""
    shm = "/dev/shm"
    fits = os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 1 << 30
    return tempfile.mkdtemp(prefix=prefix, dir=shm if fits else None)


def each(jobs):
    """Run (function, arguments...) side by side; the results in their order."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=JOBS) as pool:
        waiting = []
        for job in jobs:
            waiting.append(pool.submit(*job))
            while len(waiting) > JOBS:  # what a job needs on the disk is made as it is drawn
                yield waiting.pop(0).result()
        for w in waiting:
            yield w.result()


def count_by_step(steps, ats):
    """"install 12, update 30": how many of these lengths of the record fall into each step."""
    found = {}
    for at in ats:
        name = next((n for begin, n in reversed(steps) if begin <= at), None)
        if name:
            found[name] = found.get(name, 0) + 1
    return ", ".join(f"{name} {n}" for name, n in found.items())
