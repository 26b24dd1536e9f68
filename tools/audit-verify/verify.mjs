// Verify an audit log of Tidegate without Tidegate: Node 16 or newer, nothing to install.
//
//   node verify.mjs LOG [KEY]      LOG: directory of the log; KEY: NAME+HASH+KEY, else the one in the log
//
// Written from docs/audit.md, not from the Python code, so that two programs must agree. Prints one JSON object with
// `entries`, `ok`, `first_bad`, `reason`, `root`; exit code 0 holds, 2 tampered, 3 incomplete, 4 unanchored end.
// It checks form, index, time, chain, every checkpoint's signature and root; the lives of actions it does not.
import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [place, keyText] = process.argv.slice(2);
const ZERO = "sha256:" + "0".repeat(64);
const ENTRY = new RegExp(
  '^\\{"action_id":"[ !#-\\[\\]-~]{0,300}","actor":"[ !#-\\[\\]-~]{0,300}","at_ns":(?:(0|[1-9]\\d{0,15})|"([1-9]\\d{15,18})"),' +
  '"body_digest":"(?:sha256:[0-9a-f]{64})?","from_state":"(?:[a-z][a-z_]{0,40})?","index":(0|[1-9]\\d{0,14}),' +
  '"inputs_digest":"(?:sha256:[0-9a-f]{64})?","policy_digest":"(?:sha256:[0-9a-f]{64})?",' +
  '"prev":"(sha256:[0-9a-f]{64})","to_state":"[a-z][a-z_]{0,40}"\\}$');

const hash = (...parts) => { const h = createHash("sha256"); for (const p of parts) h.update(p); return h.digest(); };
const node = (l, r) => hash(Buffer.from([1]), l, r);
class Fault extends Error { constructor(reason, index, code = 2) { super(reason); Object.assign(this, { reason, index, code }); } }

function base64(text) {
  const data = Buffer.from(text, "base64");
  if (data.toString("base64") !== text) throw new Fault("CHECKPOINT_INVALID", null);
  return data;
}

function readKey(text) {
  const found = /^([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text.trim());
  if (!found) throw new Fault("NO_KEY", null, 3);
  const material = base64(found[3]);
  const id = hash(found[1], "\n", material).subarray(0, 4);
  if (id.toString("hex") !== found[2] || material[0] !== 1 || material.length !== 33) throw new Fault("NO_KEY", null, 3);
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), material.subarray(1)]);
  return { name: found[1], id, key: createPublicKey({ key: spki, format: "der", type: "spki" }) };
}

function readNote(note, key) {
  const found = /^([^\n]+)\n(0|[1-9]\d*)\n([^\n]+)\n\n((?:\u2014 [^\n]+\n)+)$/.exec(note);
  if (!found || found[1] !== key.name) throw new Fault("CHECKPOINT_INVALID", null);
  const body = Buffer.from(note.slice(0, note.indexOf("\n\n") + 1));
  for (const line of found[4].split("\n").filter(Boolean)) {
    const parts = line.split(" ");
    if (parts.length !== 3) throw new Fault("CHECKPOINT_INVALID", null);
    const data = base64(parts[2]);
    if (parts[1] === key.name && data.subarray(0, 4).equals(key.id)) {
      if (!verifySignature(null, body, key.key, data.subarray(4))) throw new Fault("CHECKPOINT_INVALID", null);
      return { size: Number(found[2]), root: base64(found[3]) };
    }
  }
  throw new Fault("CHECKPOINT_INVALID", null);
}

function readCheckpoints(file, key) {
  const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [""];
  const torn = lines.pop() !== "";
  const wanted = new Map();
  let before = 0;
  for (const line of lines) {
    let record;
    try { record = JSON.parse(line); } catch { throw new Fault("CHECKPOINT_INVALID", null); }
    const { note, origin, root, size } = record;
    const canonical = JSON.stringify({ note, origin, root, size });
    const head = readNote(String(note), key);
    if (canonical !== line || origin !== key.name || size !== head.size || root !== head.root.toString("base64"))
      throw new Fault("CHECKPOINT_INVALID", null);
    if (head.size < before) throw new Fault("CHECKPOINT_ORDER", null);
    before = head.size;
    wanted.set(head.size, [...(wanted.get(head.size) ?? []), head.root]);
  }
  return { wanted, torn, last: before };
}

async function* lines(file) {
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    let data = rest.length ? Buffer.concat([rest, chunk]) : chunk, start = 0, end;
    while ((end = data.indexOf(10, start)) >= 0) { yield [data.subarray(start, end), true]; start = end + 1; }
    rest = data.subarray(start);
  }
  if (rest.length) yield [rest, false];
}

async function run() {
  const result = { entries: 0, ok: false, first_bad: null, reason: null, root: "" };
  const frontier = []; let agreed = 0, prev = ZERO, time = 0n;
  const rootNow = () => frontier.length ? frontier.reduceRight((right, left) => right ? node(left, right) : left, null) : hash("");
  try {
    const file = join(place, "key.vkey");
    if (!keyText && !existsSync(file)) throw new Fault("NO_KEY", null, 3);
    const key = readKey(keyText ?? readFileSync(file, "utf8"));
    const { wanted, torn, last } = readCheckpoints(join(place, "checkpoints.jsonl"), key);
    if (!existsSync(join(place, "entries.jsonl"))) throw new Fault("EMPTY", null, 3);
    const agree = (size) => {
      const root = rootNow();
      for (const expected of wanted.get(size) ?? []) if (!expected.equals(root)) throw new Fault("ROOT_DIFFERS", agreed);
      if (wanted.has(size)) agreed = size;
    };
    agree(0);
    for await (const [line, whole] of lines(join(place, "entries.jsonl"))) {
      const index = result.entries;
      if (!whole) throw last > index ? new Fault("CUT_OFF", index) : new Fault("TORN", index, 3);
      const found = line.length <= 1500 ? ENTRY.exec(line.toString("latin1")) : null;
      if (!found) throw new Fault("MALFORMED", index);
      const at = BigInt(found[1] ?? found[2]);
      if ((at >= 1n << 53n) !== (found[1] === undefined)) throw new Fault("MALFORMED", index);
      if (Number(found[3]) !== index) throw new Fault("INDEX", index);
      if (found[4] !== prev) throw new Fault("CHAIN", index);
      if (at < time) throw new Fault("TIME_WENT_BACK", index);
      let leaf = hash(Buffer.from([0]), line);
      prev = "sha256:" + leaf.toString("hex"); time = at;
      for (let full = index; full & 1; full = Math.floor(full / 2)) leaf = node(frontier.pop(), leaf);
      frontier.push(leaf);
      result.entries = index + 1;
      if (wanted.has(index + 1)) agree(index + 1);
    }
    const size = result.entries;
    if (last > size) throw new Fault("CUT_OFF", size);
    if (!wanted.size && !size) throw new Fault("EMPTY", null, 3);
    if (torn) throw new Fault("CHECKPOINT_TORN", null, 3);
    if (last < size) throw new Fault("UNANCHORED_TAIL", last, 4);
    result.ok = true;
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    result.reason = fault.reason; result.first_bad = fault.index; process.exitCode = fault.code;
  }
  result.root = rootNow().toString("base64");
  console.log(JSON.stringify(result));
}

if (!place) { console.error("usage: node verify.mjs LOG [KEY]"); process.exitCode = 3; } else await run();
