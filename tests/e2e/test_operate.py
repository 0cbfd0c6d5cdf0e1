"""mainstay-operate as a program: who it will be, and who it will not."""

import os
import re
import socket
import struct
import subprocess

import pytest

from hub import BUILD, program

LOGS = os.path.join(BUILD, "log", "e2e", "operate")
JOB, RESULT, REFUSED, OUTPUT_FRAME = 1, 2, 3, 4
PROFILE, ARG, TREE, RUN, UID, TIMEOUT, MEMORY, OUTPUT, PROCESSES, REASON, BYTES = 1, 2, 3, 4, 7, 8, 9, 10, 11, 20, 26


def frame(kind, fields):
    out = struct.pack(">2sBBHHI", b"MS", 1, 0, kind, len(fields), 1)
    for tag, value in fields:
        data = struct.pack(">Q", value) if isinstance(value, int) else value.encode()
        out += struct.pack(">HI", tag, len(data)) + data
    return out


def fields_of(data):
    _, _, _, kind, n, _ = struct.unpack_from(">2sBBHHI", data)
    fields, at = {}, 12
    for _ in range(n):
        tag, size = struct.unpack_from(">HI", data, at)
        fields[tag] = data[at + 6:at + 6 + size]
        at += 6 + size
    return kind, fields


def operate(tmp_path, uid, become):
    """Run one job as uid that is to become another; its answer, output and what it logged."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    job = frame(JOB, [(PROFILE, 1), (ARG, "/bin/echo"), (ARG, "ran"), (TREE, "/"), (RUN, str(tmp_path)), (UID, become),
                      (TIMEOUT, 10000), (MEMORY, 0), (OUTPUT, 1000), (PROCESSES, 0)])
    with ours:
        with theirs:
            ours.send(job)
            process = subprocess.Popen(
                ["/bin/bash", "-c", 'exec "$0" 3<&%d' % theirs.fileno(), program("mainstay-operate")],
                stderr=subprocess.PIPE, text=True, pass_fds=[theirs.fileno()], user=uid)
        _, said = process.communicate(timeout=30)
        ran, (kind, fields) = b"", fields_of(ours.recv(65536))
        while kind == OUTPUT_FRAME:
            ran += fields[BYTES]
            kind, fields = fields_of(ours.recv(65536))
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, "commands.log"), "w") as log:
        log.write(said)
    return process.returncode, kind, fields, ran, said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as other users")
def test_nobody_becomes_another_user(tmp_path):
    code, kind, fields, ran, said = operate(tmp_path, 61183, 61184)
    assert (code, kind, fields[REASON], ran) == (1, REFUSED, b"no-sandbox", b"")
    assert re.findall(r"\[([a-z-]+)\] \(.*\)$", said, re.M) == ["no-sandbox"]
