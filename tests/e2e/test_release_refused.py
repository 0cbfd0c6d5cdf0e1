"""Refusals of mainstay-release that take real programs, packages, keys of OpenSSH, mounts; the rest are rows of
tests/unit/updater/release/release_commands.c and release_whole.c."""

import json
import os
import shutil
import struct
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub import canonical
from passphrase import seed_of
from vendor import REFUSAL, contents, make_vendor, people, publish, refused, release, run, ssh_key, tiny


@pytest.fixture(name="vendor")
def a_vendor(tmp_path):
    return make_vendor(tmp_path)


# --- building -----------------------------------------------------------------------------------------------------


def program(path, loader=b"/bin/echo\0", parts=1, size=None):
    """An ELF file of a header, program headers that name a loader, and nothing to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, parts, 0, 0, 0)
    part = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    path.write_bytes((header + part + loader)[:size])
    path.chmod(0o755)
    return path


def no_program(folder):
    return folder / "none"


def a_script(folder):
    (folder / "script").write_text("#!/bin/sh\n" + "#" * 100)
    return folder / "script"


def cut_short(folder):
    return program(folder / "cut", size=100)


def unending_loader(folder):
    return program(folder / "unending", loader=b"/bin/echo")


def failing_loader(folder):
    return program(folder / "failing", loader=b"/bin/false\0")


# A loader that says what its command line says: what it finds is in the program's name.
def lost_library(folder):
    return program(folder / "a => not found")


def listed_and_gone(folder):
    return program(folder / "a => /none/at all (0x1)")


def at_the_top(folder):
    return program(folder / "a => /dev (0x1)")


@pytest.mark.parametrize("reason, said, make", [
    ("not-found", "none: cannot be opened: is its package installed?", no_program),
    ("malformed", "script: is no 64-bit ELF program", a_script),
    ("malformed", "cut: its program headers are cut short", cut_short),
    ("malformed", "unending: its loader's path is unreadable", unending_loader),
    ("not-found", "failing: the loader cannot list its libraries", failing_loader),
    ("not-found", "of its libraries: --list", lost_library),
    ("not-found", "/none/at all: cannot be opened", listed_and_gone),
    ("malformed", "/dev: lies at the very top", at_the_top),
])
def test_programs_that_cannot_be_gathered(tmp_path, reason, said, make):
    folder = tiny(tmp_path / "tiny")
    text = (folder / "service.yaml").read_text()
    (folder / "service.yaml").write_text(
        text.replace("{tree: tree}", "{programs: ['%s'], tree: tree}" % make(tmp_path)))
    refused(reason, said, folder, "build", folder, "-o", tmp_path / "out")
    assert not (tmp_path / "out/index.json").exists()


def setuid(folder):
    (folder / "x").write_text("")
    (folder / "x").chmod(0o2755)


def capabilities(folder):
    (folder / "x").write_text("")
    os.setxattr(folder / "x", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))


def plain(folder):
    (folder / "x").write_text("")


def pipe(folder):
    os.mkfifo(folder / "x")


@pytest.mark.parametrize("reason, said, make, to", [
    ("unsafe-tree", "is no regular file", pipe, "/x"),
    ("unsafe-tree", "has set-user-id, set-group-id or sticky bits", setuid, "/x"),
    ("unsafe-tree", "has file capabilities", capabilities, "/x"),
    ("conflict", "two things of the payload claim this path", plain, "/bin/run"),
    ("conflict", "bin/run is no folder of the tree", plain, "/bin/run/x"),
    ("not-found", "x: cannot be opened", lambda folder: None, "/x"),
])
def test_files_that_no_payload_may_hold(tmp_path, reason, said, make, to):
    if make is capabilities and os.geteuid() != 0:
        pytest.skip("only root gives capabilities to files")
    folder = tiny(tmp_path / "tiny")
    text = (folder / "service.yaml").read_text()
    (folder / "service.yaml").write_text(
        text.replace("{tree: tree}", "{tree: tree, files: [{from: x, to: %s}]}" % to))
    make(folder)
    refused(reason, said, folder, "build", folder, "-o", tmp_path / "out")
    assert not (tmp_path / "out/index.json").exists()


@pytest.mark.skipif(not os.path.islink("/lib64"), reason="this machine has no merged /usr")
def test_a_tree_in_the_place_of_the_loaders_link(tmp_path):
    folder = tiny(tmp_path / "tiny")
    text = (folder / "service.yaml").read_text()
    (folder / "service.yaml").write_text(text.replace("{tree: tree}", "{tree: tree, programs: [/usr/bin/true]}"))
    (folder / "tree/lib64").mkdir()
    refused("conflict", "lib64: two things of the payload claim this path", folder, "build", folder, "-o",
            tmp_path / "out")


def test_folders_that_are_none(tmp_path):
    folder = tiny(tmp_path / "tiny")
    refused("not-found", "none: is no folder", tmp_path, "build", tmp_path / "none", "-o", tmp_path / "out")
    refused("not-found", "is no built release", tmp_path, "sign", folder, "--key", make_key(tmp_path))
    (folder / "tree").rename(folder / "wood")
    refused("not-found", "tree: is no folder beside the definition", folder, "build", folder, "-o", tmp_path / "out")


def make_key(folder):
    release("keys", "new", "--dir", folder / "keys")
    return folder / "keys/targets.key"


def test_folders_that_hold_something_else(vendor):
    """A slip of the hand builds into no repository and over no service's own folder."""
    folder = tiny(vendor / "tiny")
    for to in (vendor / "repo", folder):
        refused("conflict", "which no build made", vendor, "build", folder, "-o", to)
    release("build", folder, "-o", vendor / "built")
    (vendor / "built/objects/.tmp.left").write_text("")
    (vendor / "built/.tmp.left").write_text("")
    release("build", folder, "-o", vendor / "built")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
@pytest.mark.parametrize("reason, said, how", [
    ("no-space", "its disk is full; what readers see is as it was", "cat /dev/zero >small/rest 2>/dev/null"),
    ("denied", "cannot be written (Read-only file system)", "mount -o remount,ro small"),
])
def test_disks_that_take_nothing(vendor, monkeypatch, reason, said, how):
    monkeypatch.chdir(vendor)
    os.mkdir("small")
    inside = ("unshare", "-m", "sh", "-c",
              f'mount -t tmpfs -o size=1m none small && cp -r repo small && {how}; exec "$@"', "-")
    release("build", tiny(vendor / "tiny"), "-o", vendor / "built")
    release("sign", vendor / "built", "--key", vendor / "keys/targets.key")
    for args in (("refresh", "small/repo"), ("publish", "built", "--to", "small/repo"), ("build", "tiny", "-o", "small/new"),
                 ("renew", "targets", "--to", "small/repo"), ("init", "small/more", "--root-keys", "2of3"),
                 ("people", "set", "small/repo", "--name", "ada", "--roles", "enrol")):
        refused(reason, said, vendor, *args, inside=inside)
    # Who only looks, needs no disk.
    assert run("verify", "small/repo", inside=inside).returncode == 0


def test_a_clock_that_was_set_back(vendor):
    """A good timestamp is not replaced by one that ends before it."""
    repo = vendor / "repo"
    refused("rollback", "is it right? Then say --valid", vendor, "refresh", repo, inside=("faketime", "-f", "-20m"))
    release("refresh", repo, "--valid", "1d")
    release("verify", repo)


# --- people -------------------------------------------------------------------------------------------------------


def own_key_line(path):
    """The public key line of one of the vendor's own key files."""
    raw = ed25519.Ed25519PrivateKey.from_private_bytes(seed_of(path))
    return raw.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" eve\n"


@pytest.mark.parametrize("whose", ["root-2", "officer-3", "timestamp"])
def test_an_engineer_with_a_key_of_the_vendors_own(vendor, whose):
    (vendor / "eve.pub").write_bytes(own_key_line(vendor / f"keys/{whose}.key"))
    refused("conflict", "give the engineer a key of their own", vendor, "people", "set", vendor / "repo", "--name", "eve",
            "--key", vendor / "eve.pub", "--roles", "support", "--customers", "acme")


def test_an_engineer_with_an_rsa_key(vendor):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", vendor / "rsa"], check=True)
    refused("malformed", "key type is none of", vendor, "people", "set", vendor / "repo", "--name", "eve",
            "--key", vendor / "rsa.pub", "--roles", "support", "--customers", "acme")


def change_draft(vendor, change):
    path = vendor / "repo/draft/people.json"
    doc = json.loads(path.read_text())
    change(doc)
    path.write_bytes(canonical(doc))


def test_drafts_that_were_bent_by_hand(vendor):
    repo = vendor / "repo"
    release("people", "set", repo, "--name", "ada", "--revoke", "--reason", "lost")
    release("people", "sign", repo)
    sign = ("people", "sign", repo)
    for said, reason, change in (
            ("was revoked", "conflict", lambda d: d.update(revoked=[], engineers=[ada])),
            ("and 2 is published", "rollback", lambda d: d.update(version=2)),
            ("in more than 30 days", "malformed", lambda d: d.update(expires="2099-01-01T00:00:00Z"))):
        ssh_key(vendor / f"e-{reason}")
        release("people", "set", repo, "--name", reason, "--key", vendor / f"e-{reason}.pub", "--roles", "support",
                "--customers", "acme")
        engineer = json.loads((repo / "draft/people.json").read_text())["engineers"][0]
        ada = dict(engineer, name="ada", key=" ".join((vendor / "ada.pub").read_text().split()[:2]))
        change_draft(vendor, change)
        before = people(vendor)
        done = run(*sign)
        assert REFUSAL.findall(done.stderr) == [reason] and said in done.stderr, done.stderr
        assert people(vendor) == before
        shutil.rmtree(repo / "draft")
        (repo / "draft").mkdir()


def test_drafts_that_came_back_otherwise(vendor):
    repo, draft = vendor / "repo", vendor / "draft.json"
    release("people", "set", repo, "--name", "ada", "--roles", "support")
    release("people", "sign", repo, "--out", draft)
    take = ("people", "sign", repo, "--in", draft)
    refused("unsigned", "no officer has signed it", vendor, *take)
    refused("usage", "one of --key, --out and --in", vendor, *take, "--out", vendor / "other.json")
    refused("usage", "name the officer's key", vendor, "people", "sign", draft)
    release("people", "sign", draft, "--key", vendor / "keys/root-1.key")
    refused("unsigned", "no officer has signed it", vendor, *take)
    release("people", "sign", draft, "--key", vendor / "keys/officer-1.key")
    good = json.loads(draft.read_text())
    other = json.loads(good["document"])
    other["engineers"][0]["roles"] = ["support", "rollout"]
    for said, reason, bent in (
            ("", "hash-mismatch", dict(good, document=canonical(other).decode())),
            ("no people document", "hash-mismatch", dict(good, role=good["role"].replace("people/people.json", "people/x"))),
            ("", "unknown-field", dict(good, more=1)),
            ("", "malformed", dict(good, document="{}"))):
        draft.write_text(json.dumps(bent))
        refused(reason, said, vendor, *take)
    refused("not-found", "no readable draft", vendor, "people", "sign", repo, "--in", vendor / "none.json")
    # The draft went on while the file was away.
    draft.write_text(json.dumps(good))
    release("people", "set", repo, "--name", "ada", "--roles", "support,enrol")
    refused("conflict", "another draft", vendor, *take)


# --- the repository -----------------------------------------------------------------------------------------------


def test_a_refused_publish_and_a_refused_build_leave_nothing(vendor):
    tiny(vendor / "tiny")
    release("build", vendor / "tiny", "-o", vendor / "built")
    release("sign", vendor / "built", "--key", vendor / "keys/targets.key")
    args = ("publish", vendor / "built", "--to", vendor / "repo")
    wrong = vendor / "wrong"
    wrong.write_text("no key opens with this\n")
    wrong.chmod(0o600)
    refused("denied", "does not fit", vendor, *args, "--passphrase-file", wrong)
    for role in ("targets", "snapshot", "timestamp"):
        kept = (vendor / f"keys/{role}.key").rename(vendor / "elsewhere")
        refused("unknown-key", f"{role}: 0 of its keys are here", vendor, *args)
        kept.rename(vendor / f"keys/{role}.key")
    # The payload is half gathered when the second thing is not there; a file of an earlier build stays as it is.
    yaml = vendor / "tiny/service.yaml"
    yaml.write_text(yaml.read_text().replace("{tree: tree}", "{tree: tree, programs: [/usr/bin/true, /nothing/there]}"))
    for out in ("new", "new/er/est", "built"):
        refused("not-found", "/nothing/there", vendor, "build", vendor / "tiny", "-o", vendor / out)
    (vendor / "empty").mkdir()
    refused("not-found", "/nothing/there", vendor, "build", vendor / "tiny", "-o", vendor / "empty/er")


def grow(path, size):
    with open(path, "ab") as f:
        f.truncate(size)


# --- patches and packs ---------------------------------------------------------------------------------------------------


@pytest.fixture(name="updated", scope="module")
def a_repository_with_a_patch(tmp_path_factory):
    """Two releases of a service whose one large file differs a little, under a name that holds the version."""
    vendor = make_vendor(tmp_path_factory.mktemp("updated"))
    for version in ("1.0", "1.1"):
        folder = tiny(vendor / version, version)
        text = "".join(f"{n * n * 7919 % 1000003}\n" for n in range(4000))
        (folder / f"tree/bin/data-{version}").write_text(text + version)
        publish(vendor, folder, f"built-{version}")
    release("verify", vendor / "repo")
    return vendor


def the_patch(repo):
    patch, = (repo / "patches").iterdir()
    return patch


def a_pack(repo):
    """The one that the patch lies in."""
    bytes_ = the_patch(repo).read_bytes()
    return next(p for p in (repo / "packs").iterdir() if bytes_ in p.read_bytes())


def flip(path):
    bytes_ = bytearray(path.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    path.write_bytes(bytes_)


def test_a_release_comes_with_patches_and_packs(updated):
    repo = updated / "repo"
    object_ = next(repo.glob(f"objects/*/{the_patch(repo).name[65:-4]}.zst"))
    assert the_patch(repo).stat().st_size < object_.stat().st_size / 20
    before = contents(repo)
    again = publish(updated, updated / "1.1", "built-again")
    assert '"1.1"' in again or "1.1" in str(again)
    assert contents(repo) == before


@pytest.mark.parametrize("reason, said, spoil", [
    ("altered", "differs from what the pack holds", lambda r: flip(the_patch(r))),
    ("altered", "differs from what the pack holds", lambda r: flip(a_pack(r))),
    ("altered", "has another length in the pack", lambda r: grow(the_patch(r), the_patch(r).stat().st_size + 1)),
    ("altered", "the pack has another length", lambda r: grow(a_pack(r), a_pack(r).stat().st_size + 1)),
    ("not-found", "a pack has it, the repository has not", lambda r: the_patch(r).unlink()),
    ("not-found", "a release names this pack", lambda r: a_pack(r).unlink()),
    ("altered", "notes: is not part of the repository", lambda r: (r / "patches/notes").write_text("x")),
    ("altered", "notes: is not part of the repository", lambda r: (r / "packs/notes").write_text("x")),
])
def test_patches_and_packs_that_are_not_whole(updated, tmp_path, reason, said, spoil):
    repo = tmp_path / "repo"
    shutil.copytree(updated / "repo", repo)
    spoil(repo)
    refused(reason, said, repo, "verify", repo)
    assert contents(updated / "repo") != contents(repo)


PACKAGED = """name: tools
version: "1"
payload:
  packages:
    - {name: redis-tools, include: [%s], exclude: ["/usr/bin/redis-benchmark"]}
  files:
    - {lines: ["svc:x:1000:1000::/data:/sbin/nologin", second], to: /etc/passwd}
exec: [/usr/bin/redis-cli]
"""


def packaged(folder, include):
    folder.mkdir()
    (folder / "service.yaml").write_text(PACKAGED % ", ".join(f'"{i}"' for i in include))
    return folder


def test_parts_of_a_package(tmp_path):
    release("build", packaged(tmp_path / "tools", ["/usr/bin/*", "/usr/share/man/**"]), "-o", tmp_path / "built")
    entries = {e["path"]: e for e in json.loads((tmp_path / "built/index.json").read_text())["entries"]}
    assert {"usr/bin/redis-cli", "usr/bin/redis-check-rdb"} <= set(entries) and "usr/bin/redis-benchmark" not in entries
    assert any(p.endswith("/libc.so.6") for p in entries), "what its programs need came with them"
    link = os.readlink("/usr/bin/redis-check-rdb") if os.path.islink("/usr/bin/redis-check-rdb") else None
    assert entries["usr/bin/redis-check-rdb"].get("target") == link
    sha = entries["etc/passwd"]["sha256"]
    text = subprocess.run(["zstd", "-dcq", tmp_path / f"built/objects/{sha[:2]}/{sha}.zst"], capture_output=True, check=True)
    assert text.stdout == b"svc:x:1000:1000::/data:/sbin/nologin\nsecond\n"
    assert entries["etc/passwd"]["mode"] == "0644"


def test_packages_that_cannot_be_taken(tmp_path):
    folder = packaged(tmp_path / "a", ["/usr/bin/*", "/usr/lib/none*"])
    refused("not-found", "/usr/lib/none*: package redis-tools has nothing that matches it", folder, "build", folder, "-o",
            tmp_path / "out")
    folder = packaged(tmp_path / "b", ["/usr/bin/*"])
    text = (folder / "service.yaml").read_text()
    (folder / "service.yaml").write_text(text.replace("redis-tools", "no-such-package"))
    refused("not-found", "no-such-package: is not installed on this machine: apt-get install", folder, "build", folder,
            "-o", tmp_path / "out")
    (folder / "service.yaml").write_text(text.replace("exec: [/usr/bin/redis-cli]", "exec: [/usr/bin/redis-benchmark]"))
    refused("not-found", "/usr/bin/redis-benchmark: exec names no program of the payload", folder, "build", folder,
            "-o", tmp_path / "out")


def test_a_package_whose_files_are_gone(tmp_path):
    folder = packaged(tmp_path / "a", ["/usr/bin/*", "/usr/share/doc/redis-tools/copyright"])
    inside = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /usr/share/doc/redis-tools && exec "$@"', "-")
    if os.geteuid() != 0 or run("--version", inside=inside).returncode != 0:
        pytest.skip("no mount namespace of our own")
    refused("not-found", "its package says that it is here, and it is not", folder, "build", folder, "-o", tmp_path / "out",
            inside=inside)
