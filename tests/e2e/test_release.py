"""mainstay-release from keys to a verified repository, and what it refuses."""

import hashlib
import json
import os
import random
import re
import shlex
import shutil
import stat
import subprocess
import tempfile

import pytest

from vendor import BUILD, REFUSAL, ROOT, TINY, make_vendor, people, publish, refused, release, run, ssh_key, tiny

REDIS = ROOT / "packaging/services/redis"


@pytest.fixture(name="vendor")
def a_vendor(tmp_path):
    return make_vendor(tmp_path)


def test_keys_are_private_and_never_replaced(tmp_path):
    release("keys", "new", "--dir", tmp_path / "k", "--root", "2", "--officers", "1")
    names = sorted(p.name for p in (tmp_path / "k").iterdir())
    assert names == ["officer-1.key", "root-1.key", "root-2.key", "snapshot.key", "targets.key", "timestamp.key"]
    before = {p.name: p.read_bytes() for p in (tmp_path / "k").iterdir()}
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in (tmp_path / "k").iterdir())
    (tmp_path / "k/root-1.key").unlink()
    assert "[conflict]" in release("keys", "new", "--dir", tmp_path / "k", code=1)
    del before["root-1.key"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "k").iterdir()} == before


def test_the_whole_way_with_redis(vendor):
    done = publish(vendor, REDIS)
    assert done["target"].startswith("services/redis/") and done["counter"] == 1
    seen = release("verify", vendor / "repo", "--json")
    assert seen["releases"] == 1 and seen["people"] == 1 and seen["objects"] > 10
    index = json.loads((vendor / "built/index.json").read_text())
    paths = {e["path"]: e for e in index["entries"]}
    assert paths["usr/bin/redis-server"]["mode"] == "0755"
    assert all(not e.get("target", "").startswith("/") for e in index["entries"])
    # The tree runs without anything of this machine but the kernel.
    tree = vendor / "tree"
    for e in index["entries"]:
        at = tree / e["path"]
        at.parent.mkdir(parents=True, exist_ok=True)
        if e["type"] == "dir":
            at.mkdir(exist_ok=True)
        elif e["type"] == "link":
            at.symlink_to(e["target"])
        else:
            sha = e["sha256"]
            with open(at, "wb") as f:
                subprocess.run(["zstd", "-dcq", vendor / f"repo/objects/{sha[:2]}/{sha}.zst"], stdout=f, check=True)
            at.chmod(int(e["mode"], 8))
    out = subprocess.run(["bwrap", "--unshare-all", "--bind", tree, "/", "--clearenv", "/usr/bin/redis-server",
                          "--version"], capture_output=True, text=True, check=True).stdout
    assert "Redis server v=" + index["version"] in out


def test_the_same_input_gives_the_same_bytes(tmp_path):
    """Other folders, times, modes, order on disk, umask, zone, language, user: not a byte of it is in the release."""
    tiny(tmp_path / "a")
    for n in range(20):
        (tmp_path / f"a/tree/bin/{n}").write_text(str(n))
    (tmp_path / "b").mkdir()
    for path in sorted((tmp_path / "a").rglob("*"), key=lambda p: (len(p.parts), str(p)), reverse=True):
        to = tmp_path / "b" / path.relative_to(tmp_path / "a")
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            shutil.copy(path, to)
    for path in (tmp_path / "b").rglob("*"):
        os.utime(path, (1, 1))
        if path.is_dir() or path.name != "run":
            path.chmod(0o700 if path.is_dir() else 0o600)
    other = {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TMPDIR": str(tmp_path)}
    release("build", tmp_path / "a", "-o", tmp_path / "1")
    assert run("build", tmp_path / "b", "-o", tmp_path / "2", env=other,
               inside=("sh", "-c", 'umask 077; exec "$@"', "-")).returncode == 0
    release("build", REDIS, "-o", tmp_path / "3")
    assert run("build", REDIS, "-o", tmp_path / "4", env=other).returncode == 0
    same = [("1", "2"), ("3", "4")]
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    # Where others may come at all to the checkout that is tested.
    if os.geteuid() == 0 and run("--version", inside=nobody).returncode == 0:
        with tempfile.TemporaryDirectory() as mine:
            os.chown(mine, 65534, 65534)
            shutil.copytree(REDIS, mine + "/redis")
            p = run("build", mine + "/redis", "-o", mine + "/5", inside=nobody)
            assert p.returncode == 0, p.stderr
            shutil.move(mine + "/5", tmp_path / "5")
        same.append(("3", "5"))
    for one, two in same:
        files = sorted(p.relative_to(tmp_path / one) for p in (tmp_path / one).rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(tmp_path / two) for p in (tmp_path / two).rglob("*") if p.is_file())
        assert all((tmp_path / one / f).read_bytes() == (tmp_path / two / f).read_bytes() for f in files)


def test_whether_a_machine_builds_the_same_again(vendor):
    tiny(vendor / "tiny")
    built = vendor / "built"
    release("build", vendor / "tiny", "-o", built, "--builder", "https://b.example.com/", "--channel", "beta",
            env={"SOURCE_DATE_EPOCH": "1700000000"})
    release("sign", built, "--key", vendor / "keys/targets.key")
    scratch = vendor / "scratch"
    scratch.mkdir()
    env = {"TMPDIR": str(scratch)}

    def differences(folder=vendor / "tiny"):
        p = run("build", folder, "--check", built, "--json", env=env)
        assert p.returncode == 1 and REFUSAL.findall(p.stderr) == ["altered"], p.stderr
        assert not list(scratch.iterdir())
        return {i["what"]: (i["built"], i["here"]) for i in json.loads(p.stdout)["items"]}

    said = release("build", vendor / "tiny", "--check", built, env=env)
    assert "byte for byte" in said and not list(scratch.iterdir())
    assert release("build", vendor / "tiny", "--check", built, "--json", env=env)["items"] == []
    # Another script, one file more, one gone, another mode.
    shutil.copytree(vendor / "tiny", vendor / "other", symlinks=True)
    (vendor / "other/tree/bin/run").write_text("#!/bin/sh\nexit 1\n")
    (vendor / "other/tree/more").write_text("")
    found = differences(vendor / "other")
    assert set(found) == {"entry bin/run", "entry more"} and found["entry more"][0] == "none"
    assert found["entry bin/run"][0].startswith("file 0755 ")
    # The tree is the same, and what is said of it is not.
    statement = (built / "release.json").read_text()
    sbom = (built / "sbom.spdx.json").read_text()
    (built / "sbom.spdx.json").write_text(sbom.replace("mainstay-release", "another-release"))
    assert set(differences()) == {"file sbom.spdx.json"}
    (built / "sbom.spdx.json").write_text(sbom.replace('"packages":[', '"packages":[{"name":"x","versionInfo":"1"},'))
    assert differences() == {"package tiny": ("1.0", "none")}
    (built / "sbom.spdx.json").write_text(sbom)
    (built / "release.json").write_text(statement.replace('"v":1', '"v":2'))
    assert set(differences()) == {"release.json"}
    check = ("build", vendor / "tiny", "--check", built)
    (built / "release.json").write_text(statement.replace('"beta"', '""'))
    refused("malformed", "does not say how the release was built", built, *check)
    (built / "release.json").unlink()
    refused("not-found", "this is no built release", built, *check)
    (built / "release.json").write_text(statement)
    (built / "index.json").rename(vendor / "index.json")
    refused("not-found", "index.json: is not there", built, *check)
    refused("not-found", "is no built release", built, "build", vendor / "tiny", "--check", vendor / "none")
    refused("usage", "leave out -o", built, *check, "-o", vendor / "x")
    refused("usage", "-o: is missing", built, "build", vendor / "tiny")


def test_what_a_release_is_said_to_be(tmp_path):
    """The definition's class, where the command names none."""
    tiny(tmp_path / "tiny")
    rows = [("", (), "service"), ("class: core\n", (), "core"), ("class: core\n", ("--class", "service"), "service")]
    text = (tmp_path / "tiny/service.yaml").read_text()
    for more, options, said in rows:
        (tmp_path / "tiny/service.yaml").write_text(text + more)
        release("build", tmp_path / "tiny", "-o", tmp_path / "built", *options)
        custom = json.loads((tmp_path / "built/release.json").read_text())["signed"]["custom"]
        assert custom["class"] == said


def test_only_signed_releases_are_published(vendor):
    tiny(vendor / "tiny")
    release("build", vendor / "tiny", "-o", vendor / "built")
    before = (vendor / "repo/tuf/timestamp.json").read_bytes()
    to = ("--to", vendor / "repo", "--keys", vendor / "keys")
    assert "[threshold]" in release("publish", vendor / "built", *to, code=1)
    release("sign", vendor / "built", "--key", vendor / "keys/snapshot.key")
    assert "[threshold]" in release("publish", vendor / "built", *to, code=1)
    release("sign", vendor / "built", "--key", vendor / "keys/targets.key")
    signed = (vendor / "built/release.json").read_text()
    (vendor / "built/release.json").write_text(signed.replace('"stable"', '"stablf"'))
    assert "[bad-signature]" in release("publish", vendor / "built", *to, code=1)
    (vendor / "built/release.json").write_text(signed)
    index = (vendor / "built/index.json").read_text()
    (vendor / "built/index.json").write_text(index.replace('"0755"', '"0555"'))
    assert "[hash-mismatch]" in release("publish", vendor / "built", *to, code=1)
    assert "[hash-mismatch]" in release("sign", vendor / "built", "--key", vendor / "keys/targets.key", code=1)
    (vendor / "built/index.json").write_text(index)
    lost = next((vendor / "built/objects").rglob("*.zst"))
    lost.rename(vendor / "lost")
    assert "[not-found]" in release("publish", vendor / "built", *to, code=1)
    assert (vendor / "repo/tuf/timestamp.json").read_bytes() == before
    (vendor / "lost").rename(lost)
    release("publish", vendor / "built", *to)
    # Again is nothing new; another tree of the same version is refused.
    after = (vendor / "repo/tuf/timestamp.json").read_bytes()
    assert "is published already, counter 1: nothing changed" in release("publish", vendor / "built", *to)
    assert (vendor / "repo/tuf/timestamp.json").read_bytes() == after
    (vendor / "tiny/tree/bin/more").write_text("")
    release("build", vendor / "tiny", "-o", vendor / "again")
    release("sign", vendor / "again", "--key", vendor / "keys/targets.key")
    assert "[conflict]" in release("publish", vendor / "again", *to, code=1)
    assert publish(vendor, tiny(vendor / "next", "1.1"), "third")["counter"] == 2


def test_unsafe_trees_are_refused(tmp_path):
    def setuid(tree):
        (tree / "bin/run").chmod(0o4755)

    def out(tree):
        (tree / "passwd").symlink_to("../../etc/passwd")

    def absolute(tree):
        (tree / "passwd").symlink_to("/etc/passwd")

    def pipe(tree):
        os.mkfifo(tree / "pipe")

    def case(tree):
        (tree / "bin/RUN").write_text("")

    def control(tree):
        (tree / "a\nb").write_text("")

    for n, spoil in enumerate((setuid, out, absolute, pipe, case, control)):
        folder = tiny(tmp_path / str(n))
        spoil(folder / "tree")
        said = release("build", folder, "-o", tmp_path / f"out{n}", code=1)
        assert "[unsafe-tree]" in said, spoil.__name__
        assert not (tmp_path / f"out{n}/index.json").exists()


def test_definitions_are_refused_with_their_place(tmp_path):
    folder = tiny(tmp_path / "a")
    (folder / "service.yaml").write_text(TINY + "knobs:\n  port:\n    type: int\n    defualt: 1\n")
    said = release("build", folder, "-o", tmp_path / "o", code=1)
    assert "service.yaml:10:5" in said and "knobs.port.defualt" in said and "[unknown-field]" in said
    (folder / "service.yaml").write_text(TINY.replace("/bin/run]", "/bin/other]", 1))
    assert "[not-found]" in release("build", folder, "-o", tmp_path / "o", code=1)
    (folder / "service.yaml").unlink()
    assert "[not-found]" in release("build", folder, "-o", tmp_path / "o", code=1)


def test_people_need_two_officers(vendor):
    repo, keys = vendor / "repo", vendor / "keys"
    doc, role = people(vendor)
    assert [e["name"] for e in doc["engineers"]] == ["ada"] and doc["version"] == 1
    assert doc["engineers"][0]["key"] == " ".join((vendor / "ada.pub").read_text().split()[:2])
    ssh_key(vendor / "bob")
    assert "[usage]" in release("people", "set", repo, "--name", "bob", code=2)
    release("people", "set", repo, "--name", "bob", "--key", vendor / "bob.pub", "--roles", "support",
            "--customers", "*", "--until", "90d")
    release("people", "set", repo, "--name", "ada", "--revoke", "--reason", "laptop stolen")
    signed = release("people", "sign", repo, "--key", keys / "officer-1.key", "--json")
    assert signed["signed"] == 1 and signed["published"] == 0
    assert people(vendor)[0] == doc
    assert release("people", "sign", repo, "--key", keys / "officer-1.key", "--json")["signed"] == 1
    assert "[unknown-key]" in release("people", "sign", repo, "--key", keys / "targets.key", code=1)
    assert release("people", "sign", repo, "--key", keys / "officer-3.key", "--json")["published"] == 2
    doc, role = people(vendor)
    assert [e["name"] for e in doc["engineers"]] == ["bob"]
    assert doc["revoked"][0]["reason"] == "laptop stolen" and len(role["signatures"]) == 2
    # A later change of the draft drops the signatures on the one before.
    release("people", "set", repo, "--name", "bob", "--roles", "support,rollout")
    release("people", "sign", repo, "--key", keys / "officer-1.key")
    release("people", "set", repo, "--name", "bob", "--roles", "support")
    assert release("people", "sign", repo, "--key", keys / "officer-2.key", "--json")["signed"] == 1
    assert "[not-found]" in release("people", "set", repo, "--name", "eve", "--revoke", code=1)
    release("verify", repo)


def test_a_draft_travels_to_the_officers(vendor, tmp_path):
    """Two officers sign on machines of their own, which hold a key and the draft and nothing else."""
    repo, draft = vendor / "repo", vendor / "draft.json"
    for name in ("bob", "eve"):
        ssh_key(vendor / name)
        release("people", "set", repo, "--name", name, "--key", vendor / (name + ".pub"), "--roles", "support",
                "--customers", "*")
    release("people", "set", repo, "--name", "eve", "--revoke")
    release("people", "sign", repo, "--out", draft)
    for n in (2, 3):
        away = tmp_path / f"officer-{n}"
        away.mkdir()
        shutil.copy(vendor / f"keys/officer-{n}.key", away / "own.key")
        shutil.move(draft, away / "draft.json")
        said = release("people", "sign", away / "draft.json", "--key", away / "own.key")
        assert "bob" in said and "support for *" in said and "people version 2" in said
        assert "its signatures: version 2" in said and said.count("officer, key") == 3 and "\nrevoked  " in said
        shutil.copy(away / "draft.json", draft)
        # Each comes back alone: the first is one of two, the second is enough.
        state = release("people", "sign", repo, "--in", draft, "--json")
        assert (state["signed"], state["published"]) == ((1, 0) if n == 2 else (2, 2))
    doc, role = people(vendor)
    assert [e["name"] for e in doc["engineers"]] == ["ada", "bob"] and len(role["signatures"]) == 2
    release("verify", repo)


def test_what_a_publish_that_was_cut_off_had_begun_goes_with_the_next(vendor):
    """And what clients were told of stays."""
    begun = [vendor / "repo" / name for name in ("packs/.tmp.tiny.0", "patches/.tmp.a-b", "objects/ab/.tmp.1", "tuf/.tmp.1",
                                                 "tuf/targets/services/tiny/1.0/.tmp.1")]
    for file in begun:
        os.makedirs(file.parent, exist_ok=True)
        file.write_text("half")
    release("verify", vendor / "repo")
    before = {f for f in (vendor / "repo").rglob("*") if f.is_file()}
    release("refresh", vendor / "repo")
    after = {f for f in (vendor / "repo").rglob("*") if f.is_file()}
    assert before - after == set(begun)


def test_any_changed_byte_is_found(vendor):
    publish(vendor, tiny(vendor / "tiny"))
    publish(vendor, tiny(vendor / "tiny2", "1.1"), "built2")
    release("refresh", vendor / "repo")
    release("verify", vendor / "repo")
    rng = random.Random(int(os.environ.get("SEED", "1")))
    files = [p for p in (vendor / "repo").rglob("*") if p.is_file()]
    assert len(files) > 15
    for path in files:
        data = path.read_bytes()
        for at in rng.sample(range(len(data)), min(6, len(data))):
            bad = bytearray(data)
            bad[at] ^= 1 << rng.randrange(8)
            path.write_bytes(bad)
            found = run("verify", vendor / "repo")  # a root that changed may be refused once a key and then whole
            assert found.returncode == 1 and REFUSAL.search(found.stderr), (path, at, found.stderr)
        path.write_bytes(data)
    release("verify", vendor / "repo")
    (vendor / "repo/tuf/extra.json").write_text("{}")
    assert "[altered]" in release("verify", vendor / "repo", code=1)
    (vendor / "repo/tuf/extra.json").unlink()
    gone = next((vendor / "repo/objects").rglob("*.zst"))
    gone.unlink()
    assert "[not-found]" in release("verify", vendor / "repo", code=1)


def test_an_old_timestamp_is_a_freeze(vendor):
    release("refresh", vendor / "repo", "--valid", "1ms")
    assert "[freeze]" in release("verify", vendor / "repo", code=1)
    # What has expired can still be brought up to date.
    release("refresh", vendor / "repo")
    release("verify", vendor / "repo")


def test_keys_are_found_beside_the_repository(vendor):
    release("refresh", vendor / "repo")
    (vendor / "keys").rename(vendor / "safe")
    assert "[not-found]" in release("refresh", vendor / "repo", code=1)
    release("refresh", vendor / "repo", env={"MAINSTAY_KEYS": str(vendor / "safe")})
    (vendor / "safe/timestamp.key").unlink()
    before = (vendor / "repo/tuf/timestamp.json").read_bytes()
    assert "[unknown-key]" in release("refresh", vendor / "repo", "--keys", vendor / "safe", code=1)
    assert (vendor / "repo/tuf/timestamp.json").read_bytes() == before


def test_a_card_is_signed_by_the_root(vendor):
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    facts = {"v": 1, "name": "vendor", "url": "https://127.0.0.1:1", "reply": key,
             "witness": {"name": "vendor.example", "key": key}, "director": key}
    (vendor / "facts.json").write_text(json.dumps(facts))
    made = release("card", vendor / "repo", "--hub", vendor / "facts.json", "-o", vendor / "vendor.card", "--json")
    card = json.loads((vendor / "vendor.card").read_text())
    assert made["fingerprint"].startswith("sha256:") and len(card["signatures"]) >= 2
    assert card["signed"]["root"]["signed"]["_type"] == "root" and card["signed"]["officers"]["threshold"] == 2
    assert made == release("card", vendor / "repo", "--hub", vendor / "facts.json", "-o", vendor / "vendor.card",
                           "--json")
    assert "[too-large]" in release("card", vendor / "repo", "--hub", vendor / "facts.json", "-o", vendor / "other.card",
                                    *["--witness", "w.example " + key] * 9, code=1)
    assert not (vendor / "other.card").exists()
    for name in ("root-1.key", "root-2.key"):
        (vendor / "keys" / name).unlink()
    assert "[threshold]" in release("card", vendor / "repo", "--hub", vendor / "facts.json", "-o",
                                    vendor / "other.card", code=1)


def test_a_second_init_is_refused(vendor):
    before = (vendor / "repo/tuf/1.root.json").read_bytes()
    assert "[conflict]" in release("init", vendor / "repo", "--root-keys", "2of3", "--keys", vendor / "keys", code=1)
    assert "[unknown-key]" in release("init", vendor / "other", "--root-keys", "2of5", "--keys", vendor / "keys",
                                      code=1)
    assert "[usage]" in release("init", vendor / "third", "--root-keys", "4of3", "--keys", vendor / "keys", code=2)
    assert (vendor / "repo/tuf/1.root.json").read_bytes() == before


def check_spdx(doc, index, objects):
    """An SPDX 2.3 document by the letter of its specification, as far as ours goes, and against the files."""
    assert doc["spdxVersion"] == "SPDX-2.3" and doc["dataLicense"] == "CC0-1.0" and doc["SPDXID"] == "SPDXRef-DOCUMENT"
    assert re.fullmatch(r"https://\S+", doc["documentNamespace"]) and "#" not in doc["documentNamespace"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", doc["creationInfo"]["created"])
    assert all(re.match(r"(Tool|Person|Organization): ", c) for c in doc["creationInfo"]["creators"])
    ids = [x["SPDXID"] for x in doc["packages"] + doc["files"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    known = {*ids, doc["SPDXID"]}
    assert all({r["spdxElementId"], r["relatedSpdxElement"]} <= known for r in doc["relationships"])
    describes = [r for r in doc["relationships"] if r["relationshipType"] == "DESCRIBES"]
    assert [r["relatedSpdxElement"] for r in describes] == ["SPDXRef-Release"]
    refs = {x["licenseId"] for x in doc.get("hasExtractedLicensingInfos", [])}
    for p in doc["packages"]:
        assert p["name"] and p["versionInfo"] and p["downloadLocation"] == "NOASSERTION"
        used = set(p["licenseDeclared"].split(" AND "))
        assert all(re.fullmatch(r"[A-Za-z0-9.+-]+", u) for u in used)
        assert {u for u in used if u.startswith("LicenseRef-")} <= refs
        if p["SPDXID"] != "SPDXRef-Release":
            assert p["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/debian/")
            assert p["filesAnalyzed"] is False and p["supplier"].startswith("Organization: ")
    files = {f["fileName"]: {c["algorithm"]: c["checksumValue"] for c in f["checksums"]} for f in doc["files"]}
    listed = {"./" + e["path"]: e["sha256"] for e in index["entries"] if e["type"] == "file"}
    assert {n: f["SHA256"] for n, f in files.items()} == listed
    sha1 = []
    for name, hashes in files.items():
        sha = hashes["SHA256"]
        data = subprocess.run(["zstd", "-dcq", objects / f"{sha[:2]}/{sha}.zst"], capture_output=True, check=True).stdout
        assert hashlib.sha1(data).hexdigest() == hashes["SHA1"], name
        sha1.append(hashes["SHA1"])
    whole = doc["packages"][0]
    assert whole["SPDXID"] == "SPDXRef-Release" and whole["filesAnalyzed"]
    assert whole["packageVerificationCode"]["packageVerificationCodeValue"] == \
        hashlib.sha1("".join(sorted(sha1)).encode()).hexdigest()


def test_what_a_release_is_made_of_and_how(vendor):
    target = publish(vendor, REDIS)["target"]
    built = vendor / "built"
    index = json.loads((built / "index.json").read_text())
    sbom = json.loads((built / "sbom.spdx.json").read_text())
    check_spdx(sbom, index, built / "objects")
    packages = {p["name"]: p for p in sbom["packages"]}
    assert packages["libc6"]["sourceInfo"].startswith("built from glibc 2.")
    assert "BSD-3-Clause" in packages["redis-server"]["licenseDeclared"]
    libc = packages["libc6"]["SPDXID"]
    brought = {r["relatedSpdxElement"] for r in sbom["relationships"] if r["spdxElementId"] == libc}
    assert {f["fileName"].rsplit("/", 1)[1] for f in sbom["files"] if f["SPDXID"] in brought} >= {"libc.so.6", "libm.so.6"}
    made = json.loads((built / "provenance.json").read_text())
    digest = hashlib.sha256((built / "index.json").read_bytes()).hexdigest()
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert made["subject"] == [{"name": target, "digest": {"sha256": digest}}]
    build = made["predicate"]["buildDefinition"]
    assert build["externalParameters"]["service"] == "redis" and ":" in build["buildType"]
    materials = {m.get("name") or m["uri"]: m for m in build["resolvedDependencies"]}
    assert materials["service.yaml"]["digest"]["sha256"] == \
        hashlib.sha256((REDIS / "service.yaml").read_bytes()).hexdigest()
    assert any(re.fullmatch(r"pkg:deb/debian/libc6@.*\?arch=\w+", m) for m in materials)
    assert "metadata" not in made["predicate"]["runDetails"]
    # Signed targets, beside the index.
    targets = json.loads(max(vendor.glob("repo/tuf/*.targets.json")).read_text())["signed"]["targets"]
    for name in ("sbom.spdx.json", "provenance.json"):
        meta = targets[target.replace("index.json", name)]
        assert meta["hashes"]["sha256"] == hashlib.sha256((built / name).read_bytes()).hexdigest()
    # A time only where one is given; who builds, where it is said.
    release("build", REDIS, "-o", vendor / "timed", "--builder", "https://build.example.com/7",
            env={"SOURCE_DATE_EPOCH": "1700000000"})
    run_details = json.loads((vendor / "timed/provenance.json").read_text())["predicate"]["runDetails"]
    assert run_details == {"builder": {"id": "https://build.example.com/7"},
                           "metadata": {"finishedOn": "2023-11-14T22:13:20Z"}}
    assert json.loads((vendor / "timed/sbom.spdx.json").read_text())["creationInfo"]["created"] == \
        "2023-11-14T22:13:20Z"
    assert (vendor / "timed/index.json").read_bytes() == (built / "index.json").read_bytes()
    assert "[usage]" in release("build", REDIS, "-o", vendor / "x", "--builder", "me", code=2)
    assert "[usage]" in release("build", REDIS, "-o", vendor / "x", code=2, env={"SOURCE_DATE_EPOCH": "now"})
    # What is not what the statement says is neither signed nor published.
    sbom_bytes = (built / "sbom.spdx.json").read_bytes()
    (built / "sbom.spdx.json").write_bytes(sbom_bytes.replace(b"libc6", b"libd6"))
    assert "[hash-mismatch]" in release("sign", built, "--key", vendor / "keys/targets.key", code=1)
    before = (vendor / "repo/tuf/timestamp.json").read_bytes()
    assert "[hash-mismatch]" in release("publish", built, "--to", vendor / "repo", "--keys", vendor / "keys", code=1)
    assert (vendor / "repo/tuf/timestamp.json").read_bytes() == before


# --- what the documents say --------------------------------------------------------------------------------------


def test_the_commands_of_the_readme(tmp_path, monkeypatch):
    """A release engineer's first hour, by the letter."""
    monkeypatch.chdir(tmp_path)
    tiny(tmp_path / "packaging/services/redis")  # any service: this one is built quickly
    ssh_key(tmp_path / "ada")
    block = (ROOT / "updater/README.md").read_text().split("```")[1]
    lines = [shlex.split(line) for line in block.strip().splitlines()]
    assert len(lines) > 10
    for program, *args in lines:
        if program == "mainstay-release":
            release(*args)
        else:
            subprocess.run([BUILD / "bin" / program, *args], check=True, capture_output=True, timeout=20)
    # What cron does, with no passphrase to be had from anybody.
    os.mkdir("host")
    shutil.copy("keys/timestamp.key", "host")
    subprocess.run([BUILD / "bin/mainstay-release", "refresh", "repo", "--keys", "host"], check=True, capture_output=True,
                   stdin=subprocess.DEVNULL, timeout=20, start_new_session=True)
    assert release("verify", "repo", "--json")["releases"] == 1
    release("expiry", "repo")


def test_the_examples_of_help_are_understood(tmp_path, monkeypatch):
    """In a folder with nothing in it they are refused for what is missing, and for nothing that was typed."""
    monkeypatch.chdir(tmp_path)
    seen = 0
    for line in release("--help").split("commands:")[1].split("global options:")[0].strip().splitlines():
        command = re.split(r"  +", line.strip())[0]
        if command == "completion":
            continue  # all programs have it: it has no example of one
        text = release("help", *command.split())
        assert "examples:" in text, command
        for example in text.split("examples:")[1].split("\n\n")[0].replace("\\\n", " ").strip().splitlines():
            program, *args = shlex.split(example)
            assert program == "mainstay-release" and args[:len(command.split())] == command.split()
            said = run(*args).stderr
            assert "[usage]" not in said or "there is no terminal" in said, example
            seen += 1
    assert seen > 30


def test_keys_that_never_lay_together(tmp_path, monkeypatch):
    """One key of each begins; the others come by their public halves, and then no one alone can sign."""
    monkeypatch.chdir(tmp_path)
    own = [a for n in ("root-1", "officer-1", "targets", "snapshot", "timestamp") for a in ("--name", n)]
    release("keys", "new", "--dir", "keys", *own)
    added = [k["public"] for n in ("root-2", "officer-2")
             for k in release("keys", "new", "--dir", n, "--name", n, "--json")["items"]]
    release("init", "repo", "--root-keys", "1of1", "--officers", "1of1")
    said = release("root", "draft", "repo", "--out", "draft.json", "--add", f"root={added[0]}", "--threshold", "root=2")
    assert f"public {added[0]}" in said
    release("root", "sign", "draft.json", "--key", "keys/root-1.key", "--known", "repo/tuf/1.root.json")
    refused("threshold", "1 of 2 signatures of the new root", tmp_path, "root", "publish", "draft.json", "--to", "repo")
    release("root", "sign", "draft.json", "--key", "root-2/root-2.key", "--known", "repo/tuf/1.root.json")
    release("root", "publish", "draft.json", "--to", "repo")
    release("delegate", "people", "--to", "repo", "--add", added[1], "--threshold", "2")
    assert release("verify", "repo", "--json")["root"] == 2
    release("root", "draft", "repo", "--out", "next.json")
    release("root", "sign", "next.json", "--key", "keys/root-1.key")
    refused("threshold", "1 of 2 signatures of the former root", tmp_path, "root", "publish", "next.json", "--to", "repo")
