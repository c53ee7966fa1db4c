// Asking the node that served this page, and no other. A refusal becomes a Problem with its stable code.

const TIMEOUT_MS = 20_000;

/** A refusal of the node, or its silence. `facts` are the members of the problem, or the outcome of a record. */
export class Problem extends Error {
  constructor(status, code, detail, facts = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.facts = facts;
  }
}

/** A path of encoded segments: `path("claims", domain, label)`. */
export const path = (...segments) => `/${segments.map(encodeURIComponent).join("/")}`;

/** The answer to a request that was not refused. Throws Problem; an AbortError where `signal` says so. */
export async function ask(url, { signal, ...options } = {}) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  try {
    response = await fetch(url, { ...options, signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "the node does not answer");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  let facts = {};
  try {
    facts = await response.json();
  } catch {
    // no JSON: whatever answered is no node, and its status has to do
  }
  const code = typeof facts.code === "string" ? facts.code : "unreachable";
  return new Problem(response.status, code, facts.detail ?? `the answer was ${response.status}`, facts);
}

export async function get(url, options) {
  return (await ask(url, { ...options, headers: { Accept: "application/json" } })).json();
}

/** What is wrong with the node, in words; an empty list where all is well. */
export async function getHealth(options) {
  try {
    return (await get("/health", options)).problems;
  } catch (error) {
    if (Array.isArray(error.facts?.problems)) return error.facts.problems;
    throw error;
  }
}

export async function getText(url, options) {
  return (await ask(url, options)).text();
}

/** A page of a listing: `{entries: [{signature, record}], next}`, `next` being the cursor behind it, or null. */
export async function getPage(url, options) {
  const response = await ask(url, { ...options, headers: { Accept: "application/x-ndjson" } });
  const lines = (await response.text()).split("\n").filter(Boolean);
  const link = response.headers.get("Link")?.match(/<([^>]+)>/)?.[1];
  const next = link ? new URL(link, location.origin).searchParams.get("after") : null;
  return { entries: lines.map((line) => JSON.parse(line)), next };
}

/** Hand in one signed record. Gives the outcome where it was taken. Throws Problem with the outcome as facts. */
export async function putClaim(signature, body) {
  const response = await fetch(path("claims", signature), {
    method: "PUT",
    body,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => {
    throw new Problem(0, "unreachable", "the node does not answer");
  });
  const answer = await response.json().catch(() => ({}));
  const outcome = answer[signature] ?? answer;
  if (response.ok) return outcome;
  throw new Problem(
    response.status,
    outcome.code ?? "unreachable",
    outcome.detail ?? `status ${response.status}`,
    outcome,
  );
}
