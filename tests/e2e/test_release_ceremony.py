"""mainstay-release: m of n people on machines of their own, rotation, delegation, floors, withdrawal, expiry."""

import json
import os
import shutil
import stat
import subprocess

import pytest

from passphrase import passphrase_file, seed_of
from vendor import BUILD, contents, make_vendor, people, publish, refused, release, run, tiny


@pytest.fixture(name="vendor")
def a_vendor(tmp_path):
    return make_vendor(tmp_path)


def public(file):
    return file.read_text().split()[2]


def away(vendor, *names):
    """Each key on a machine of its own: {name: folder}."""
    made = {}
    for name in names:
        made[name] = vendor / f"machine-{name}"
        made[name].mkdir()
        shutil.move(vendor / f"keys/{name}.key", made[name] / "own.key")
    return made


def known(vendor):
    shutil.copy(vendor / "repo/tuf/1.root.json", vendor / "known.json")
    return vendor / "known.json"


def client(vendor, metadata="client"):
    """An independent run of the client that sites use, which keeps what it trusted the last time."""
    own = vendor / metadata
    program = [BUILD / "tests/tuf-client", "--metadata-dir", own]
    if not own.exists():
        own.mkdir()
        subprocess.run([*program, "init", vendor / "repo/tuf/1.root.json"], check=True, timeout=20)
    server = subprocess.Popen(["/usr/bin/python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "-d",
                               vendor / "repo/tuf"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = server.stdout.readline().split("port ")[1].split()[0]
        return subprocess.run([*program, "--metadata-url", f"http://127.0.0.1:{port}/", "refresh"],
                              timeout=20, check=False, capture_output=True).returncode
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def test_keys_are_encrypted_as_openssl_reads_them(tmp_path):
    release("keys", "new", "--dir", tmp_path / "k", "--name", "root-1")
    file = tmp_path / "k/root-1.key"
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes() and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(seed_of(file)) == 32
    made = subprocess.run(["openssl", "pkey", "-in", file, "-passin", "file:" + passphrase_file(), "-pubout", "-outform",
                           "DER"], capture_output=True, check=True).stdout[-32:].hex()
    assert made == public(file)
    asn1 = subprocess.run(["openssl", "asn1parse"], input=file.read_text().split("\n", 1)[1], capture_output=True, text=True,
                          check=True).stdout
    assert "scrypt" in asn1 and "aes-256-cbc" in asn1
    listed = release("keys", "list", "--keys", tmp_path / "k", "--json")["items"]
    assert listed[0]["public"] == made and listed[0]["protection"] == "WEAK: quickly tried"
    # Another passphrase, from a descriptor; the old one opens it no more.
    other = tmp_path / "other"
    other.write_text("quite another one\n")
    other.chmod(0o600)
    release("keys", "passphrase", file, "--new-passphrase-file", other, "--cost", "14")
    refused("denied", "does not fit", tmp_path, "keys", "passphrase", file, "--new-passphrase-file", other)
    with open(other, "rb") as f:
        done = subprocess.run([BUILD / "bin/mainstay-release", "keys", "passphrase", file, "--no-passphrase", "--json",
                               "--passphrase-fd", str(f.fileno())], pass_fds=[f.fileno()], capture_output=True,
                              text=True, check=True, timeout=20)
    assert json.loads(done.stdout)["protection"] == "NO PASSPHRASE"
    assert "NO PASSPHRASE" in release("keys", "list", "--keys", tmp_path / "k")


def test_root_is_rotated_by_people_on_machines_of_their_own(vendor):
    repo, draft = vendor / "repo", vendor / "draft.json"
    assert client(vendor) == 0
    machines = away(vendor, "root-1", "root-2", "root-3")
    release("keys", "new", "--dir", vendor / "more", "--name", "root-4")
    said = release("root", "draft", repo, "--out", draft, "--add", f"root={public(vendor / 'more/root-4.key')}",
                   "--remove", f"root={public(machines['root-1'] / 'own.key')}")
    assert "root: version 2" in said and said.count("+ root key") == 1 and said.count("- root key") == 1
    # One after the other, with nothing but a key, the draft and the root they know.
    refused("unknown-key", "of no role that signs", vendor, "root", "sign", draft, "--key", vendor / "keys/targets.key")
    refused("threshold", "0 of 2 signatures of the former root are there", vendor, "root", "publish", draft, "--to", repo)
    for name in ("root-1", "root-2"):
        shutil.move(draft, machines[name] / "draft.json")
        said = release("root", "sign", machines[name] / "draft.json", "--key", machines[name] / "own.key", "--known",
                       known(vendor))
        assert "+ root key" in said and "is signed" in said and "compared with nothing" not in said
        shutil.move(machines[name] / "draft.json", draft)
    # Enough for the old root; the new one needs another of its own.
    refused("threshold", "1 of 2 signatures of the new root are there; not signed by", vendor, "root", "publish", draft,
            "--to", repo)
    assert "! compared with nothing that you hold" in release("root", "sign", draft, "--key", vendor / "more/root-4.key")
    done = release("root", "publish", draft, "--to", repo, "--json")
    assert done["roles"]["root"] == 2
    assert client(vendor) == 0 and client(vendor, "fresh") == 0
    release("verify", repo)
    refused("replayed", "version 2 is published", vendor, "root", "publish", draft, "--to", repo)
    # Root-1 is no more.
    release("root", "draft", repo, "--out", draft)
    refused("unknown-key", "of no role that signs", vendor, "root", "sign", draft, "--key", machines["root-1"] / "own.key")


def test_every_online_key_and_targets_are_rotated_at_once(vendor):
    repo, draft = vendor / "repo", vendor / "draft.json"
    publish(vendor, tiny(vendor / "tiny"))
    assert client(vendor) == 0
    new = vendor / "new"
    release("keys", "new", "--dir", new, *(a for n in ("targets", "snapshot", "timestamp") for a in ("--name", n)))
    change = [a for n in ("targets", "snapshot", "timestamp")
              for a in ("--add", f"{n}={new / n}.key", "--remove", f"{n}={vendor / 'keys' / n}.key")]
    said = release("root", "draft", repo, "--out", draft, *change)
    assert "targets: version 3" in said and "1 files stay listed" not in said and "stay listed" in said
    for key in (vendor / "keys/root-1.key", vendor / "keys/root-3.key", new / "targets.key"):
        release("root", "sign", draft, "--key", key)
    refused("unknown-key", "0 of its keys are here", vendor, "root", "publish", draft, "--to", repo)
    release("root", "publish", draft, "--to", repo, "--keys", new)
    assert client(vendor) == 0 and client(vendor, "fresh") == 0
    release("verify", repo)
    refused("unknown-key", "0 of its keys are here", vendor, "refresh", repo)
    release("refresh", repo, "--keys", new)
    assert client(vendor) == 0


def test_a_service_has_signers_of_its_own(vendor):
    repo, own = vendor / "repo", vendor / "own"
    release("keys", "new", "--dir", own, "--name", "tiny-1", "--name", "tiny-2")
    keys = [a for n in (1, 2) for a in ("--add", own / f"tiny-{n}.key")]
    release("delegate", "tiny", "--to", repo, *keys, "--threshold", "2", "--keys", vendor / "keys")
    release("build", tiny(vendor / "tiny"), "-o", vendor / "built")
    release("sign", vendor / "built", "--key", vendor / "keys/targets.key")
    refused("threshold", "release.json, which role tiny signs: 0 signatures", repo, "publish", vendor / "built", "--to", repo)
    for n in (1, 2):
        release("sign", vendor / "built", "--key", own / f"tiny-{n}.key")
    # One of the two is elsewhere: a draft goes there.  The host has snapshot and timestamp alone.
    shutil.move(own / "tiny-2.key", vendor / "tiny-2.key")
    refused("unknown-key", "1 of its keys are here, where 2 must sign", repo, "publish", vendor / "built", "--to", repo, "--keys", own)
    release("publish", vendor / "built", "--to", repo, "--keys", own, "--out", vendor / "draft.json")
    said = release("draft", "sign", vendor / "draft.json", "--key", vendor / "tiny-2.key")
    assert "+ services/tiny/1.0/index.json" in said
    os.unlink(vendor / "keys/targets.key")
    release("draft", "publish", vendor / "draft.json", "--to", repo)
    seen = release("verify", repo, "--json")
    assert seen["releases"] == 1 and seen["delegated"] == 2
    assert client(vendor) == 0


def test_withdrawn_releases_and_floors(vendor):
    repo = vendor / "repo"
    to = ("--to", repo, "--keys", vendor / "keys")
    publish(vendor, tiny(vendor / "tiny"))
    publish(vendor, tiny(vendor / "tiny2", "1.1"), "built2")
    refused("not-found", "no release of a service of this name", repo, "floor", "tinny", "1", *to)
    refused("conflict", "newest release has counter 2", repo, "floor", "tiny", "3", *to)
    release("floor", "tiny", "2", *to)
    refused("rollback", "floors do not fall", repo, "floor", "tiny", "1", *to)
    refused("conflict", "last that reaches the floor", repo, "withdraw", "tiny", "1.1", "--reason", "x", *to)
    refused("not-found", "is not published", repo, "withdraw", "tiny", "7", "--reason", "x", *to)
    publish(vendor, tiny(vendor / "tiny3", "1.2"), "built3")
    release("withdraw", "tiny", "1.2", "--reason", "CVE", *to)
    refused("revoked", "was withdrawn", repo, "publish", vendor / "built3", *to)
    # The number is not used again.
    assert publish(vendor, tiny(vendor / "tiny4", "1.3"), "built4")["counter"] == 4
    release("verify", repo)
    targets = max((repo / "tuf").glob("*.targets.json"), key=lambda p: int(p.name.split(".")[0]))
    assert json.loads(targets.read_text())["signed"]["x-mainstay-floors"] == {"tiny": 2}


def test_a_card_is_signed_on_machines_of_their_own(vendor):
    repo, draft, out = vendor / "repo", vendor / "card.json", vendor / "vendor.card"
    (vendor / "facts").write_text(json.dumps({
        "v": 1, "name": "hub", "url": "https://hub.example", "reply": public(vendor / "keys/targets.key"),
        "witness": {"name": "w.example", "key": public(vendor / "keys/snapshot.key")},
        "director": public(vendor / "keys/timestamp.key")}))
    args = ("card", repo, "--hub", vendor / "facts")
    machines = away(vendor, "root-1", "root-2", "root-3")
    refused("usage", "one of -o FILE and --out DRAFT", vendor, *args)
    refused("threshold", "--out writes a draft", vendor, *args, "-o", out)
    made = release(*args, "--out", draft, "--json")
    for name in ("root-1", "root-3"):
        shutil.copy(draft, machines[name] / "card")
        refused("unknown-key", "is no key of the card's root", vendor, "card", "sign", machines[name] / "card", "--key",
                vendor / "keys/targets.key")
        said = release("card", "sign", machines[name] / "card", "--key", machines[name] / "own.key", "--known", known(vendor))
        assert "hub hub at https://hub.example" in said and "1 of 2 signatures" in said and "compared with nothing" not in said
    copies = [machines[name] / "card" for name in ("root-1", "root-3")]
    refused("threshold", "vendor.card", vendor, "card", "join", copies[0], "-o", out)
    done = release("card", "join", *copies, "-o", out, "--json")
    assert done["whole"] and done["fingerprint"] == made["fingerprint"] and len(json.loads(out.read_text())["signatures"]) == 2


def test_officers_change_with_the_document_that_they_signed(vendor):
    repo, draft = vendor / "repo", vendor / "draft.json"
    release("keys", "new", "--dir", vendor / "more", "--name", "officer-4")
    release("delegate", "people", "--to", repo, "--add", vendor / "more/officer-4.key", "--remove",
            vendor / "keys/officer-1.key", "--remove", vendor / "keys/officer-2.key", "--threshold", "2", "--out", draft)
    refused("threshold", "people: 1 of 2", repo, "draft", "publish", draft, "--to", repo)
    release("draft", "sign", draft, "--key", vendor / "more/officer-4.key")
    release("draft", "publish", draft, "--to", repo)
    release("verify", repo)
    assert people(vendor)[1]["signed"]["version"] == 2
    assert client(vendor) == 0


def test_what_ends_when_and_who_renews_it(vendor):
    repo = vendor / "repo"
    rows = {r["role"]: r for r in release("expiry", repo, "--within", "1d", "--json")["items"]}
    assert set(rows) == {"root", "targets", "snapshot", "timestamp", "people", "people/people.json"}
    assert rows["root"]["threshold"] == 2 and rows["root"]["signers"] == 3
    assert rows["targets"]["renew"] == "renew targets --to REPO"
    # What is made anew daily counts in its last two days: with a week left all is well.
    release("expiry", repo)
    release("refresh", repo, "--valid", "47h")
    said = release("expiry", repo, code=1)
    assert "timestamp" in said and "1 of its 1 keys renew it: mainstay-release refresh REPO" in said
    assert "snapshot" in release("expiry", repo, "--within", "31d", code=1)
    release("expiry", repo, "--within", "1d")
    told = release("refresh", repo, "--within", "31d", "--json")
    assert {r["role"] for r in told["ending"]} == {"snapshot", "people", "people/people.json"}
    # The host has the timestamp's key alone, and that without a passphrase.
    host = vendor / "host"
    host.mkdir()
    shutil.copy(vendor / "keys/timestamp.key", host)
    before = told["snapshot"]
    release("keys", "passphrase", host / "timestamp.key", "--no-passphrase")
    done = subprocess.run([BUILD / "bin/mainstay-release", "refresh", repo, "--keys", host, "--json"], check=True,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, start_new_session=True)
    assert json.loads(done.stdout)["snapshot"] == before
    assert client(vendor) == 0
    assert contents(repo)["tuf/timestamp.json"]
    assert run("keys", "list", "--keys", host).returncode == 0
