// Requests to the node that served this page, and to nobody else. Every failure becomes a Problem, whose code says who
// is at fault: the node, something in front of the node, or this browser.

const TIMEOUT_MS = 20_000;
const GATEWAY_STATUSES = [502, 503, 504];

// The folder that holds the page. Behind a proxy with a path prefix this is not the root of the host.
const ROOT = new URL("..", import.meta.url);

/** Why something did not work. `code` is the node's own code, or one of those that `words.js` lists for failures that
 * are not the node's. `facts` are the members of the node's problem, or the outcome of a record. */
export class Problem extends Error {
  constructor(status, code, detail, facts = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.facts = facts;
  }
}

/** A path below the node's root, from segments that are not encoded yet: `path("claims", domain)`. */
export const path = (...segments) => segments.map(encodeURIComponent).join("/");

/** The address of a path below the node's root. */
export const urlOf = (relative) => new URL(relative, ROOT);

/** Send a request and read the whole answer: `{response, text}`. Throws a Problem if no answer comes, and an AbortError
 * if `signal` ends the request. */
export async function exchange(relative, { signal, ...options } = {}) {
  const limit = new AbortController();
  const cancel = () => limit.abort();
  signal?.addEventListener("abort", cancel);
  if (signal?.aborted) cancel();
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    cancel();
  }, TIMEOUT_MS);
  try {
    const response = await fetch(urlOf(relative), { ...options, signal: limit.signal });
    return { response, text: await response.text() };
  } catch (error) {
    if (signal?.aborted) throw error;
    if (isOver) throw new Problem(0, "timeout", `no answer came within ${TIMEOUT_MS / 1000} seconds`);
    throw new Problem(0, "unreachable", "no answer came from the node");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
  }
}

/** The answer to a request that the node accepted. Throws a Problem if the node, or a proxy in front, refuses it. */
export async function ask(relative, options) {
  const answer = await exchange(relative, options);
  if (!answer.response.ok) throw refusalOf(answer);
  return answer;
}

function refusalOf({ response, text }) {
  const facts = parsed(text);
  if (typeof facts?.code === "string") return new Problem(response.status, facts.code, facts.detail ?? "", facts);
  return foreign(response.status);
}

/** The Problem for an answer that no dnarc node gave. */
export function foreign(status) {
  return GATEWAY_STATUSES.includes(status)
    ? new Problem(status, "bad_gateway", `a proxy answered ${status} in the node's place`)
    : new Problem(status, "not_dnarc", `the answer, with status ${status}, is not from a dnarc node`);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export async function get(relative, options) {
  const { response, text } = await ask(relative, { ...options, headers: { Accept: "application/json" } });
  const value = parsed(text);
  if (value === undefined) throw foreign(response.status);
  return value;
}

/** What the node says of its own state, in words: `{problems, warnings}`, two lists. */
export async function getHealth(options) {
  const answer = await exchange("health", options);
  const { problems, warnings } = parsed(answer.text) ?? {};
  if (!Array.isArray(problems)) throw answer.response.ok ? foreign(answer.response.status) : refusalOf(answer);
  return { problems, warnings: warnings ?? [] };
}

/** A page of a listing: `{entries: [{signature, record}], next}`. `next` is the cursor of the page that follows, null
 * on the last page. */
export async function getPage(relative, options) {
  const { response, text } = await ask(relative, { ...options, headers: { Accept: "application/x-ndjson" } });
  const entries = text.split("\n").filter(Boolean).map(parsed);
  if (entries.some((entry) => typeof entry?.record !== "object")) throw foreign(response.status);
  const link = response.headers.get("Link")?.match(/<([^>]+)>/)?.[1];
  return { entries, next: link ? new URL(link, urlOf(relative)).searchParams.get("after") : null };
}

/** Hand in a signed record, and give the outcome if the node accepts it. In a witnessed domain the node waits at most
 * `waitS` seconds until the record is final or lost. Throws a Problem with the outcome as facts. */
export async function putClaim(signature, body, waitS = 0) {
  const headers = waitS > 0 ? { Prefer: `wait=${waitS}` } : {};
  const { response, text } = await exchange(path("claims", signature), { method: "PUT", body, headers });
  const answer = parsed(text);
  const outcome = answer?.[signature] ?? answer;
  if (response.ok && typeof outcome?.status === "string") return outcome;
  if (typeof outcome?.code !== "string") throw foreign(response.status);
  throw new Problem(response.status, outcome.code, outcome.detail ?? `the status is ${response.status}`, outcome);
}
