"""What the tests of the packages share."""

import glob
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(ROOT, os.environ.get("B", "build"))
VERSION = os.environ.get("VERSION", "0.1.0")
NAMES = ["mainstay", "mainstay-hub", "mainstay-desk", "mainstay-release"]
DEBS = sorted(glob.glob(os.path.join(B, "deb", "*.deb")))


def run(*argv, **how):
    """Run to the end; what it printed.  A failure shows it."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **how)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def deb(name):
    return next(d for d in DEBS if os.path.basename(d).startswith(f"{name}_{VERSION}_"))


def contents(name):
    """(mode, owner, path) of everything in a package."""
    for line in run("dpkg-deb", "-c", deb(name)).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        yield mode, owner, path.split(" -> ")[0]


def control(name, file):
    """A file beside the package's control file; "" where there is none."""
    done = subprocess.run(["dpkg-deb", "-I", deb(name), file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False)
    return done.stdout if done.returncode == 0 else ""
