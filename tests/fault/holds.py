"""Stop or kill a process at a system call, by strace."""

import signal
import subprocess
import tempfile

from estate import until
from estates import is_alive, kill


class Hold:
    """Stop a process at the nth of these calls, once it is done; or kill it before that.  where: -P PATH, -f."""

    def __init__(self, pid, call, nth, *where, how="STOP"):
        self.pid, self.log = pid, tempfile.TemporaryFile("w+")  # noqa: SIM115  (for the tracer's life)
        self.tracer = subprocess.Popen(["strace", "-p", str(pid), *where, "-e", f"trace={call}", "-e",
                                        f"inject={call}:signal={how}:when={nth}"], stderr=self.log)
        until("strace attached", lambda: "attached" in self.said() or self.tracer.poll() is not None)

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def reached(self):
        return "--- stopped by SIGSTOP" in self.said() or not is_alive(self.pid)

    def release(self):
        try:
            # Of a process with threads that it has killed it waits for ever, and keeps it a zombie.
            self.tracer.wait(0 if is_alive(self.pid) else 0.3)
        except subprocess.TimeoutExpired:
            self.tracer.terminate()
        try:
            self.tracer.wait(1)
        except subprocess.TimeoutExpired:
            self.tracer.kill()
        self.tracer.wait()
        self.log.close()
        kill(self.pid, signal.SIGCONT)
