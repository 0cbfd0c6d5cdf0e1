"""Mainstay replaced under systemd: by a signed release of the core, by one that fails late, and by a later package.

The releases are made of the programs that the packages have, with another version in them (packaging/core/assemble); the later
package is another build (tests/hosts/next).
"""

import json
import os
import subprocess
import tempfile

from estate import APPROVER, POLICY, debs, install_packages, side_by_side
from hosts import ROOT, until

BUILD = os.path.dirname(debs())
DAEMONS = ("mainstayd", "mainstay-collectd", "mainstay-courier")
# A trial that the story has the time for; the bad one's daemon never lives as long as its soak.
TIMES = {"good": {"tries": 1, "trial-seconds": 40, "soak-seconds": 2}, "late": {"tries": 1, "trial-seconds": 14, "soak-seconds": 8}}
SHIPPED = {"tries": 3, "trial-seconds": 60, "soak-seconds": 10}

# It becomes the monitor, says that it is ready, serves, and ends a few seconds later.
LATE = """#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 8);
	(void)argc;
	if (n <= 0)
		return 1;
	snprintf(path + n, 8, ".real");
	alarm(4);
	execv(path, argv);
	return 1;
}
"""


def assembled(folder, version, late=False):
    """A folder that the vendor builds a core release from."""
    out = os.path.join(folder, f"core-{version}")
    subprocess.run([os.path.join(ROOT, "packaging", "core", "assemble"), os.path.join(BUILD, "bin"), version, out], check=True)
    ours = subprocess.run([os.path.join(BUILD, "bin", "mainstay"), "--version"], capture_output=True, text=True,
                          check=True).stdout.split()[-1]
    programs = os.path.join(out, "tree", "bin")
    for name in os.listdir(programs):
        with open(os.path.join(programs, name), "rb+") as f:
            data = f.read().replace(ours.encode(), version.encode())
            f.seek(0)
            f.write(data)
    if late:
        real = os.path.join(programs, "mainstayd")
        os.rename(real, f"{real}.real")
        subprocess.run(["gcc", "-static", "-O1", "-x", "c", "-", "-o", real], input=LATE, text=True, check=True)
    file = os.path.join(out, "service.yaml")
    with open(file) as f:
        text = f.read()
    for name, value in TIMES["late" if late else "good"].items():
        old = f"default: {SHIPPED[name]}, apply"
        assert text.count(old) == 1, old
        text = text.replace(old, f"default: {value}, apply")
    with open(file, "w") as f:
        f.write(text)
    return out


def release(e, version, late=False):
    """Build, sign and publish it, and have the site's owner say yes to it: its digest."""
    with tempfile.TemporaryDirectory() as folder:
        out = assembled(folder, version, late)
        subprocess.run(["cp", "-r", out, e.vendor.path(f"/root/core-{version}")], check=True)
    built = f"/root/built-core-{version}"
    e.vendor.release("build", f"/root/core-{version}", "-o", built, "--class", "core")
    e.vendor.release("sign", built, "--key", "/root/keys/targets.key")
    e.vendor.release("publish", built, "--to", "/srv/repo", "--keys", "/root/keys")
    digest = "sha256:" + e.vendor.out("sha256sum", f"{built}/index.json").split()[0]
    e.site.mainstay("update", "approve", digest, "--key", f"/root/{APPROVER}")
    return digest


def staged(site, digest):
    def ask():
        site.mainstay("update", "check")
        return any(i["service"] == "mainstay" and f"sha256:{i['to']}" == digest for i in site.look("update", "plan")["items"])
    until("the core in the plan", ask)


def services(site):
    return [json.loads(site.read(f"/run/mainstay/shim/{s}.json"))["pid"] for s in ("redis", "postgresql")]


def main_pids(host, *units):
    return [int(host.out("systemctl", "show", "-P", "MainPID", u)) for u in units]


def asking(site):
    """Redis is asked ten times a second, until stopped()."""
    return subprocess.Popen(["redis-cli", "-s", site.alive("/run/mainstay/services/redis/redis.sock"), "-r", "-1", "-i", "0.1", "PING"],
                            stdout=subprocess.PIPE, text=True)


def stopped(process):
    """How many were answered, of how many."""
    process.terminate()
    said = process.communicate(timeout=60)[0].split()
    return said.count("PONG"), len(said)


def core(story, e):
    story.chapter("The core itself: a signed release of it, approved by an owner; then one that fails late")
    key = " ".join(e.site.read(f"/root/{APPROVER}.pub").split()[:2])
    e.site.write("/etc/mainstay/policy.yaml", POLICY.format(key=key) + f'owners: {{k: 1, keys: ["{key}"]}}\n')
    e.site.mainstay("policy", "apply", "/etc/mainstay/policy.yaml")
    before, was, pings = services(e.site), main_pids(e.site, *DAEMONS), asking(e.site)
    ours = e.site.look("status")["appliance"]["version"]
    good, late = ours[:-1] + "7", ours[:-1] + "8"
    staged(e.site, release(e, good))
    e.site.mainstay("update", "apply")
    status = e.site.look("status")
    programs = {e.site.out("readlink", f"/proc/{pid}/exe").split("/")[-3] for pid in main_pids(e.site, *DAEMONS)}
    story.see(f"mainstay {good} for {ours}, slot {status['core']['slot']}: daemons are other processes, of the release in the store; "
              f"leaf {e.site.leaves(kind='activate', object='mainstay')[-1]['n']} activate",
              status["appliance"]["version"] == good and status["core"]["slot"] == "a" and len(programs) == 1
              and len(programs.pop()) == 64 and not set(was) & set(main_pids(e.site, *DAEMONS)))

    staged(e.site, release(e, late, late=True))
    no = e.site.mainstay("update", "apply", code=None)
    status = until("mainstay answers", lambda: e.site.look("status"))
    leaf = until("its leaf", lambda: e.site.leaves(kind="rollback", object="mainstay"))[-1]
    story.see(f"mainstay {late} starts, says ready, serves, and dies every few seconds: given up by itself, leaf {leaf['n']} rollback, "
              f"{leaf['reason']}; {status['appliance']['version']} runs again, slot {status['core']['slot']}",
              no.returncode == 1 and status["appliance"]["version"] == good and status["core"]["slot"] == "a"
              and status["update"]["state"] == "rolled-back")
    e.site.passing("redis", "postgresql")
    ok, of = stopped(pings)
    story.see(f"the services never noticed: the same processes, {ok} of {of} requests answered", services(e.site) == before and ok == of > 50)


def upgrade(story, e):
    story.chapter("The packages are upgraded to another build under the running site and hub, with a request on its way")
    asked = e.desk.request("site1", "redis", "restart", "T-3")
    waiting = until("a request that waits", lambda: e.site.requests(state="waiting"))[0]
    before, was, hub = services(e.site), main_pids(e.site, *DAEMONS), main_pids(e.vendor, "mainstay-hubd")
    old, pings = e.site.look("status")["appliance"]["version"], asking(e.site)
    folder = os.path.join(BUILD, "next", "deb")
    side_by_side(*(lambda h=h: install_packages(h, folder) for h in (e.site, e.vendor)))
    e.site.up()
    answered, of = stopped(pings)
    story.see(f"daemons and hub are other processes, services are not: {answered} of {of} requests were answered meanwhile",
              services(e.site) == before and answered == of and not set(was) & set(main_pids(e.site, *DAEMONS))
              and hub != main_pids(e.vendor, "mainstay-hubd"))
    status = e.site.look("status")
    said = next(line for line in e.site.out("mainstay", "status").splitlines() if line.startswith("core"))
    story.see(f"what the administrator installed wins over the core in slot a ({old}): {' '.join(said.split())}; `mainstay --version`: "
              f"{e.site.out('mainstay', '--version')}",
              status["core"]["slot"] == "packaged" and status["appliance"]["version"] == e.site.out("mainstay", "--version").split()[-1] != old)
    e.site.approve(waiting)
    asked.communicate(timeout=90)  # nobody waits through a hub that ends; the answer is there all the same
    answer = until("an answer", lambda: e.desk.look("requests", waiting["id"])["result"] and e.desk.look("requests", waiting["id"]))
    e.site.passing("redis", "postgresql")
    return answer["result"]["outcome"]
