"""rsyslog and syslog-ng from Debian, each with the queue that its manual calls durable.

Both packages want to be the one system log of a machine, so none is installed: they are fetched and unpacked below the build
folder, and run from there."""
import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import unpacked  # noqa: E402  pylint: disable=wrong-import-position
from unpacked import HOME  # noqa: E402  pylint: disable=wrong-import-position
from way import FILES, Way  # noqa: E402  pylint: disable=wrong-import-position

PACKAGES = {"rsyslog": ("rsyslog", "libestr0", "libfastjson4", "liblognorm5"),
            "syslog-ng": ("syslog-ng-core", "libivykis0", "libnet1")}


def fetch(name):
    """Returns "" where it is there to run, else why it is not."""
    return unpacked.fetch(name, PACKAGES[name])


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
