// The walk in the browser: the function from the records of a witnessed label to its state (section 10 of the
// protocol). What the witnesses saw and decided is the node's word here; `proof.js` proves what is final.

const LATER = Infinity; // a decided record that too few witnesses saw

export const isWitnessed = (domain) => /^w[a-z2-7]{51}[aq]$/.test(domain.split(".").at(-1));

/** Walk the records of a label, `[{id, record, ordered, decided, verdict}]`. Gives `{entry, verdict, after,
 * certainty}`, each record after the one that it follows, and the records that lost after the one that won. `after` is
 * the entry of the accepted record before this one, or null. `certainty` is null for a record that lost. */
export function walk(entries) {
  if (entries.some(({ record }) => record.label.startsWith("@"))) return ofWitnesses(entries);
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const on = new Map(); // by `prev`
  for (const entry of entries) {
    const prev = entry.record.prev ?? null;
    if (!on.has(prev)) on.set(prev, []);
    on.get(prev).push(entry);
  }
  const slot = (prev) => (on.get(prev) ?? []).filter((entry) => isCandidate(entry, byId));
  const chain = [];
  for (let next; (next = choose(slot(chain.at(-1)?.id ?? null))) !== undefined; ) chain.push(next);
  const undecided = chain.findIndex((entry) => !entry.decided);
  const state = {
    places: new Map(chain.map((entry, at) => [entry.id, at])),
    chain,
    final: undecided < 0 ? chain.length : undecided,
    decided: new Map([...on.keys()].map((prev) => [prev, slot(prev).filter((entry) => entry.decided)])),
    byId,
  };
  return inOrder(chain, on, byId).map((entry) => judged(entry, state));
}

function isCandidate({ record }, byId) {
  if (record.prev === undefined) return true;
  const before = byId.get(record.prev);
  return before !== undefined && names(before, record.signedby);
}

const names = ({ record }, key) => key === record.signedby || key === record.newowner;

/** The candidate that the walk takes: a decided one, else the one that was ordered first. */
function choose(candidates) {
  const decided = candidates.filter((entry) => entry.decided);
  const eligible = decided.length > 0 ? decided : candidates.filter((entry) => entry.ordered !== null);
  return [...eligible].sort(inPrecedence)[0];
}

function inPrecedence(one, other) {
  const [first, second] = [one.ordered ?? LATER, other.ordered ?? LATER];
  if (first !== second) return first - second;
  return one.id < other.id ? -1 : 1;
}

/** The chain, and after each record of it those that lost in its place, with what follows them. */
function inOrder(chain, on, byId) {
  const order = new Set();
  const branch = (begin) => {
    const waiting = [begin];
    for (let entry; (entry = waiting.pop()) !== undefined; ) {
      if (order.has(entry)) continue;
      order.add(entry);
      waiting.push(...[...(on.get(entry.id) ?? [])].sort(inPrecedence).reverse());
    }
  };
  const isOnChain = new Set(chain);
  const losers = (prev) => (on.get(prev) ?? []).filter((entry) => !isOnChain.has(entry)).sort(inPrecedence);
  let prev = null;
  for (const entry of chain) {
    order.add(entry);
    for (const loser of losers(prev)) branch(loser);
    prev = entry.id;
  }
  for (const loser of losers(prev)) branch(loser);
  const roots = [...byId.values()].filter(({ record }) => record.prev !== undefined && !byId.has(record.prev));
  for (const entry of [...roots, ...byId.values()]) branch(entry);
  return [...order];
}

function judged(entry, state) {
  const { places, chain, final } = state;
  const { prev } = entry.record;
  const before = prev === undefined ? undefined : chain[places.get(prev)];
  const place = places.get(entry.id);
  const verdict = verdictOn(entry, before, place !== undefined, state);
  const after = before ?? (prev === undefined && place === undefined ? (chain[0] ?? null) : null);
  const certainty =
    place !== undefined ? (place < final ? "final" : "ordered") : hasLost(entry, state) ? null : "pending";
  return { entry, verdict, after, certainty };
}

function verdictOn(entry, before, isOnChain, { decided }) {
  const { prev, signedby, newowner } = entry.record;
  if (isOnChain) {
    if (before === undefined) return "founded";
    if (signedby !== before.record.signedby) return "transferred";
    return newowner === undefined ? "updated" : "offered";
  }
  if (before !== undefined && !names(before, signedby)) return "not_owner";
  if (entry.ordered === null && !decided.get(prev ?? null)?.length) return "pending";
  if (prev === undefined) return "rival";
  return before === undefined ? "orphan" : "stale";
}

/** Whether another record is decided in the place of this one, or of one before it. */
function hasLost(entry, { places, final, decided, byId }) {
  for (let each = entry; each !== undefined; each = byId.get(each.record.prev)) {
    if (places.get(each.id) < final) return false;
    const winners = decided.get(each.record.prev ?? null) ?? [];
    if (winners.length > 0 && !winners.includes(each)) return true;
  }
  return false;
}

/** The records of the witnesses themselves, which have no places. The node's verdicts count. */
function ofWitnesses(entries) {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const ordered = [...entries].sort((one, other) => (one.record.at ?? 0) - (other.record.at ?? 0));
  return ordered.map((entry) => {
    const after = byId.get(entry.record.prev) ?? null;
    return { entry, verdict: entry.verdict, after, certainty: null };
  });
}
