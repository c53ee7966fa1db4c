// The person's key. The key is made or loaded here and never leaves the browser: the browser signs, and the node gets
// signatures only. Nothing is signed before the person has saved the key, because a label whose key is lost can never
// change again. A key that stays in this browser is an object that can sign and that nobody can read, the page
// included.

import { Problem } from "./api.js";
import { hexOf, isKey, ofHex } from "./record.js";

// The head of an Ed25519 key in PKCS #8 (RFC 8410, section 7); the 32 bytes of the seed follow.
const PKCS8 = "302e020100300506032b657004220420";
const STORE = "keys";
const RESUME_MS_MAX = 2_000;

let current = null;

/** The loaded key or null: `{public, secret, seed, file, isSaved}`. `file` is the text of the key file; `seed` and
 * `file` are null if the key comes from this browser's storage. `isSaved`: a copy exists outside of the page. */
export const mine = () => current;

export const hasUnsavedKey = () => current !== null && !current.isSaved;

export function forget() {
  current = null;
}

/** Make a key. The page signs with it only after `confirmSaved`. */
export async function generate() {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const { d } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  current = { ...(await keyOf(ofBase64(d))), isSaved: false };
}

/** The person says that a copy of the key is saved. */
export function confirmSaved() {
  current = { ...current, isSaved: true };
}

/** Load a key file as `dnarc keygen` makes it. Throws an Error whose message says what is wrong with the file. */
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
  current = { ...key, isSaved: true };
}

/** The signature of these bytes in hex. Throws a Problem if the browser cannot sign. */
export async function sign(bytes) {
  try {
    return hexOf(await crypto.subtle.sign("Ed25519", current.secret, bytes));
  } catch (error) {
    throw new Problem(0, "browser", `this browser could not sign: ${error.message}`);
  }
}

async function keyOf(seed) {
  const der = new Uint8Array([...ofHex(PKCS8), ...seed]);
  const readable = await crypto.subtle.importKey("pkcs8", der, "Ed25519", true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", readable);
  const publicKey = hexOf(ofBase64(x));
  const secret = await crypto.subtle.importKey("pkcs8", der, "Ed25519", false, ["sign"]);
  const file = `${JSON.stringify({ version: 1, public: publicKey, seed: hexOf(seed) }, null, 2)}\n`;
  return { public: publicKey, secret, seed: hexOf(seed), file };
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

/** Take up the key that this browser keeps, if there is one. A browser whose storage is switched off, or does not
 * answer within two seconds, keeps no key. */
export async function resume() {
  if (current !== null) return;
  const tooLate = new Promise((resolve) => setTimeout(resolve, RESUME_MS_MAX, null));
  const reading = withStore("readonly", (store) => store.get("mine")).catch(() => null);
  const kept = await Promise.race([reading, tooLate]);
  if (kept) current = { ...kept, seed: null, file: null, isSaved: true };
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
