#!/usr/bin/env python3
"""Speaks as `criu swrk` does, with processes of its own in place of those that criu would write
to disk or bring back. What it is asked for stands in `asked` beside it, a field a line."""

import ctypes, os, signal, socket, sys

DUMP, RESTORE, NOTIFY = 1, 2, 6
PID, LEAVE_RUNNING, WORK = 2, 3, 17
SYS_CLONE, CLONE_PARENT = 56, 0x8000

here = os.path.dirname(os.path.abspath(__file__))
peer = socket.socket(fileno=int(sys.argv[2]))


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        found.append((key >> 3, value))
    return found


def number(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def message(*parts):
    out = b""
    for field, value in parts:
        if isinstance(value, bytes):
            out += number(field << 3 | 2) + number(len(value)) + value
        else:
            out += number(field << 3) + number(value)
    return out


def notify(event, pid):
    peer.send(message((1, NOTIFY), (2, 1), (5, message((1, event), (2, pid)))))
    reply = dict(fields(peer.recv(65536)))
    if reply != {1: NOTIFY, 3: 1}:
        fail(kind, "the notice was refused")


def fail(kind, reason):
    with open(f"/proc/self/fd/{options[WORK]}/{options[10].decode()}", "w") as log:
        log.write(f"(00.1) Error (criu/here.c:1): {reason}\n(00.2) Error (criu/there.c:2): FAILED\n")
    peer.send(message((1, kind), (2, 0)))
    sys.exit(1)


def sibling():
    """A child of the parent, as the processes are that criu brings back."""
    libc = ctypes.CDLL(None, use_errno=True)
    pid = libc.syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        peer.close()
        os.execlp("sh", "sh", "-c", "read line; exit 7")
    return pid


request = dict(fields(peer.recv(65536)))
kind, asked = request[1], fields(request[2])
options = dict(asked)
with open(f"{here}/asked", "w") as out:
    for field, value in asked:
        parts = fields(value) if field in (23, 25, 27) else [(0, value)]
        words = [v.decode() if isinstance(v, bytes) else str(v) for _, v in parts]
        print(field, *words, file=out)
if os.path.exists(f"{here}/fail"):
    if kind == RESTORE:
        notify(b"setup-namespaces", os.getpid())
    fail(kind, "something is in the way")
if kind == DUMP:
    with open(f"/proc/self/fd/{options[1]}/pages.img", "w") as image:
        image.write("pages")
    if not options.get(LEAVE_RUNNING):
        os.kill(options[PID], signal.SIGKILL)
    notify(b"post-dump", 0)
    peer.send(message((1, DUMP), (2, 1)))
else:
    pid = sibling()
    notify(b"setup-namespaces", pid)
    notify(b"post-restore", pid)
    peer.send(message((1, RESTORE), (2, 1), (4, message((1, pid)))))
