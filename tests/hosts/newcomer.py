"""The newcomer's test: what packaging/README.md quotes is typed on real hosts, and answered so.

A line of its block that begins with `site# ` or `desk$ ` is a command of that prompt (with a here-document to its END), the
lines below it are its answer.  `...` stands for any number of lines, or for the rest of one.  What differs from run to run does
not count: digests, ids, times, numbers.  Where a command names a fingerprint or a request, it is given the one that the site showed.
"""

import fnmatch
import os
import re

from hosts import ROOT, Observed, until

README = os.path.join(ROOT, "packaging", "README.md")
HEADING = "## The newcomer's test"
PROMPTS = ("site# ", "desk$ ")
DESK = "mainstay-desk --card vendor.card --key vera --ca ca.pem"


def steps():
    """(prompt, command, lines of its answer) of each command."""
    with open(README) as f:
        text = f.read().split(HEADING, 1)[1].split("\n## ", 1)[0]
    block = text.split("```\n", 1)[1].split("\n```", 1)[0]
    found, here = [], False
    for line in block.splitlines():
        prompt = next((p for p in PROMPTS if line.startswith(p)), None)
        if here:
            found[-1][1] += "\n" + line
            here = line != "END"
        elif prompt:
            found.append([prompt, line[len(prompt):], []])
            here = line.endswith("<<END")
        else:
            found[-1][2].append(line)
    return found


def plain(line):
    """Without what differs from run to run."""
    line = re.sub(r"\b[0-9a-f]{8,}\b|SHA256:\S+|AAAA[A-Za-z0-9+/=]+", "#", line)
    line = re.sub(r"\d+", "#", line)
    return " ".join(line.split())


def answers(said, quoted):
    """Does what was said go through the quoted lines, where ... stands for any?"""
    def glob_of(line):
        return re.sub(r"([\[\]?*])", r"[\1]", plain(line)).replace("...", "*")

    def match(i, j):
        if j == len(quoted):
            return i == len(said)
        if quoted[j] == "...":
            return any(match(k, j + 1) for k in range(i, len(said) + 1))
        return i < len(said) and fnmatch.fnmatchcase(plain(said[i]), glob_of(quoted[j])) and match(i + 1, j + 1)
    return match(0, 0)


class Newcomer:
    def __init__(self, site, desk):
        self.site, self.desk, self.fingerprint = site, desk, ""

    def play(self):
        """Type them all; how many of them the site's operator typed."""
        typed = 0
        for prompt, command, quoted in steps():
            host = self.site if prompt.startswith("site") else self.desk
            typed += host is self.site
            done = host.run("bash", "-c", f"cd /root; D='{DESK}'\n{self.own(command)}", code=None, timeout=180)
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            if os.environ.get("SHOW"):
                print(f"{prompt}{command}\n" + "\n".join(said))
            self.look(said)
            # The desk ends with 5 where it did not wait for the result.
            if done.returncode not in (0, 5 if host is self.desk else 0) or not (answers(said, [q for q in quoted if q.strip()]) or os.environ.get("SHOW")):
                raise Observed(f"{prompt}{command}: exit {done.returncode}, it said\n" + "\n".join(said) +
                               f"\nwhere {README} quotes\n" + "\n".join(quoted))
            if command.startswith("apt-get"):
                self.site.up()
            if command == "mainstay on all":  # a person is slower than the courier
                until("the engineer's word", lambda: self.site.leaves(kind="enrol", actor="courier"))
        return typed

    def own(self, command):
        command = re.sub(r"sha256:[0-9a-f]{16,}", self.fingerprint, command)
        if " approve " in command:
            waiting = until("a request that waits", lambda: self.site.requests(state="waiting"))[0]["id"]
            command = re.sub(r"approve r-[0-9a-f]+", f"approve {waiting}", command)
        return command.replace("AAAAC3...", self.site.read("/root/olga.pub").split()[1]) if "AAAAC3..." in command else command

    def look(self, said):
        found = re.search(r"Fingerprint\s+(sha256:[0-9a-f]{64})", "\n".join(said))
        if found:
            self.fingerprint = found.group(1)
