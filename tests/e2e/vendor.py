"""A vendor's release engineer in a scratch folder: mainstay-release, and what it leaves on disk."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from passphrase import with_passphrase

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("MAINSTAY_BUILD", ROOT / "build"))
REFUSAL = re.compile(r"\[([a-z-]+)\] \([a-z_/0-9-]+\.c:\d+\)")

TINY = """name: tiny
version: "1.0"
exec: [/bin/run]
payload: {tree: tree}
operations:
  look: {argv: [/bin/run, look], risk: observe}
"""

_logs = {}


def log_folder():
    """BUILD/log/e2e/release.MODULE of the present test module, new in each run."""
    module = os.path.basename(os.environ.get("PYTEST_CURRENT_TEST", "none").split("::")[0]).removesuffix(".py")
    if module not in _logs:
        _logs[module] = BUILD / "log/e2e" / f"release.{module}"
        shutil.rmtree(_logs[module], ignore_errors=True)
        _logs[module].mkdir(parents=True)
    return _logs[module]


def run(*args, env=None, inside=()):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTAY_")}
    p = subprocess.run([*map(str, inside), BUILD / "bin/mainstay-release", *with_passphrase(args)], capture_output=True,
                       text=True, env=clean | {"MAINSTAY_DEBUG": "1"} | (env or {}), timeout=60, check=False)
    with open(log_folder() / "commands.log", "a") as log:
        log.write(f"$ {' '.join(map(str, args))}\n{p.stderr}")
    return p


def release(*args, code=0, env=None):
    """Run mainstay-release; its output as JSON where --json was asked for.  What is refused is refused once."""
    p = run(*args, env=env)
    assert p.returncode == code, p.stdout + p.stderr
    assert code not in (1, 2) or len(REFUSAL.findall(p.stderr)) == 1, p.stderr
    return json.loads(p.stdout) if "--json" in args and code == 0 else p.stdout + p.stderr


def contents(folder):
    """Every name below a folder and what it holds."""
    def of(path):
        if path.is_symlink():
            return os.readlink(path)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None

    return {str(p.relative_to(folder)): of(p) for p in sorted(Path(folder).rglob("*"))}


def refused(reason, said, watch, *args, inside=()):
    """The command is refused once, for that reason and in those words, and changes nothing below watch."""
    before = contents(watch)
    p = run(*args, inside=inside)
    assert p.returncode == (2 if reason == "usage" else 1), p.stdout + p.stderr
    assert REFUSAL.findall(p.stderr) == [reason], p.stderr
    assert said in p.stderr, p.stderr
    assert contents(watch) == before


def ssh_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True)
    return path.with_suffix(".pub")


def tiny(folder, version="1.0"):
    """A service that is one script."""
    (folder / "tree/bin").mkdir(parents=True)
    (folder / "service.yaml").write_text(TINY.replace("1.0", version))
    (folder / "tree/bin/run").write_text("#!/bin/sh\nexit 0\n")
    (folder / "tree/bin/run").chmod(0o755)
    return folder


def make_vendor(folder):
    """Keys, a repository, one engineer."""
    release("keys", "new", "--dir", folder / "keys")
    release("init", folder / "repo", "--root-keys", "2of3", "--keys", folder / "keys")
    ssh_key(folder / "ada")
    release("people", "set", folder / "repo", "--name", "ada", "--key", folder / "ada.pub",
            "--roles", "support,enrol", "--customers", "acme")
    release("people", "sign", folder / "repo", "--keys", folder / "keys")
    return folder


def publish(vendor, folder, out="built"):
    release("build", folder, "-o", vendor / out)
    release("sign", vendor / out, "--key", vendor / "keys/targets.key")
    return release("publish", vendor / out, "--to", vendor / "repo", "--keys", vendor / "keys", "--json")


def people(vendor):
    """The newest people document and its role's metadata."""
    roles = sorted((vendor / "repo/tuf").glob("*.people.json"), key=lambda p: int(p.name.split(".")[0]))
    role = json.loads(roles[-1].read_text())
    digest = role["signed"]["targets"]["people/people.json"]["hashes"]["sha256"]
    return json.loads((vendor / f"repo/tuf/targets/people/{digest}.people.json").read_text()), role
