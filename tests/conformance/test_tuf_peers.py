"""TUF repositories that others made, and ours before others' clients.

Stored ones: sigstore's chain of roots, tuf-on-ci, python-tuf.  From npm (without node, npm or a registry it says that it
skips): tuf-js reads what mainstay-release made, our client reads what @tufjs/models made."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from tuf_repository import OWN, Client, Key, Repository, Server, needs_faketime

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(os.environ.get("VECTORS", os.path.join(HERE, "..", "..", "..", "shared", "vectors")), "tuf")
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from vendor import make_vendor, publish, tiny  # noqa: E402

stored = pytest.mark.skipif(not os.path.isdir(VECTORS) or needs_faketime(), reason="vectors tuf or faketime are absent")


class Folder:
    """A repository as files: of a URL's path, what lies below the folder that its first name stands for."""

    def __init__(self, **folders):
        self.folders, self.asked, self.also = folders, [], {}  # also: a path, and where it lies instead
        self.files = self

    def get(self, path, default=None):
        name, _, rest = path.partition("/")
        file = os.path.join(self.folders[name], self.also.get(rest, rest))
        if not os.path.isfile(file):
            return default
        with open(file, "rb") as f:
            return f.read()


@pytest.fixture(scope="module", name="server")
def fixture_server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module", name="npm")
def fixture_npm(tmp_path_factory):
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is absent")
    folder = tmp_path_factory.mktemp("npm-tuf")
    for name in ("package.json", "package-lock.json", "peer.js"):
        shutil.copy(os.path.join(HERE, "npm-tuf", name), folder)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, timeout=120,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("npm gets no tuf-js: " + done.stderr.strip().splitlines()[-1])

    def peer(**job):
        done = subprocess.run(["node", "peer.js", json.dumps(job)], cwd=folder, timeout=60, capture_output=True,
                              text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    return peer


def client_of(tmp_path, server, root, **folders):
    with open(root, "rb") as f:
        return Client(str(tmp_path), server, Folder(**folders), trust=f.read())


def kept_version(client, role):
    return json.loads(client.kept(role))["signed"]["version"]


# --- stored -----------------------------------------------------------------------------------------------------------
@stored
def test_the_chain_of_sigstores_roots(tmp_path, server):
    at = os.path.join(VECTORS, "static_data", "sigstore-root-signing")
    # The first four are no metadata of today: fractions of seconds in their dates, keys that are bare points.
    for n in range(1, 5):
        os.makedirs(tmp_path / str(n))
        assert client_of(tmp_path / str(n), server, f"{at}/metadata/{n}.root.json").started == 1
    os.makedirs(tmp_path / "5")
    c = client_of(tmp_path / "5", server, at + "/metadata/5.root.json", metadata=at + "/metadata")
    assert c.started == 0
    assert c.refresh(time="2025-02-09 12:02:08 UTC") == 1  # there is no timestamp beside the roots
    assert c.asked() == [f"{n}.root.json" for n in range(6, 14)] + ["timestamp.json"]
    assert kept_version(c, "root") == 12


@stored
def test_a_repository_of_tuf_on_ci(tmp_path, server):
    at = os.path.join(VECTORS, "static_data", "tuf-on-ci-0.11")
    c = client_of(tmp_path, server, at + "/initial_root.json", metadata=at + "/metadata", targets=at + "/targets")
    then = "2025-02-09 09:17:23 UTC"
    assert c.refresh(time=then) == 0
    assert c.download("delegatedrole/artifact", time=then) == 0
    assert len(c.files()) == 1 and "delegatedrole.json" in c.roles()
    assert c.refresh(time="2099-12-31 00:00:00 UTC") == 1


@stored
def test_a_repository_of_python_tuf_with_rsa_and_without_consistent_snapshots(tmp_path, server):
    at = os.path.join(VECTORS, "python-tuf", "repository_data", "repository")
    c = client_of(tmp_path, server, at + "/metadata/root.json", metadata=at + "/metadata", targets=at + "/targets")
    assert c.started == 0
    assert c.refresh(time="2026-01-01 00:00:00 UTC") == 0
    assert c.download("file1.txt", "file2.txt", "file3.txt", time="2026-01-01 00:00:00 UTC") == 0
    assert len(c.files()) == 3 and c.roles() == sorted(r + ".json" for r in [*OWN, "role1"])
    assert c.refresh(time="2031-01-01 00:00:00 UTC") == 1


@stored
def test_python_tufs_names_of_roles_that_are_fishy(tmp_path, server):
    at = os.path.join(VECTORS, "python-tuf", "repository_data", "fishy_rolenames")
    c = client_of(tmp_path, server, at + "/metadata/1.root.json", metadata=at + "/metadata", targets=at + "/metadata")
    c.repository.also = {"1...%2Fa.json": "../1.a.json", "1.%C3%B6.json": "1.\u00f6.json"}
    assert c.download("nothing", time="2026-01-01 00:00:00 UTC") == 1 and "no role of the repository" in c.error
    assert c.asked()[-3:] == ["1...%2Fa.json", "1...json", "1.%C3%B6.json"]
    assert c.roles() == sorted([r + ".json" for r in OWN] + ["..%2Fa.json", "..json", "%C3%B6.json"])


# --- tuf-js -----------------------------------------------------------------------------------------------------------
def job_of(tmp_path, c, root, *names):
    for name in ("js-metadata", "js-targets"):
        os.makedirs(tmp_path / name, exist_ok=True)
    return {"do": "client", "root": str(root), "metadata": str(tmp_path / "js-metadata"), "target_dir": str(tmp_path / "js-targets"),
            "metadata_url": c + "metadata", "targets_url": c + "targets", "names": list(names)}


def test_tuf_js_reads_what_mainstay_release_makes(tmp_path, server, npm):
    vendor = make_vendor(tmp_path)
    tiny(vendor / "tiny")
    target = publish(vendor, vendor / "tiny")["target"]
    repo = vendor / "repo/tuf"
    base = server.mount(Folder(metadata=repo, targets=repo / "targets"))
    said = npm(**job_of(tmp_path, base, repo / "1.root.json", target, "people/people.json", "services/none/1/index.json"))
    assert "error" not in said, said
    assert said["files"]["services/none/1/index.json"] is None
    with open(said["files"][target], "rb") as theirs, open(vendor / "built/index.json", "rb") as ours:
        assert theirs.read() == ours.read()
    assert said["files"]["people/people.json"]
    os.makedirs(tmp_path / "ours")
    c = client_of(tmp_path / "ours", server, repo / "1.root.json", metadata=repo, targets=repo / "targets")
    assert c.download(target, "people/people.json") == 0 and c.download("services/none/1/index.json") == 1


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_our_client_reads_what_tufjs_models_makes(tmp_path, server, npm, kind):
    at = tmp_path / "made"
    said = npm(do="make", folder=str(at), kind=kind, target="team/file.txt", other="other.txt", data="of the team \u00e9\n")
    assert said == {}
    os.makedirs(tmp_path / "ours")
    c = client_of(tmp_path / "ours", server, at / "metadata/1.root.json", metadata=at / "metadata", targets=at / "targets")
    assert c.started == 0 and c.refresh() == 0
    assert c.download("team/file.txt", "other.txt") == 0
    assert c.files() == ["of the team \u00e9\n".encode()] * 2
    assert c.download("team/none") == 1 and c.roles() == sorted(r + ".json" for r in [*OWN, "team"])
    theirs = npm(**job_of(tmp_path, c.base, at / "metadata/1.root.json", "team/file.txt"))
    assert "error" not in theirs, theirs


def test_both_refuse_what_one_root_key_of_two_signed(tmp_path, server, npm):
    repo, keys = Repository(), [Key(), Key()]
    repo.next_root(keys, threshold=2)
    repo.next_root(keys, threshold=2, by=keys[:1])
    os.makedirs(tmp_path / "ours")
    c = Client(str(tmp_path / "ours"), server, repo)
    assert c.refresh() == 1 and kept_version(c, "root") == 2
    (tmp_path / "root").write_bytes(repo.files["metadata/1.root.json"])
    said = npm(**job_of(tmp_path, c.base, tmp_path / "root"))
    assert "error" in said and json.loads((tmp_path / "js-metadata/root.json").read_bytes())["signed"]["version"] == 2
