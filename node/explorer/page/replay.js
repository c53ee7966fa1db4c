// Replay in the browser: the function from a history to a state that every node computes (section 2 of the protocol).
// With it the page finds out whether its node's verdicts are right.

/** Records by order key: timestamp, then id. */
export function byOrderKey(one, other) {
  return one.record.timestamp - other.record.timestamp || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
}

/** Judge a label's records, `[{id, record}]`. Gives `{entry, verdict, after}`, oldest first. `after` is the entry of
 * the last accepted record before this one, or null. */
export function replay(entries) {
  const named = new Set();
  let tip = null;
  return [...entries].sort(byOrderKey).map((entry) => {
    const verdict = judge(entry.record, tip, named);
    const judged = { entry, verdict, after: tip };
    if (isAccepted(verdict)) {
      tip = entry;
      named.add(entry.record.signedby);
      if (entry.record.newowner !== undefined) named.add(entry.record.newowner);
    }
    return judged;
  });
}

export const isAccepted = (verdict) => ["founded", "updated", "offered", "transferred"].includes(verdict);

function judge(record, tip, named) {
  if (tip === null) return record.prev === undefined ? "founded" : "orphan";
  const { signedby: owner, newowner: offered } = tip.record;
  if (record.signedby !== owner && record.signedby !== offered) {
    return record.prev === undefined && !named.has(record.signedby) ? "rival" : "not_owner";
  }
  if (record.prev !== undefined && record.prev !== tip.id) return "stale";
  if (record.signedby !== owner) return "transferred";
  return record.newowner === undefined ? "updated" : "offered";
}
