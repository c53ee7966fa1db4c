// A record, as this browser sees it by itself: its canonical bytes, its id, and whether its signer signed it.

import { canonical } from "./canonical.js";

export const OWN_KEYS = ["domain", "label", "signedby", "timestamp", "newowner", "prev"];

const KEY_OR_ID = /^[0-9a-f]{64}$/;
const DOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

export const isKey = (text) => KEY_OR_ID.test(text);
export const isId = isKey;
export const isDomain = (text) => text.length <= 253 && DOMAIN.test(text);

export function isLabel(text) {
  const size = bytesOf(text).length;
  return size >= 1 && size <= 255 && !CONTROL.test(text);
}

export const bytesOf = (text) => new TextEncoder().encode(text);

export const hexOf = (bytes) =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function ofHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** What of a record is the claim itself. Objects here have no prototype: a claim may hold any key. */
export function contentOf(record) {
  const content = Object.create(null);
  for (const [key, value] of Object.entries(record)) if (!OWN_KEYS.includes(key)) content[key] = value;
  return content;
}

/** Why this page cannot check or make signatures, or null where it can. */
export function whyNoCrypto() {
  if (globalThis.crypto?.subtle) return null;
  return "browsers lend their cryptography only to pages from https or from this machine itself (http://127.0.0.1)";
}

export async function idOf(record) {
  return hexOf(await crypto.subtle.digest("SHA-256", bytesOf(canonical(record))));
}

/** What this browser finds: `{state: "good" | "bad" | "unknown", why}`. Nothing that the node says is believed: bytes
 * are spelled anew from the record, hashed, and the signature is checked over them. */
export async function check(record, signature, id) {
  const missing = whyNoCrypto();
  if (missing !== null) return { state: "unknown", why: missing };
  let key;
  try {
    key = await crypto.subtle.importKey("raw", ofHex(record.signedby), "Ed25519", false, ["verify"]);
  } catch (error) {
    if (error.name === "NotSupportedError") return { state: "unknown", why: "this browser has no Ed25519" };
    return { state: "bad", why: "`signedby` is no key that this browser can use" };
  }
  try {
    const bytes = bytesOf(canonical(record));
    if (hexOf(await crypto.subtle.digest("SHA-256", bytes)) !== id) {
      return { state: "bad", why: "the node shows it under an id that is not the hash of its bytes" };
    }
    const isGood = await crypto.subtle.verify("Ed25519", key, ofHex(signature), bytes);
    return isGood
      ? { state: "good", why: "" }
      : { state: "bad", why: "the key in `signedby` did not sign these bytes" };
  } catch (error) {
    return { state: "bad", why: error.message };
  }
}
