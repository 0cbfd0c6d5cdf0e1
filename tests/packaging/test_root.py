"""The packages in a minimal Debian root: installed, used, upgraded, removed, purged, where systemd is not PID 1.

With systemd: tests/hosts.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from packages import DEBS, NAMES, ROOT, VERSION, deb, run

MAKER = os.path.join(ROOT, "tests/hosts/root")


class Root:
    """An overlay on the disk that hosts begin with; each command runs in namespaces that end with it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="root.")
        self.root = os.path.join(self.folder, "root")
        upper = os.path.join(self.folder, "upper")
        os.makedirs(self.root)
        os.makedirs(upper)
        run("mount", "-t", "tmpfs", "-o", "mode=755,size=1g", "upper", upper)
        os.makedirs(os.path.join(upper, "disk"))
        os.makedirs(os.path.join(upper, "work"))
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={run(MAKER, 'path', 'base').strip()},"
            f"upperdir={upper}/disk,workdir={upper}/work", self.root)
        for path in DEBS:
            shutil.copy(path, self.path("srv"))

    def close(self):
        run("umount", self.root)
        run("umount", os.path.join(self.folder, "upper"))
        shutil.rmtree(self.folder)

    def path(self, *parts):
        return os.path.join(self.root, *(p.lstrip("/") for p in parts))

    def run(self, script, check=True):
        """What a shell in it said, both streams together."""
        begin = ('mount -t proc proc "$0/proc" && mount -t devpts devpts "$0/dev/pts" 2>/dev/null; '
                 'mount -t tmpfs -o mode=755 run "$0/run" && mount --bind /dev/null "$0/dev/null" 2>/dev/null; '
                 'exec chroot "$0" bash -c "$1"')
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", begin, self.root, script], text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def apt(self, *words):
        return self.run("apt-get -y -q --no-install-recommends " + " ".join(words))

    def install(self, *names):
        return self.apt("install", *(f"/srv/{os.path.basename(deb(n))}" for n in names))


@pytest.fixture
def root():
    lacking = run(MAKER, "missing").strip()
    if lacking:
        pytest.skip(f"no root of its own: {lacking}")
    run(MAKER, "make")
    r = Root()
    yield r
    r.close()


def next_version(root, name):
    """The same package, called a later one."""
    folder = os.path.join(root.folder, name)
    run("dpkg-deb", "-R", deb(name), folder)
    control = os.path.join(folder, "DEBIAN/control")
    text = open(control).read()
    with open(control, "w") as f:
        f.write(re.sub(r"^Version: .*", f"Version: {VERSION}.1", text, flags=re.MULTILINE))
    run("dpkg-deb", "--root-owner-group", "-b", folder, root.path("srv/next.deb"))
    return "/srv/next.deb"


def test_it_installs_says_what_is_next_and_starts_nothing(root):
    said = root.install(*NAMES)
    assert said.count("mainstay enrol --card") == 1 and said.count("mainstay-hubd init --name") == 1
    users = dict(line.split(":")[0:3:2] for line in root.run("getent passwd").splitlines())
    groups = {line.split(":")[0]: line.split(":")[2] for line in root.run("getent group").splitlines()}
    for name in ("mainstay-collect", "mainstay-courier", "mainstay-judge", "mainstay-notify", "mainstay-hub"):
        assert users[name] == groups[name], name  # their groups have their numbers: identity.h
    assert {"mainstay-read", "mainstay-shims"} <= groups.keys()
    modes = root.run("stat -c '%a %U %n' /etc/mainstay /etc/mainstay/off /var/lib/mainstay /var/lib/mainstay-hub").splitlines()
    assert modes == ["755 root /etc/mainstay", "755 root /etc/mainstay/off", "711 root /var/lib/mainstay",
                     "700 mainstay-hub /var/lib/mainstay-hub"]
    assert os.listdir(root.path("etc/mainstay/off")) == [] and not os.path.exists(root.path("etc/mainstay/policy.yaml"))
    for program in ("mainstay", "mainstay-hubd", "mainstay-desk", "mainstay-release"):
        assert root.run(f"{program} --version").strip() == f"{program} {VERSION}"
    assert "mainstay-hubd.service" in os.listdir(root.path("etc/systemd/system/multi-user.target.wants"))


def test_the_hub_is_made_by_root_and_belongs_to_its_user(root):
    root.install("mainstay-hub", "mainstay-release")
    root.run("""cd /root && umask 022 && printf 'correct horse battery staple\n' >pass && chmod 600 pass &&
        mainstay-release keys new --dir keys --passphrase-file pass &&
        mainstay-release init /srv/repo --root-keys 2of3 --keys keys --passphrase-file pass &&
        mainstay-hubd init --name hub --listen 127.0.0.1:8443 --repo /srv/repo --facts facts.json &&
        mainstay-hubd token --customer acme --site a1 --expires 1h >token && mainstay-hubd senders""")
    assert root.run("find /var/lib/mainstay-hub ! -user mainstay-hub") == ""
    assert root.run("stat -c %U /root/facts.json").strip() == "root"
    assert json.load(open(root.path("root/token")))["site"] == "a1"
    said = root.run("""mainstay-hubd run >/tmp/said 2>&1 & sleep 0.2
        for i in $(seq 100); do grep -q ^https /tmp/said && break; sleep 0.1; done
        ps -o user:20= -C mainstay-hubd,nginx,mainstay-hub-notify | sort | uniq -c; kill %1; wait %1; cat /tmp/said""")
    assert re.match(r" +5 mainstay-hub\n", said), said
    said = root.apt("purge", "mainstay-hub")
    assert "/var/lib/mainstay-hub" in said and os.path.exists(root.path("var/lib/mainstay-hub/reply.key"))


def test_a_site_runs_and_removing_it_leaves_nothing_running(root):
    root.install("mainstay")
    said = root.run(RUN + """mainstay status --json; echo; apt-get -y -q remove mainstay >/tmp/removed 2>&1 || cat /tmp/removed
        sleep 0.5; ps ax -o args= | grep -v 'bash\\|ps ax\\|grep\\|sleep' || true""")
    _, status, rest = said.split("\n", 2)
    status = json.loads(status)
    assert {d["name"] for d in status["daemons"]} >= {"monitor", "collectd", "courier"}
    assert set(status["switches"].values()) == {"off"} or not any(status["switches"].values())
    assert "mainstay" not in rest, rest


def test_an_upgrade_keeps_what_the_administrator_wrote(root):
    root.install("mainstay")
    with open(root.path("etc/mainstay/mainstay.yaml"), "a") as f:
        f.write("telemetry: {period: 30s}\n")
    with open(root.path("etc/mainstay/policy.yaml"), "w") as f:
        f.write("v: 1\nrules: []\n")
    said = root.apt("install", next_version(root, "mainstay"))
    assert "period: 30s" in open(root.path("etc/mainstay/mainstay.yaml")).read()
    assert open(root.path("etc/mainstay/policy.yaml")).read() == "v: 1\nrules: []\n"
    assert f"{VERSION}.1" in said and "Next, with what your vendor" not in said


RUN = """mainstay run >/tmp/said 2>&1 & for i in $(seq 100); do grep -q 'are ready' /tmp/said && break; sleep 0.1; done
    grep 'are ready' /tmp/said || cat /tmp/said; """


def test_purge_leaves_what_services_wrote_and_the_log_and_what_comes_after_begins_anew(root):
    root.install("mainstay")
    assert "are ready" in root.run(RUN + "mainstay run --down")
    root.run("""cd /var/lib/mainstay && mkdir -p services/redis/data && echo x >services/redis/data/dump.rdb && echo leaf >audit/entries &&
        echo hub >/etc/mainstay/vendor.card && touch /etc/mainstay/off/remote""")
    root.apt("remove", "mainstay")
    assert os.path.exists(root.path("var/lib/mainstay/monitor"))
    said = root.apt("purge", "mainstay")
    log = next(n for n in os.listdir(root.path("var/lib/mainstay")) if n.startswith("audit.purged-"))
    assert "/var/lib/mainstay/services/redis/data\n" in said and f"/var/lib/mainstay/{log} (" in said
    assert open(root.path("var/lib/mainstay/services/redis/data/dump.rdb")).read() == "x\n"
    assert open(root.path("var/lib/mainstay", log, "entries")).read() == "leaf\n"
    assert sorted(os.listdir(root.path("var/lib/mainstay"))) == [log, "services"]
    assert not os.path.exists(root.path("etc/mainstay"))
    root.install("mainstay")
    assert "are ready" in root.run(RUN)


def test_purge_of_what_was_never_used_leaves_nothing(root):
    before = root.run("find / -xdev -path '*mainstay*' -not -path '/srv/*' -not -path '/proc/*'")
    assert before == ""
    root.install(*NAMES)
    said = root.apt("purge", *NAMES)
    assert "are yours" not in said and "to remove them, too" not in said
    left = root.run("find / -xdev -path '*mainstay*' -not -path '/srv/*' -not -path '/proc/*' -not -path '/var/log/*'")
    assert left == "", left
