"""Verify an audit log of Tidegate without Tidegate: Python 3.9 or newer, nothing to install, one file.

    python3 verify.py LOG [KEY]      LOG: directory of the log; KEY: NAME+HASH+KEY, else the one in the log

Written from docs/audit.md, so that two programs must agree; Ed25519 is done here in plain integers (RFC 8032, 5.1,
after its appendix; slow, a few milliseconds a checkpoint). Prints one JSON object with `entries`, `ok`, `first_bad`,
`reason`, `root`; exit code 0 holds, 2 tampered, 3 incomplete, 4 unanchored end. It checks form, index, time, chain,
every checkpoint's signature and root; the lives of actions it does not.
"""

import base64
import hashlib
import json
import os
import re
import sys

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
ID, DIGEST, STATE = r"[ !#-\[\]-~]{0,300}", r"(?:sha256:[0-9a-f]{64})?", r"[a-z][a-z_]{0,40}"
ENTRY = re.compile(
    rf'\{{"action_id":"{ID}","actor":"{ID}","at_ns":(?:(0|[1-9][0-9]{{0,15}})|"([1-9][0-9]{{15,18}})"),'
    rf'"body_digest":"{DIGEST}","from_state":"(?:{STATE})?","index":(0|[1-9][0-9]{{0,14}}),"inputs_digest":"{DIGEST}",'
    rf'"policy_digest":"{DIGEST}","prev":"(sha256:[0-9a-f]{{64}})","to_state":"{STATE}"\}}'
)


class Fault(Exception):
    """Why a log does not hold: reason, index of an entry, exit code."""


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n, p):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, p)
        p, n = add(p, p), n >> 1
    return total


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def is_signature(public, message, signature):
    a, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = times(s, BASE), add(r, times(h, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def plain(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if base64.b64encode(data).decode() != text:
        raise Fault("CHECKPOINT_INVALID", None, 2)
    return data


def read_key(text):
    found = re.fullmatch(r"([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text.strip())
    material = plain(found[3]) if found else b""
    if not found or len(material) != 33 or material[0] != 1:
        raise Fault("NO_KEY", None, 3)
    number = hashlib.sha256(found[1].encode() + b"\n" + material).digest()[:4]
    if number.hex() != found[2]:
        raise Fault("NO_KEY", None, 3)
    return found[1], number, material[1:]


def read_note(note, key):
    name, number, public = key
    found = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n\n((?:\u2014 [^ \n]+ [^ \n]+\n)+)", note)
    if found and found[1] == name:
        body = note[: note.index("\n\n") + 1].encode()
        for line in found[4].split("\n")[:-1]:
            _, who, text = line.split(" ")
            data = plain(text)
            if who == name and data[:4] == number:
                if is_signature(public, body, data[4:]):
                    return int(found[2]), plain(found[3])
                break
    raise Fault("CHECKPOINT_INVALID", None, 2)


def read(path):
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


def read_checkpoints(path, key):
    text = read(path)
    *lines, rest = text.split(b"\n")
    wanted, before = {}, 0
    for line in lines:
        try:
            record = json.loads(line)
            note, said = record["note"], [record["origin"], record["size"], record["root"]]
            canonical = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        except (ValueError, KeyError, TypeError):
            raise Fault("CHECKPOINT_INVALID", None, 2) from None
        size, root = read_note(note, key)
        if canonical != line or len(record) != 4 or said != [key[0], size, base64.b64encode(root).decode()]:
            raise Fault("CHECKPOINT_INVALID", None, 2)
        if size < before:
            raise Fault("CHECKPOINT_ORDER", None, 2)
        wanted.setdefault(size, []).append(root)
        before = size
    return wanted, before, bool(rest)


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(frontier):
    if not frontier:
        return hashlib.sha256(b"").digest()
    right = frontier[-1]
    for left in reversed(frontier[:-1]):
        right = node(left, right)
    return right


def run(place, key_text, state):
    """state: `entries` and `frontier`, filled on the way. Raises Fault."""
    frontier, agreed, prev, time = state["frontier"], 0, "sha256:" + "0" * 64, 0
    path = os.path.join(place, "key.vkey")
    if not key_text and not os.path.exists(path):
        raise Fault("NO_KEY", None, 3)
    key = read_key(key_text or read(path).decode(errors="replace"))
    wanted, last, is_torn = read_checkpoints(os.path.join(place, "checkpoints.jsonl"), key)
    if not os.path.exists(os.path.join(place, "entries.jsonl")):
        raise Fault("EMPTY", None, 3)
    if any(root != root_of([]) for root in wanted.get(0, [])):
        raise Fault("ROOT_DIFFERS", 0, 2)
    with open(os.path.join(place, "entries.jsonl"), "rb") as file:
        for index, line in enumerate(file):
            if not line.endswith(b"\n"):
                raise Fault("CUT_OFF", index, 2) if last > index else Fault("TORN", index, 3)
            found = ENTRY.fullmatch(line[:-1].decode("latin-1")) if len(line) <= 1501 else None
            at = int(found[1] or found[2]) if found else 0
            if not found or (at >= 1 << 53) != (found[1] is None):
                raise Fault("MALFORMED", index, 2)
            if int(found[3]) != index:
                raise Fault("INDEX", index, 2)
            if found[4] != prev:
                raise Fault("CHAIN", index, 2)
            if at < time:
                raise Fault("TIME_WENT_BACK", index, 2)
            leaf = hashlib.sha256(b"\x00" + line[:-1]).digest()
            prev, time, full = "sha256:" + leaf.hex(), at, index
            while full & 1:
                leaf, full = node(frontier.pop(), leaf), full >> 1
            frontier.append(leaf)
            state["entries"] = index + 1
            for expected in wanted.get(index + 1, []):
                if expected != root_of(frontier):
                    raise Fault("ROOT_DIFFERS", agreed, 2)
                agreed = index + 1
    if last > state["entries"]:
        raise Fault("CUT_OFF", state["entries"], 2)
    if not wanted and not state["entries"]:
        raise Fault("EMPTY", None, 3)
    if is_torn:
        raise Fault("CHECKPOINT_TORN", None, 3)
    if last < state["entries"]:
        raise Fault("UNANCHORED_TAIL", last, 4)


def main(words):
    if len(words) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 3
    state, fault = {"entries": 0, "frontier": []}, (None, None, 0)
    try:
        run(words[0], words[1] if len(words) == 2 else "", state)
    except Fault as error:
        fault = error.args
    root = base64.b64encode(root_of(state["frontier"])).decode()
    found = {"entries": state["entries"], "ok": not fault[2], "first_bad": fault[1], "reason": fault[0], "root": root}
    print(json.dumps(found))
    return fault[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
