// A record, as this browser finds it: its canonical bytes, its id, and whether its signer signed it.

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

/** The claim itself: the record without its own keys. Objects here have no prototype, because a claim may hold any
 * key, `__proto__` too. */
export function contentOf(record) {
  const content = Object.create(null);
  for (const [key, value] of Object.entries(record)) if (!OWN_KEYS.includes(key)) content[key] = value;
  return content;
}

// A signature over no bytes (RFC 8032, section 7.1, test 1). A browser that does not accept it lacks Ed25519.
const KNOWN_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const KNOWN_SIGNATURE =
  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155" +
  "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

let lack;

/** Why this browser can neither check nor make signatures, or null if it can. It is found out once. */
export function whyNoCrypto() {
  lack ??= findLack();
  return lack;
}

async function findLack() {
  if (!globalThis.isSecureContext) {
    return "browsers lend their cryptography only to pages from https or from this machine itself (http://127.0.0.1)";
  }
  if (!globalThis.crypto?.subtle) return "this browser has no Web Cryptography";
  try {
    const key = await importKey(KNOWN_KEY);
    const isKnown = await crypto.subtle.verify("Ed25519", key, ofHex(KNOWN_SIGNATURE), new Uint8Array());
    return isKnown ? null : "the Ed25519 of this browser is wrong";
  } catch (error) {
    return `this browser has no Ed25519 (${error.name})`;
  }
}

const importKey = (hex) => crypto.subtle.importKey("raw", ofHex(hex), "Ed25519", false, ["verify"]);

export async function idOf(record) {
  return hexOf(await crypto.subtle.digest("SHA-256", bytesOf(canonical(record))));
}

const bad = (why) => ({ state: "bad", why });
const unknown = (why) => ({ state: "unknown", why });

/** What this browser finds: `{state: "good" | "bad" | "unknown", why}`. Nothing that the node says is believed: the
 * bytes are made again from the record, they are hashed, and the signature is checked over them. `unknown` means that
 * the browser could not check; this says nothing against the record. */
export async function check(record, signature, id) {
  const missing = await whyNoCrypto();
  if (missing !== null) return unknown(missing);
  let bytes;
  try {
    bytes = bytesOf(canonical(record));
  } catch (error) {
    return bad(error.message);
  }
  try {
    if (hexOf(await crypto.subtle.digest("SHA-256", bytes)) !== id) {
      return bad("the node shows the record under an id that is not the hash of its bytes");
    }
  } catch (error) {
    return unknown(`this browser could not hash the record (${error.name})`);
  }
  let key;
  try {
    key = await importKey(record.signedby);
  } catch {
    return bad("`signedby` is no Ed25519 key"); // the browser has Ed25519, so the key is at fault
  }
  try {
    const isGood = await crypto.subtle.verify("Ed25519", key, ofHex(signature), bytes);
    return isGood ? { state: "good", why: "" } : bad("the key in `signedby` did not sign these bytes");
  } catch (error) {
    return unknown(`this browser could not check the signature (${error.name})`);
  }
}
