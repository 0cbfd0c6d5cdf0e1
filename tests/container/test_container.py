"""The image of packaging/oci, with the options that its README names, under podman; and the manifest of packaging/kubernetes.

A vendor on loopback, whose site is a container: enrolment, a service, an operation, a crash, an upgrade of the image.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from estate import BUILD, SITE, Estate, until  # noqa: E402

missing = [tool for tool in ("podman", "runc", "mmdebstrap") if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or bool(missing), reason=f"needs root and {' '.join(missing) or 'podman'}")

# What a machine without CAP_SYS_RESOURCE, or with both versions of control groups, needs of podman; ours are not it.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


def options():
    """Of `podman run` in the README, without its names."""
    with open(os.path.join(ROOT, "packaging", "oci", "README.md")) as f:
        line = re.search(r"^podman run -d --name mainstay (.*?)\\\n", f.read(), re.M)
    return line[1].split()


class Podman:
    def __init__(self, folder):
        self.folder = folder
        conf = os.path.join(folder, "containers.conf")
        with open(conf, "w") as f:
            f.write(CONTAINERS_CONF)
        self.env = dict(os.environ, CONTAINERS_CONF=conf)

    def __call__(self, *argv, code=0, stdin=None, timeout=300):
        done = subprocess.run(["podman", "--root", os.path.join(self.folder, "store"), "--runroot",
                               os.path.join(self.folder, "run"), *argv], input=stdin, capture_output=True, text=True,
                              timeout=timeout, env=self.env)
        assert code is None or done.returncode == code, f"podman {argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def build(self, tag):
        deb, = glob.glob(os.path.join(BUILD, "deb", "mainstay_*.deb"))
        if self("image", "exists", "localhost/base", code=None).returncode:
            tar = subprocess.run([os.path.join(HERE, "base"), deb], check=True, stdout=subprocess.PIPE, text=True).stdout
            self("import", tar.strip(), "localhost/base")
        self("build", "--network", "none", "--build-arg", "BASE=localhost/base", "-f",
             os.path.join(ROOT, "packaging", "oci", "Containerfile"), "-t", tag, os.path.join(BUILD, "deb"))


@pytest.fixture(scope="module", name="podman")
def a_podman(tmp_path_factory):
    os.environ.setdefault("MAINSTAY_E2E_SHARED", str(tmp_path_factory.mktemp("shared")))
    p = Podman(tempfile.mkdtemp(prefix="mainstay-c."))  # podman takes no longer path
    try:
        p.build("localhost/mainstay")
        yield p
    finally:
        p("rm", "-fa", code=None)
        p("system", "reset", "--force", code=None)
        subprocess.run(["umount", "-l", os.path.join(p.folder, "store", "overlay")], capture_output=True, check=False)
        shutil.rmtree(p.folder, ignore_errors=True)


class Contained(Estate):
    """Its site is a container, reached by `podman exec`; the estate's folder lies at the same place in it."""

    def __init__(self, podman):
        super().__init__("container")
        self.podman = podman

    def start_site(self):
        self.podman("run", "-d", "--name", "mainstay", "--network", "host", *options(), "-v", "mainstay-etc:/etc/mainstay",
                    "-v", "mainstay-lib:/var/lib/mainstay", "-v", f"{self.dir}:{self.dir}:ro", "localhost/mainstay")
        until("it answers", lambda: self.mainstay("status", code=None).returncode == 0)

    def mainstay(self, *argv, code=0, **kw):
        return self.podman("exec", "-i", "mainstay", "mainstay", *argv, code=code, **kw)

    def policy(self, text=None):
        file = self.path("policy.yaml")
        with open(file, "w") as f:
            f.write(f"v: 1\napprovers: [{{name: olga, key: \"{self.ssh_key('olga')}\"}}]\n"
                    "rules:\n  - {services: [redis], operations: [ping], decision: allow}\n")
        self.mainstay("policy", "apply", file)

    def __exit__(self, *args):
        self.podman("rm", "-f", "-t", "5", "mainstay", code=None)
        super().__exit__(*args)


@pytest.fixture(scope="module", name="estate")
def an_estate(podman):
    with Contained(podman) as e:
        e.begin()
        e.install_redis()
        yield e


def ping(estate):
    done = estate.desk_json("run", SITE, "redis", "ping", "--reason", "r", "--ticket", "T-1", "--wait", "60s")
    return done["result"]["outcome"], done["result"]["stdout"]


def test_walls_stand_in_a_container(estate):
    status = estate.status()
    assert set(status["enforced"]) >= {"no-new-privs", "rlimits", "seccomp", "separate-uids", "netns", "pid-namespaces"}
    found = {i["check"]: i for i in json.loads(estate.mainstay("doctor", "--json", code=None).stdout.splitlines()[0])["items"]}
    assert found["namespaces"]["ok"] and found["hub"]["ok"] and found["tools"]["ok"]


def test_an_operation_runs_in_it(estate):
    assert ping(estate) == ("ok", "PONG\n")


def test_it_goes_on_after_a_crash_and_after_an_upgrade(estate, podman):
    """With the same volumes the next container is the same site, with its keys, its log and its service."""
    before = estate.status()
    podman("kill", "--signal", "KILL", "mainstay")
    podman("start", "mainstay")
    until("Redis passes again", lambda: estate.service("redis")["health"] == "passing")
    podman("stop", "-t", "30", "mainstay")
    podman("rm", "mainstay")
    podman.build("localhost/mainstay")
    estate.start_site()
    until("Redis passes again", lambda: estate.service("redis")["health"] == "passing")
    after = estate.status()
    assert after["appliance"]["site"] == SITE and after["enrolled"] and after["switches"] == before["switches"]
    assert after["audit"]["size"] >= before["audit"]["size"]
    estate.mainstay("audit", "verify")
    # A new life of this state: what is allowed without asking waits until the desk knows of it.
    until("a ping", lambda: ping(estate) == ("ok", "PONG\n"))


def test_without_namespaces_it_says_what_is_missing(podman):
    """Refused, not weakened: no service would start, and doctor says what to give it."""
    podman("run", "-d", "--name", "bare", "--network", "none", "localhost/mainstay")
    try:
        until("it answers", lambda: podman("exec", "bare", "mainstay", "status", code=None).returncode == 0)
        said = podman("exec", "bare", "mainstay", "doctor", code=1).stdout
        assert re.search(r"^namespaces +BAD +no program runs in a sandbox here; .*container", said, re.M)
        assert "pid-namespaces" in podman("exec", "bare", "mainstay", "status").stdout.split("not enforced")[1]
    finally:
        podman("rm", "-f", "-t", "5", "bare")


def test_the_manifest_gives_it_what_the_readme_names(podman, tmp_path):
    """Its pod, as podman plays it: no registry, no cluster.  podman knows no procMount, so what wants a whole /proc is not seen here."""
    with open(os.path.join(ROOT, "packaging", "kubernetes", "mainstay.yaml")) as f:
        kinds = {d["kind"]: d for d in yaml.safe_load_all(f)}
    assert set(kinds) == {"Namespace", "NetworkPolicy", "StatefulSet"}
    assert "ingress" not in kinds["NetworkPolicy"]["spec"] and "Ingress" in kinds["NetworkPolicy"]["spec"]["policyTypes"]
    spec = kinds["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    allowed = pod["containers"][0]["securityContext"]
    assert allowed == {"procMount": "Unmasked", "capabilities": {"add": ["SYS_ADMIN"]}}
    assert options() == ["--cap-add", "SYS_ADMIN", "--security-opt", "unmask=ALL"]
    assert pod["automountServiceAccountToken"] is False and pod["hostUsers"] is False and "hostNetwork" not in pod
    assert {m["name"] for m in pod["containers"][0]["volumeMounts"]} == {c["metadata"]["name"]
                                                                          for c in spec["volumeClaimTemplates"]}
    pod["volumes"] = [{"name": n, "persistentVolumeClaim": {"claimName": f"pod-{n}"}} for n in ("etc", "lib")]
    pod["containers"][0]["image"] = "localhost/mainstay"
    del pod["hostUsers"]  # podman would want ranges of subordinate ids of this machine
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cluster"}, "spec": pod}))
    podman("kube", "play", "--network", "none", str(file))
    try:
        until("it answers", lambda: podman("exec", "cluster-mainstay", "mainstay", "status", code=None).returncode == 0)
        said = podman("exec", "cluster-mainstay", "mainstay", "doctor", code=None).stdout
        assert re.search(r"^netns +ok", said, re.M) and re.search(r"^separate-uids +ok", said, re.M), said
    finally:
        podman("kube", "down", str(file), code=None)
