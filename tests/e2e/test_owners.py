"""What the customer's owners sign on machines of their own, and the programs that tell people."""

import json
import os
import shutil
import subprocess

import pytest

from site_alone import BUILD, Site, until

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "bin", "mainstayd")),
                                reason="needs the built programs")


def keygen(folder, name, kind="ed25519"):
    path = os.path.join(folder, name)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    with open(f"{path}.pub") as f:
        return path, " ".join(f.read().split()[:2])


def sshsign(key, namespace, path):
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key, path], check=True,
                   capture_output=True)


def running(command):
    """The pids of a command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().replace(b"\0", b" ").decode(errors="replace").strip() == command:
                    found.append(int(pid))
        except OSError:
            continue
    return found


def test_owners_sign_on_machines_of_their_own_and_a_hook_tells():
    site = Site()
    try:
        site.up()
        folder = site.top
        ann, ann_line = keygen(folder, "ann", "ecdsa")
        bob, bob_line = keygen(folder, "bob")
        owners = f"owners: {{ k: 2, keys: [{ann_line}, {bob_line}] }}\n"
        hooks = os.path.join(site.dir, "etc", "notify.d")
        os.makedirs(hooks, mode=0o755, exist_ok=True)
        os.chmod(os.path.join(site.dir, "etc"), 0o755)
        told = os.path.join("/tmp", f"mainstay-told-{os.getpid()}")
        with open(os.path.join(hooks, "tell"), "w") as f:
            f.write(f"#!/bin/sh\nsetsid sleep 4711.{os.getpid()} >/dev/null 2>&1 &\n"
                    f"{{ cat; env; id -u; }} > {told}.new && mv {told}.new {told}\n")
        os.chmod(os.path.join(hooks, "tell"), 0o755)
        site.run("policy", "apply", site.write("first.yaml", f"v: 1\n{owners}notify: [switch]\nrules: []\n"))
        assert site.json("on", "remote", code=1)["reason"] == "not-approved"
        copies = []
        site.run("on", "remote", "--out", os.path.join(folder, "statement"))
        for name, key in (("a", ann), ("b", bob)):
            copy = os.path.join(folder, f"{name}.statement")
            shutil.copy(os.path.join(folder, "statement"), copy)
            sshsign(key, "owner@mainstay", copy)
            copies.append(copy)
        error = site.json("on", "remote", "--owner", copies[0], "--owner", copies[0], code=1)
        assert error["reason"] == "threshold" and "1 of 2" in error["text"]
        on = site.json("on", "remote", "--owner", copies[0], "--owner", copies[1])
        assert on["switches"]["remote"] is True
        until("the program says so", lambda: os.path.exists(told))
        with open(told) as f:
            said = f.read().splitlines()
        assert json.loads(said[0])["event"] == "switch" and json.loads(said[0])["about"] == "remote on"
        if os.geteuid() == 0:
            assert int(said[-1]) != 0
        assert not any(line.startswith(("HOME=", "MAINSTAY")) for line in said)
        until("what the program left behind ends", lambda: not running(f"sleep 4711.{os.getpid()}"))
        site.run("off", "remote")
        assert site.json("on", "remote", "--owner", copies[0], "--owner", copies[1], code=1)["reason"] == "replayed"
        other = os.path.join(folder, "other")
        with open(other, "w") as f:
            f.write("{}")
        shutil.copy(f"{copies[1]}.sig", f"{other}.sig")
        assert site.json("on", "remote", "--owner", copies[0], "--owner", other, code=1)["reason"] == "altered"
        assert site.status()["policy"]["state"] == "applied"
        # The same of a policy: what was signed is not this one, and a name that its signature's does not fit.
        next_one, digest = site.write("next.yaml", f"v: 1\n{owners}rules: []\n"), site.status()["policy"]["digest"]
        error = site.json("policy", "apply", next_one, "--owner", copies[0], "--owner", other, code=1)
        assert error["reason"] == "altered" and "is another statement than the first" in error["text"]
        long = "/" + "./" * ((4094 - len(other)) // 2) + other[1:]
        error = site.json("policy", "apply", next_one, "--owner", long, code=2)
        assert error["reason"] == "usage" and "too long" in error["text"]
        assert site.status()["policy"]["digest"] == digest
        os.unlink(told)
    finally:
        site.down()
