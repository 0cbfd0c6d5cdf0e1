"""rsyslog and syslog-ng from Debian, each with the queue that its manual calls durable.

Both packages want to be the one system log of a machine, so none is installed: they are fetched and unpacked below the build
folder, and run from there."""
import glob
import os
import shutil
import subprocess

from way import BUILD, FILES, Way

HOME = os.path.join(BUILD, "bench-peers")
PACKAGES = {"rsyslog": ("rsyslog", "libestr0", "libfastjson4", "liblognorm5"),
            "syslog-ng": ("syslog-ng-core", "libivykis0", "libnet1")}


def fetch(name):
    """Returns "" where it is there to run, else why it is not."""
    root = os.path.join(HOME, name)
    if os.path.exists(os.path.join(root, ".whole")):
        return ""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return "no Debian here"
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    done = subprocess.run(["apt-get", "download", "-qq", *PACKAGES[name]], cwd=root, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        return "apt-get download: " + (done.stderr.strip().splitlines() or ["?"])[-1]
    for package in glob.glob(os.path.join(root, "*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    with open(os.path.join(root, ".whole"), "w", encoding="ascii"):
        return ""


class Peer(Way):
    def root(self, *path):
        return os.path.join(HOME, self.name, *path)

    def environment(self):
        libraries = [*glob.glob(self.root("usr/lib/*-linux-gnu")), self.root("usr/lib/syslog-ng")]
        return dict(os.environ, LD_LIBRARY_PATH=":".join(libraries))

    def path(self, *path):
        return os.path.join(self.work, *path)

    def write(self, text):
        with open(self.path("conf"), "w", encoding="ascii") as f:
            f.write(text)


class Rsyslog(Peer):
    """A queue of type Disk before the wire: what it took lies in a file before it is sent."""
    name = "rsyslog"
    most = "31mb"

    def prepare(self):
        os.mkdir(self.path("queue"))
        inputs = "".join(f'input(type="imfile" File="{os.path.join(self.logs, file)}" Tag="x" ruleset="out" '
                         'freshStartTail="off" persistStateInterval="100")\n' for file in FILES)
        self.write(f'''global(workDirectory="{self.path("queue")}" maxMessageSize="64k")
main_queue(queue.type="Direct")
module(load="imfile" mode="inotify")
template(name="line" type="string" string="%msg%\\n")
ruleset(name="out") {{
  action(type="omfwd" target="127.0.0.1" port="{self.sink.tcp}" protocol="tcp" template="line"
    queue.type="Disk" queue.filename="wire" queue.maxDiskSpace="16g" queue.size="100000000" queue.maxFileSize="64m"
    queue.checkpointInterval="100" queue.saveOnShutdown="on" action.resumeRetryCount="-1")
}}
{inputs}''')

    def commands(self):
        return {"rsyslogd": [self.root("usr/sbin/rsyslogd"), "-n", "-f", self.path("conf"), "-i", self.path("pid"),
                             "-M", glob.glob(self.root("usr/lib/*-linux-gnu/rsyslog"))[0]]}


class SyslogNg(Peer):
    """disk-buffer(reliable(yes))."""
    name = "syslog-ng"

    def prepare(self):
        os.mkdir(self.path("queue"))
        version = os.path.basename(glob.glob(self.root("usr/lib/syslog-ng/[0-9]*"))[0])
        files = " ".join(f'file("{os.path.join(self.logs, file)}" follow-freq(0.1) flags(no-parse));' for file in FILES)
        self.write(f'''@version: {version}
options {{ stats-freq(0); log-msg-size(65536); }};
source lines {{ {files} }};
destination wire {{ network("127.0.0.1" port({self.sink.tcp}) transport("tcp") template("$MSG\\n")
  disk-buffer(reliable(yes) disk-buf-size(8589934592) mem-buf-size(33554432) dir("{self.path("queue")}"))); }};
log {{ source(lines); destination(wire); flags(flow-control); }};
''')

    def commands(self):
        modules = glob.glob(self.root("usr/lib/syslog-ng/[0-9]*"))[0]
        return {"syslog-ng": [self.root("usr/sbin/syslog-ng"), "-F", "--no-caps", "-f", self.path("conf"), "-p",
                              self.path("pid"), "-c", self.path("control"), "-R", self.path("persist"),
                              "--module-path", modules]}
