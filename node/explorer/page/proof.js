// A proof that a record is final, checked by this browser alone. It believes nothing but the name of the domain: the
// name is the hash of a policy, the policy names the witnesses, and a quorum of them signed that they commit each
// record of the chain in one round. Where the proof comes from does not matter.

import { NotCanonical, canonical, read } from "./canonical.js";
import { bytesOf, check, idOf, isDomain, isId, isKey, isLabel, whyNoCrypto } from "./record.js";
import { isWitnessed } from "./walk.js";

const RECORD_BYTES_MAX = 65_536;
const WITNESSES_MAX = 16;
const IDS_MAX = 400;
const AT_MIN = 1_000;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const POLICY_KEYS = ["domain", "faulty", "label", "signedby", "timestamp", "witnesses"];
const ROUND = /^(?:0|[1-9][0-9]{0,8})$/;
const SIGNATURE = /^[0-9a-f]{128}$/;

class Unproven extends Error {}

/** What the lines of a proof show of this label: `{state, why, policy, chain}`. `state` is "good", "bad", or "unknown"
 * if this browser cannot check. `chain` are the final records as `{id, record}`, oldest first, and `policy` is
 * `{faulty, witnesses, quorum}`. */
export async function checkProof(domain, label, text) {
  const missing = await whyNoCrypto();
  if (missing !== null) return { state: "unknown", why: missing };
  try {
    if (!isWitnessed(domain)) throw new Unproven("the domain has no witnesses, so nothing in it is ever final");
    const records = await signedRecords(domain, text);
    const policy = await policyIn(domain, records);
    const chain = chainIn(label, records);
    checkDecided(policy, chain, records);
    return { state: "good", why: "", policy, chain };
  } catch (error) {
    if (error instanceof Unproven || error instanceof NotCanonical) return { state: "bad", why: error.message };
    throw error;
  }
}

/** The records of the lines, each signed by the key that it names. */
async function signedRecords(domain, text) {
  const records = [];
  for (const line of text.split("\n").filter((each) => each.trim() !== "")) {
    const { record, signature } = read(line, 0) ?? {};
    checkRecord(record, signature);
    if (record.domain !== domain) throw new Unproven("a record of the proof is of another domain");
    const id = await idOf(record);
    const { state, why } = await check(record, signature, id);
    if (state !== "good") throw new Unproven(`record ${id}: ${why}`);
    records.push({ id, record });
  }
  return records;
}

function checkRecord(record, signature) {
  const isText = (value) => typeof value === "string";
  const isRecord =
    isMap(record) &&
    isText(record.domain) &&
    isDomain(record.domain) &&
    isText(record.label) &&
    isLabel(record.label) &&
    isText(record.signedby) &&
    isKey(record.signedby) &&
    Number.isSafeInteger(record.timestamp) &&
    record.timestamp > 0 &&
    (record.newowner === undefined || (isText(record.newowner) && isKey(record.newowner))) &&
    (record.prev === undefined || (isText(record.prev) && isId(record.prev))) &&
    isText(signature) &&
    SIGNATURE.test(signature);
  if (!isRecord) throw new Unproven("a line of the proof holds no signed record");
  if (bytesOf(canonical(record)).length > RECORD_BYTES_MAX) throw new Unproven("a record of the proof is too large");
}

/** The policy that the name of the domain commits to. */
async function policyIn(domain, records) {
  for (const { record } of records) {
    if (record.label !== "@policy" || !sameList(Object.keys(record).sort(), POLICY_KEYS)) continue;
    const { faulty, witnesses } = record;
    const name = await policyName({ faulty, witnesses });
    if (name === domain.split(".").at(-1) && isPolicy(faulty, witnesses)) {
      return { faulty, witnesses, quorum: Math.floor((witnesses.length + faulty) / 2) + 1 };
    }
  }
  throw new Unproven("no record of the proof is the policy that the name of the domain commits to");
}

function isPolicy(faulty, witnesses) {
  return (
    Array.isArray(witnesses) &&
    witnesses.every((key, at) => typeof key === "string" && isKey(key) && (at === 0 || witnesses[at - 1] < key)) &&
    Number.isSafeInteger(faulty) &&
    faulty >= 0 &&
    witnesses.length >= Math.max(1, 3 * faulty + 1) &&
    witnesses.length <= WITNESSES_MAX
  );
}

/** The last part of the names of the domains that have this policy. */
export async function policyName(policy) {
  const digest = await crypto.subtle.digest("SHA-256", bytesOf(canonical(policy)));
  return `w${base32(new Uint8Array(digest))}`;
}

/** RFC 4648, section 6, in lower case and without padding. */
function base32(bytes) {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  return bits.replace(/.{1,5}/g, (five) => BASE32[parseInt(five.padEnd(5, "0"), 2)]);
}

const sameList = (one, other) => one.length === other.length && one.every((each, at) => each === other[at]);

/** The records of the label, which have to form one chain from its founding. */
function chainIn(label, records) {
  const byId = new Map(records.filter(({ record }) => record.label === label).map((each) => [each.id, each]));
  const after = new Map();
  for (const each of byId.values()) {
    const prev = each.record.prev ?? null;
    if (after.has(prev)) throw new Unproven(`two records of the label follow ${prev ?? "nothing"}`);
    after.set(prev, each);
  }
  const chain = [];
  for (let next; (next = after.get(chain.at(-1)?.id ?? null)) !== undefined; ) {
    const before = chain.at(-1)?.record;
    const { signedby } = next.record;
    if (before !== undefined && signedby !== before.signedby && signedby !== before.newowner) {
      throw new Unproven(`record ${next.id} is signed by a key that the record before it does not name`);
    }
    chain.push(next);
  }
  if (chain.length === 0 || chain.length < byId.size) {
    throw new Unproven("the records of the label form no chain that begins with a founding");
  }
  return chain;
}

function checkDecided(policy, chain, records) {
  const commits = new Map(); // by record and round: the witnesses
  for (const { record } of records) {
    if (!policy.witnesses.includes(record.signedby) || !isReceipt(record)) continue;
    for (const [round, ids] of Object.entries(record.commit ?? {})) {
      for (const id of ids) {
        const key = `${id} ${round}`;
        commits.set(key, (commits.get(key) ?? new Set()).add(record.signedby));
      }
    }
  }
  const most = new Map();
  for (const [key, witnesses] of commits) {
    const [id] = key.split(" ");
    most.set(id, Math.max(witnesses.size, most.get(id) ?? 0));
  }
  for (const { id } of chain) {
    const committed = most.get(id) ?? 0;
    if (committed < policy.quorum) {
      throw new Unproven(`${committed} witnesses commit record ${id} in one round, and ${policy.quorum} have to`);
    }
  }
}

/** Whether this is a receipt that counts. One broken rule, and it counts for nothing. */
export function isReceipt(record) {
  const { at, first = {}, seen = {}, vote = {}, commit = {} } = record;
  return (
    record.label === `@seen/${record.signedby}` &&
    Number.isSafeInteger(at) &&
    at >= AT_MIN &&
    record.timestamp === Math.floor(at / 1_000) &&
    [first, seen].every(areTimes) &&
    [vote, commit].every(areBallots) &&
    !Object.hasOwn(vote, "0") &&
    Object.keys(first).length + Object.keys(seen).length <= IDS_MAX &&
    [vote, commit].flatMap(Object.values).flat().length <= IDS_MAX
  );
}

const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const areTimes = (value) =>
  isMap(value) && Object.entries(value).every(([id, ms]) => isId(id) && Number.isSafeInteger(ms) && ms > 0);
const areBallots = (value) => isMap(value) && Object.entries(value).every(([round, ids]) => isBallot(round, ids));
const isBallot = (round, ids) =>
  ROUND.test(round) &&
  Array.isArray(ids) &&
  ids.every((id) => typeof id === "string" && isId(id)) &&
  new Set(ids).size === ids.length;
