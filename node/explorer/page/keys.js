// The person's key. It is made or loaded here and never leaves: the browser signs, and the node gets signatures only.
// A key that is kept in this browser is kept as an object that can sign and cannot be read, not even by this page.

import { hexOf, isKey, ofHex } from "./record.js";

// The head of an Ed25519 key in PKCS #8 (RFC 8410, section 7); the 32 bytes of the seed follow.
const PKCS8 = "302e020100300506032b657004220420";
const STORE = "keys";

let current = null;

/** The key that is loaded now: `{public, secret, file}`, `file` being what may be saved, null where it is not known. */
export const mine = () => current;

export function forget() {
  current = null;
}

export async function generate() {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const { d } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  current = await keyOf(ofBase64(d));
  return current;
}

/** Load a key file as `dnarc keygen` makes it. Throws an Error whose message says what is wrong with it. */
export async function load(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error("this is no key file of dnarc: it holds no JSON");
  }
  if (file?.sealed) {
    throw new Error("this key file is sealed with a passphrase, which no browser can open by itself (Argon2id)");
  }
  if (typeof file?.seed !== "string" || !isKey(file.seed))
    throw new Error("this is no key file of dnarc: it has no `seed`");
  const key = await keyOf(ofHex(file.seed));
  if (key.public !== file.public) throw new Error("this key file is damaged: its secret belongs to another public key");
  current = key;
  return key;
}

export async function sign(bytes) {
  return hexOf(await crypto.subtle.sign("Ed25519", current.secret, bytes));
}

async function keyOf(seed) {
  const der = new Uint8Array([...ofHex(PKCS8), ...seed]);
  const readable = await crypto.subtle.importKey("pkcs8", der, "Ed25519", true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", readable);
  const publicKey = hexOf(ofBase64(x));
  const secret = await crypto.subtle.importKey("pkcs8", der, "Ed25519", false, ["sign"]);
  const file = `${JSON.stringify({ version: 1, public: publicKey, seed: hexOf(seed) }, null, 2)}\n`;
  return { public: publicKey, secret, file };
}

function ofBase64(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

/** Keep the key in this browser until `discard`. */
export function keep() {
  return withStore("readwrite", (store) => store.put({ public: current.public, secret: current.secret }, "mine"));
}

export function discard() {
  return withStore("readwrite", (store) => store.delete("mine"));
}

/** Take up the key that was kept, if there is one. Returns it, or null. */
export async function resume() {
  if (current !== null) return current;
  const kept = await withStore("readonly", (store) => store.get("mine")).catch(() => null);
  if (kept) current = { ...kept, file: null };
  return current;
}

function withStore(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("dnarc-explorer", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => {
        opening.result.close();
        resolve(request.result);
      };
      transaction.onerror = () => {
        opening.result.close();
        reject(transaction.error);
      };
    };
  });
}
