// Drafting: the record that comes next under a label, from what a person wrote and the head that it follows.

import { get, getPage, path } from "./api.js";
import { NotCanonical } from "./canonical.js";
import { OWN_KEYS, check, contentOf, idOf, isDomain, isKey, isLabel } from "./record.js";

/** The head, or null where the label is free. A label is the first of those that begin with it: asked for like that,
 * a free one is an empty page and no error, which a browser would write to its console at every key pressed. */
export async function fetchHead(domain, label, signal) {
  try {
    if (!(await get("/domains", { signal })).includes(domain)) return null;
    const { entries } = await getPage(`${path("claims", domain)}?${new URLSearchParams({ prefix: label, limit: 1 })}`, {
      signal,
    });
    if (entries[0]?.record.label !== label) return null;
    const [{ signature, record }] = entries;
    const id = await idOf(record);
    const { state } = await check(record, signature, id);
    if (state === "bad" || record.domain !== domain) {
      return { record, id, problem: "the node shows a head of this label that nobody signed" };
    }
    return { record, id };
  } catch (error) {
    return error.name === "AbortError" ? null : { problem: error.message };
  }
}

/** The record as it would be signed now: `{domain, label, mode, head, content, newowner}` by this key. Throws
 * NotCanonical with words for the person where there is none yet. */
export function draft({ domain, label, mode, head, content, newowner }, key) {
  if (key === null) throw new NotCanonical("Make or load a key first.");
  if (!isDomain(domain) || !isLabel(label)) throw new NotCanonical("Name a domain and a label.");
  if (head?.problem) throw new NotCanonical(head.problem);
  const claimed = mode === "claim" ? checked(content) : handedOver(head);
  const record = Object.assign(Object.create(null), claimed, { domain, label, signedby: key.public });
  if (mode === "transfer") record.newowner = checkedKey(newowner);
  record.timestamp = Math.max(Math.floor(Date.now() / 1000), head === null ? 1 : head.record.timestamp + 1);
  if (head !== null) record.prev = head.id;
  return record;
}

function checked(content) {
  if (content === null || typeof content !== "object" || Array.isArray(content)) {
    throw new NotCanonical("A claim is a JSON object.");
  }
  const own = OWN_KEYS.find((key) => Object.hasOwn(content, key));
  if (own !== undefined) {
    throw new NotCanonical(`\`${own}\` is set by this page itself: the fields above are for it.`);
  }
  return content;
}

function handedOver(head) {
  if (head === null) throw new NotCanonical("Nothing is claimed under this label: there is nothing to hand over.");
  return contentOf(head.record);
}

function checkedKey(text) {
  const key = text.trim().toLowerCase();
  if (!isKey(key)) throw new NotCanonical("The new owner is a public key: 64 hex digits.");
  return key;
}
