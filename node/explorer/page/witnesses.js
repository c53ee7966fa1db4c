// What the witnesses of a domain said of a record: when each saw it, its votes and commits, and how sure that makes the
// record. The node tells all this; `proof.js` proves what is final.

import { h, s } from "./dom.js";
import { momentMs, rounded } from "./format.js";
import { badge, hueOf, keyChip } from "./parts.js";

const BADGES = { final: ["good", "Final"], ordered: ["warn", "Ordered"], pending: ["", "Pending"] };
const WIDTH = 240;
const HEIGHT = 16;
const EDGE = 4;

/** How sure a record is, in a word; nothing for a record that lost, and in ordinary domains. */
export const certaintyBadge = (certainty) => (BADGES[certainty] ? badge(...BADGES[certainty]) : null);

/** What the witnesses said of this entry of a history. `council` is the answer of `GET /witnesses`, or null. */
export function testimony(entry, council) {
  const { seen, votes = {}, commits = {} } = entry;
  const keys = council?.witnesses.map(({ key }) => key) ?? [];
  const witnesses = [...new Set([...keys, ...Object.keys({ ...seen, ...votes, ...commits })])];
  if (witnesses.length === 0) return null;
  const since = Math.min(...Object.values(seen));
  return h(
    "div",
    { class: "testimony" },
    h("p", {}, summaryOf(entry, witnesses.length)),
    ticks(entry),
    h(
      "ul",
      { class: "witnesses", "aria-label": "What each witness said" },
      witnesses.map((key) => h("li", {}, keyChip(key), " ", saidBy(key, { seen, votes, commits }, since))),
    ),
  );
}

function summaryOf({ seen, ordered, decided, commits = {} }, size) {
  const times = Object.values(seen);
  const parts = [`Seen by ${times.length} of ${size} witnesses`];
  if (times.length > 0) parts.push(`, first at ${momentMs(Math.min(...times))}`);
  if (ordered !== null) parts.push(`; ordered at ${momentMs(ordered)}`);
  if (decided) parts.push(`; decided in round ${Math.max(...Object.values(commits))}`);
  return `${parts.join("")}.`;
}

function saidBy(key, { seen, votes, commits }, since) {
  const words = [];
  if (seen[key] !== undefined) words.push(seen[key] === since ? "saw it first" : `saw it ${after(seen[key] - since)}`);
  if (votes[key] !== undefined) words.push(`votes in round ${votes[key]}`);
  if (commits[key] !== undefined) words.push(`commits in round ${commits[key]}`);
  return h("span", { class: words.length > 0 ? "said" : "silent" }, words.join(", ") || "said nothing");
}

const after = (ms) => (ms < 10_000 ? `${ms} ms later` : `${rounded(ms / 1000)} s later`);

/** The receipts as ticks on a line of time, from the first to the last. A commit makes a tall tick, and a triangle
 * stands where the record was ordered. */
function ticks({ seen, ordered, commits = {} }) {
  const times = Object.values(seen);
  if (times.length === 0) return null;
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const xOf = (ms) => EDGE + ((WIDTH - 2 * EDGE) * (ms - first)) / Math.max(1, last - first);
  return s(
    "svg",
    { class: "ticks", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMinYMid meet", "aria-hidden": "true" },
    s("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 4, y2: HEIGHT - 4 }),
    Object.entries(seen).map(([key, ms]) =>
      s("line", {
        class: "tick",
        x1: xOf(ms),
        x2: xOf(ms),
        y1: commits[key] === undefined ? HEIGHT - 9 : 2,
        y2: HEIGHT - 4,
        vars: { "--hue": hueOf(key) },
      }),
    ),
    ordered !== null && s("path", { class: "order", d: `M${xOf(ordered)} ${HEIGHT - 4}l-3 4h6z` }),
  );
}
