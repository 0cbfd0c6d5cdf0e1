"""Debian's packages of peers, fetched with apt-get and unpacked below the build folder, not installed: a log daemon or a server for
logins is nothing that a bench leaves on a machine."""
import glob
import os
import shutil
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.path.abspath(os.environ.get("MAINSTAY_BUILD") or os.path.join(ROOT, "build"))
HOME = os.path.join(BUILD, "bench-peers")


def fetch(name, packages):
    """Into HOME/name.  Returns "" where it is there to run, else why it is not."""
    root = os.path.join(HOME, name)
    if os.path.exists(os.path.join(root, ".whole")):
        return ""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return "no Debian here"
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    done = subprocess.run(["apt-get", "download", "-qq", *packages], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        return "apt-get download: " + (done.stderr.strip().splitlines() or ["?"])[-1]
    for package in glob.glob(os.path.join(root, "*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    with open(os.path.join(root, ".whole"), "w", encoding="ascii"):
        return ""
