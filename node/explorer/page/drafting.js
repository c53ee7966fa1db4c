// Drafting: the record that comes next under a label, made from what a person wrote and from the head that it follows.

import { get, getPage, path } from "./api.js";
import { NotCanonical, canonical } from "./canonical.js";
import { OWN_KEYS, check, contentOf, idOf, isDomain, isKey, isLabel } from "./record.js";

/** The head of a label as `{record, id}`, null if the label is free. The head is proven before anything is signed that
 * follows it: `problem` says why it must not be followed. Throws what the node refuses.
 *
 * The page asks for the first label that begins with this one. For a free label the answer is then an empty list and no
 * error, which a browser would write to its console at every key pressed. */
export async function fetchHead(domain, label, signal) {
  if (!(await get("domains", { signal })).includes(domain)) return null;
  const query = new URLSearchParams({ prefix: label, limit: 1 });
  const { entries } = await getPage(`${path("claims", domain)}?${query}`, { signal });
  if (entries[0]?.record.label !== label) return null;
  const [{ signature, record }] = entries;
  const id = await idOf(record);
  const { state } = await check(record, signature, id);
  if (state === "good" && record.domain === domain) return { record, id };
  return { record, id, problem: "The node shows a head of this label that its signer did not sign." };
}

/** The record as it would be signed now: `{domain, label, mode, head, content, newowner}` by this key. Throws
 * NotCanonical, with words for the person, if there is no record to sign yet. */
export function draft({ domain, label, mode, head, content, newowner }, key) {
  if (key === null) throw new NotCanonical("Make or load a key first.");
  if (!key.isSaved) throw new NotCanonical("Save your new key first, above. Then you can sign.");
  if (!isDomain(domain) || !isLabel(label)) throw new NotCanonical("Name a domain and a label.");
  if (head?.problem) throw new NotCanonical(head.problem);
  checkOwner(mode, head, key);
  const claimed = mode === "claim" ? checkedContent(content) : contentOf(head.record);
  const record = Object.assign(Object.create(null), claimed, { domain, label, signedby: key.public });
  if (mode === "transfer") record.newowner = checkedKey(newowner);
  record.timestamp = Math.max(Math.floor(Date.now() / 1000), head === null ? 1 : head.record.timestamp + 1);
  if (head !== null) record.prev = head.id;
  if (key.seed !== null && canonical(record).includes(key.seed)) {
    throw new NotCanonical("Your secret key stands in this record, and records are public. Take it out.");
  }
  return record;
}

/** The node would refuse a record by anybody but the owner and the key that the label is offered to. */
function checkOwner(mode, head, key) {
  if (head === null) {
    if (mode === "claim") return;
    throw new NotCanonical("Nobody has claimed this label: there is nothing to offer or to accept.");
  }
  const { signedby, newowner } = head.record;
  if (mode === "accept" && newowner !== key.public) throw new NotCanonical("This label is not offered to your key.");
  if (key.public !== signedby && key.public !== newowner) {
    throw new NotCanonical("Your key does not own this label. Load its owner's key, or choose another label.");
  }
}

function checkedContent(content) {
  if (content === null || typeof content !== "object" || Array.isArray(content)) {
    throw new NotCanonical("A claim is a JSON object.");
  }
  const own = OWN_KEYS.find((key) => Object.hasOwn(content, key));
  if (own !== undefined) {
    throw new NotCanonical(`The page itself sets \`${own}\`: use the fields above.`);
  }
  if (["public", "seed"].every((name) => isKey(String(content[name])))) {
    throw new NotCanonical("This is a key file, and claims are public: whoever reads it could sign with that key.");
  }
  return content;
}

function checkedKey(text) {
  const key = text.trim().toLowerCase();
  if (!isKey(key)) throw new NotCanonical("The new owner is a public key: 64 hex digits.");
  return key;
}
