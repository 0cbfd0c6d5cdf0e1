"""ssh through a bastion, and ansible over it: two sshd of Debian's on loopback, the second reached through the first alone.

Both are unpacked, not installed (../unpacked.py).  As root sshd wants a user and a folder of its own; it gets both in a
mount namespace, where nobody else sees them."""
import glob
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import unpacked  # noqa: E402  pylint: disable=wrong-import-position
from unpacked import HOME  # noqa: E402  pylint: disable=wrong-import-position

PACKAGES = {"ssh": ("openssh-server", "openssh-sftp-server", "libwrap0"),
            "ansible": ("ansible-core", "python3-jinja2", "python3-markupsafe", "python3-yaml", "python3-resolvelib",
                        "python3-packaging")}
NODE = "127.0.0.1"
PRIVATE = """mount --make-rprivate / && mount --bind {passwd} /etc/passwd && mount -t tmpfs -o mode=755 none /run &&
mkdir -m 755 /run/sshd && exec "$@" """


def fetch(name):
    """Returns "" where it is there to run, else why it is not."""
    return unpacked.fetch(name, PACKAGES[name])


def free_port():
    with socket.socket() as s:
        s.bind((NODE, 0))
        return s.getsockname()[1]


class Chain:
    """A bastion and, behind it, a target; keys of their own, nothing of the person's who runs this."""

    def __init__(self, work):
        self.work = work
        self.ports = {"bastion": free_port(), "target": free_port()}
        self.servers = []

    def path(self, *names):
        return os.path.join(self.work, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as f:
            f.write(text)

    def start(self):
        for name in ("host", "person"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)], check=True)
        with open(self.path("host.pub"), encoding="ascii") as f:
            host = " ".join(f.read().split()[:2])
        self.write("known", "".join(f"[{NODE}]:{port} {host}\n" for port in self.ports.values()))
        with open("/etc/passwd", encoding="utf-8") as f, open(self.path("passwd"), "w", encoding="utf-8") as out:
            users = f.read()
            out.write(users if "\nsshd:" in users else users + "sshd:x:65533:65534::/run/sshd:/bin/false\n")
        self.write("client", "".join(
            f"Host {name}\n  HostName {NODE}\n  Port {port}\n" for name, port in self.ports.items()) +
            "Host target\n  ProxyCommand ssh -F " + self.path("client") + " -W %h:%p bastion\n"
            f"Host *\n  IdentityFile {self.path('person')}\n  IdentitiesOnly yes\n  UserKnownHostsFile {self.path('known')}\n"
            "  StrictHostKeyChecking yes\n  BatchMode yes\n  LogLevel ERROR\n")
        for name in self.ports:
            self.serve(name)

    def serve(self, name):
        port = self.ports[name]
        self.write(f"sshd.{name}", f"Port {port}\nListenAddress {NODE}\nHostKey {self.path('host')}\nPidFile none\n"
                   f"AuthorizedKeysFile {self.path('person.pub')}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                   # What a shell of the person's own would do first is not ssh's time.
                   f"PasswordAuthentication no\nSetEnv HOME={self.work}\n")
        argv = [os.path.join(HOME, "ssh", "usr/sbin/sshd"), "-D", "-e", "-f", self.path(f"sshd.{name}")]
        if os.geteuid() == 0:
            argv = ["unshare", "--mount", "sh", "-c", PRIVATE.format(passwd=self.path("passwd")), "sh", *argv]
        libraries = ":".join(glob.glob(os.path.join(HOME, "ssh", "usr/lib/*-linux-gnu")))
        with open(self.path(f"{name}.log"), "wb") as log:
            self.servers.append(subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True,
                                                 env=dict(os.environ, LD_LIBRARY_PATH=libraries)))
        end = time.monotonic() + 10
        while time.monotonic() < end and self.servers[-1].poll() is None:
            with socket.socket() as s:
                if s.connect_ex((NODE, port)) == 0:
                    return
            time.sleep(0.05)
        with open(self.path(f"{name}.log"), encoding="utf-8", errors="replace") as log:
            raise RuntimeError("sshd: " + log.read()[-500:])

    def stop(self):
        if os.path.exists(self.path("shared")):
            subprocess.run(["ssh", "-F", self.path("client"), "-S", self.path("shared"), "-O", "exit", "target"],
                           capture_output=True, check=False)
        for server in self.servers:
            server.terminate()
            server.wait()

    # --- commands that do `true` ---------------------------------------------------------------------------------

    def fresh(self):
        """A connection to the bastion and through it one to the target, for this command alone."""
        return ["ssh", "-F", self.path("client"), "target", "true"], None

    def shared(self):
        """The same over a connection that stands; this one makes it."""
        options = ["-o", "ControlMaster=auto", "-o", "ControlPersist=600", "-S", self.path("shared")]
        return ["ssh", "-F", self.path("client"), *options, "target", "true"], None

    def ansible(self):
        """Its module command over a connection that it keeps as is its default."""
        self.write("ansible.cfg", f"[defaults]\ninventory = {self.path('hosts')}\nlocal_tmp = {self.path('ansible')}\n"
                   "interpreter_python = /usr/bin/python3\n"
                   f"[ssh_connection]\nssh_args = -F {self.path('client')} -C -o ControlMaster=auto -o ControlPersist=60s\n"
                   f"control_path_dir = {self.path('cp')}\n")
        self.write("hosts", "target\n")
        root = os.path.join(HOME, "ansible", "usr")
        env = dict(os.environ, PYTHONPATH=os.path.join(root, "lib/python3/dist-packages"), HOME=self.work,
                   ANSIBLE_CONFIG=self.path("ansible.cfg"))
        return ["/usr/bin/python3", os.path.join(root, "bin/ansible"), "target", "-m", "command", "-a", "true"], env
