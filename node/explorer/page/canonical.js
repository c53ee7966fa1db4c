// Canonical JSON, RFC 8785: the one text of a value that is signed and hashed. The RFC takes the form of numbers and
// the order of keys (by UTF-16 code units) from ECMAScript, so the language does most of the work. This module adds the
// refusals: of values that I-JSON (RFC 7493) or the protocol forbids.

export const DEPTH_MAX = 32;

const LONE_SURROGATE = /\p{Surrogate}/u;
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

/** Why a value has no canonical bytes. */
export class NotCanonical extends Error {}

/** The canonical text of a value that JSON can hold. Throws NotCanonical. */
export function canonical(value, depth = 1) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return string(value);
  if (typeof value !== "object") throw new NotCanonical(`JSON has no ${typeof value}`);
  if (depth > DEPTH_MAX) throw new NotCanonical(`nested deeper than ${DEPTH_MAX} levels`);
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join(",")}]`;
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${string(key)}:${canonical(value[key], depth + 1)}`).join(",")}}`;
}

function number(value) {
  if (!Number.isFinite(value)) throw new NotCanonical("a number is finite");
  const text = JSON.stringify(value);
  if (/^-?\d+$/.test(text) && !Number.isSafeInteger(value)) {
    throw new NotCanonical(`the integer ${text} is beyond 2^53-1: write it as a string`);
  }
  return text;
}

function string(value) {
  if (LONE_SURROGATE.test(value)) throw new NotCanonical("a string holds half of a character (a lone surrogate)");
  return JSON.stringify(value);
}

/** The value of a JSON text. Unlike JSON.parse this refuses a repeated key, of which JSON.parse keeps the last one, and
 * a number that would become infinite. `depth` 0 is for an object around a record. Throws NotCanonical. */
export function read(text, depth = 1) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new NotCanonical(`not JSON: ${error.message}`);
  }
  const repeated = repeatedKey(text);
  if (repeated !== null) throw new NotCanonical(`the key ${JSON.stringify(repeated)} is repeated in one object`);
  canonical(value, depth);
  return value;
}

/** A key that one object of this JSON text has twice, or null. */
function repeatedKey(text) {
  const objects = [];
  let last = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{") objects.push(new Set());
    else if (token === "[") objects.push(null);
    else if (token === "}" || token === "]") objects.pop();
    else if (token === ":") {
      const key = JSON.parse(last);
      if (objects.at(-1).has(key)) return key;
      objects.at(-1).add(key);
    }
    last = token;
  }
  return null;
}
