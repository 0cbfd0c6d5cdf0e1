"""What a power cut leaves of a folder, told from the calls that were recorded in it (calls.c)."""

import os


def read_calls(path):
    """[(words, bytes, where in the record it ends)]"""
    calls, at = [], 0
    with open(path, "rb") as f:
        data = f.read()
    while at < len(data):
        end = data.index(b"\n", at)
        words = data[at:end].decode().split(" ")
        at = end + 1
        payload = b""
        if words[0] == "write":
            payload = data[at:at + int(words[3])]
            at += len(payload)
        calls.append((words, payload, at))
    return calls


class Disk:
    """What is synced, and what is not, of files and folders, each under a number of its own: inodes are used again."""

    def __init__(self):
        self.known = {}  # inode: number
        self.files = {}  # number: [bytes, [(offset, bytes) or length, ...]]
        self.folders = {}  # number: [{name: number}, [{name: number or None}, ...]]
        self.now = {}  # number of a folder: what the program sees in it
        self.modes = {}  # number: [mode, [mode, ...]]
        self.links = {}  # number: where it leads to

    def add(self, inode, is_folder):
        number = len(self.files) + len(self.folders) + len(self.links)
        self.known[inode] = number
        if is_folder:
            self.folders[number], self.now[number] = [{}, []], {}
        else:
            self.files[number] = [b"", []]
        return number

    def name(self, folder, changes):
        """What one call does to the names in one folder."""
        self.folders[folder][1].append(changes)
        for name, number in changes.items():
            if number is None:
                self.now[folder].pop(name, None)
            else:
                self.now[folder][name] = number

    def rename(self, old, name, new, as_name):
        number = self.now[old][name]
        if old == new:
            self.name(old, {name: None, as_name: number})
        else:
            self.name(old, {name: None})
            self.name(new, {as_name: number})

    def sync(self, number):
        if number in self.files:
            self.files[number] = [after(*self.files[number]), []]
        else:
            self.folders[number] = [dict(self.now[number]), []]
        if self.modes.get(number, (0, []))[1]:
            self.modes[number] = [self.modes[number][1][-1], []]

    def is_folder(self, words):
        """Of a sync: None is all of the file system."""
        return None if words[0] == "all" else self.known[words[1]] in self.folders

    def do(self, words, payload):
        kind, first = words[0], self.known.get(words[1])
        if kind in ("create", "folder"):
            number = self.add(words[3], kind == "folder")
            if first is not None:  # but for the top one
                self.name(first, {words[2]: number})
        elif kind == "symlink":
            number = len(self.files) + len(self.folders) + len(self.links)
            self.links[number] = words[4]
            self.name(first, {words[2]: number})
        elif kind == "mode":
            number, mode = first, int(words[2], 8)
            if number in self.modes:
                self.modes[number][1].append(mode)
            else:
                self.modes[number] = [mode, []]  # with what it was made
        elif kind == "all":
            for number in list(self.files) + list(self.folders):
                self.sync(number)
        elif kind == "link":
            self.name(self.known[words[2]], {words[3]: first})
        elif kind == "remove":
            self.name(first, {words[2]: None})
        elif kind == "rename":
            self.rename(first, words[2], self.known[words[3]], words[4])
        elif kind == "size":
            self.files[first][1].append(int(words[2]))
        elif kind == "write":
            self.files[first][1].append((int(words[2]), payload))
        elif kind == "sync":
            self.sync(first)
        elif kind == "lost" and first in self.files:  # what a later sync says is of what was written since
            self.files[first][1] = []

    def build(self, number, path, chosen):
        """The folder after the crash, at path."""
        synced, later = self.folders[number]
        names = dict(synced)
        for changes in chosen(later):
            for name, what in changes.items():
                if what is None:
                    names.pop(name, None)
                else:
                    names[name] = what
        os.mkdir(path)
        for name, what in names.items():
            there = os.path.join(path, name)
            if what in self.links:
                os.symlink(self.links[what], there)
                continue
            if what in self.folders:
                self.build(what, there, chosen)
            else:
                with open(there, "wb") as f:
                    f.write(after(self.files[what][0], chosen(self.files[what][1])))
            if what in self.modes:
                os.chmod(there, (chosen(self.modes[what][1]) or [self.modes[what][0]])[-1])


def after(data, changes):
    data = bytearray(data)
    for change in changes:
        if isinstance(change, int):
            data = data[:change] + bytes(max(0, change - len(data)))
        else:
            offset, payload = change
            data += bytes(max(0, offset - len(data)))
            data[offset:offset + len(payload)] = payload
    return bytes(data)


def survivors(rng, how):
    """A way to choose what a crash leaves of what was not synced."""
    def chosen(changes):
        if how == "nothing":
            return []
        if how == "all":
            return changes
        if how == "beginning":
            kept = changes[:rng.randrange(len(changes) + 1)]
        else:
            kept = [c for c in changes if rng.random() < 0.5]
            if kept and isinstance(kept[0], dict):
                rng.shuffle(kept)
        if kept and isinstance(kept[-1], tuple):
            offset, payload = kept[-1]
            kept = kept[:-1] + [(offset, payload[:rng.randrange(len(payload) + 1)])]
        return kept

    return chosen
