// The history of a label as a timeline, newest first. The line of accepted records runs on the left, in the colour of
// the owner at that time. A refused record branches off to the right, from the record that its `prev` names or, without
// one, from the record that it was judged after. `lanes.js` computes the lanes. They are drawn row by row, so that a
// row may be as tall as its text.

import { h, s } from "./dom.js";
import { canonical } from "./canonical.js";
import { lanes } from "./lanes.js";
import { badge, coded, facts, hexValue, hueOf, keyChip, verdictBadge, when } from "./parts.js";
import { contentOf } from "./record.js";
import { isAccepted } from "./replay.js";
import { changes, tree } from "./values.js";
import { certaintyBadge, testimony } from "./witnesses.js";
import { REASONS, VERDICT_NAMES, WITNESSED_REASONS } from "./words.js";

const LANE = 22;
const LEFT = 15;
const NODE = 26;

/** `{element, mark(id, finding)}` for these judged records, newest first; `all` is the whole history, oldest first.
 * `council` are the witnesses of the domain, null in an ordinary domain. */
export function timeline(newest, all, { head }, council) {
  const plan = lanes(newest, all);
  const marks = new Map();
  const rows = newest.map((judged, at) => {
    const mark = h("span", { class: "mark" }, "Checking the signature…");
    marks.set(judged.entry.id, mark);
    return h(
      "li",
      {
        class: `entry ${isAccepted(judged.verdict) ? "won" : isWaiting(judged) ? "open" : "lost"}`,
        dataset: { verdict: judged.verdict, id: judged.entry.id },
      },
      gutter(plan.rows[at], plan.width, judged),
      described(judged, judged.entry.id === head, mark, council),
    );
  });
  const element = h("ol", { class: "timeline", reversed: true, start: all.length }, rows);
  return { element, mark: (id, finding) => showFinding(marks.get(id), finding) };
}

/** Whether the witnesses may still decide for this record, which the walk does not take now. */
const isWaiting = ({ verdict, certainty }) => !isAccepted(verdict) && certainty === "pending";

function described(judged, isHead, mark, council) {
  const { entry, verdict, after, certainty } = judged;
  const { record } = entry;
  const fate = isAccepted(verdict) ? "Accepted" : isWaiting(judged) ? "Waiting" : "Refused";
  return h(
    "article",
    { "aria-label": `${VERDICT_NAMES[verdict]}${isHead ? ", the head" : ""}` },
    h(
      "p",
      { class: "entry-line" },
      verdictBadge(verdict),
      isHead && badge("good", "Head"),
      verdict === "pending" ? null : certaintyBadge(certainty),
      " ",
      when(record.timestamp),
      " by ",
      keyChip(record.signedby),
    ),
    h(
      "p",
      { class: "reason" },
      coded(`${fate}: ${(entry.seen ? WITNESSED_REASONS : REASONS)[verdict]}.`),
      record.newowner !== undefined && [" Offered to ", keyChip(record.newowner), "."],
    ),
    entry.verdict !== verdict &&
      h("p", { class: "problem" }, `The node says ${entry.verdict}; this browser's own replay says ${verdict}.`),
    entry.erased ? erasedLine(entry.erased) : content(record, verdict, after),
    entry.seen && testimony(entry, council),
    mark,
    h("details", { class: "raw" }, h("summary", {}, "The record itself"), raw(entry, after)),
  );
}

/** What stands in the place of the claim of an erased record. */
export const erasedLine = ({ time, reason }) =>
  h("p", { class: "erased" }, "Erased on this node ", when(time), reason && [": ", h("bdi", {}, reason)]);

/** What a record claims. For an accepted record that follows another, only the difference. */
function content(record, verdict, after) {
  if (after === null || !isAccepted(verdict)) return tree(contentOf(record));
  return changes(contentOf(after.record), contentOf(record));
}

function raw(entry, after) {
  return [
    facts(
      ["Record id", hexValue(entry.id, "the record's id")],
      ["Signed by", hexValue(entry.record.signedby, "the signer's key")],
      ["Signature", hexValue(entry.signature, "the signature")],
      entry.record.prev !== undefined && ["Follows (prev)", h("code", {}, entry.record.prev)],
      after !== null && ["Judged after", h("code", {}, after.id)],
      ["Received here", when(entry.received)],
    ),
    h("p", { class: "hint" }, entry.erased ? "What is left of what was signed:" : "What was signed, byte by byte:"),
    h("pre", { class: "bytes", tabindex: "0" }, h("bdi", {}, canonical(entry.record))),
  ];
}

function showFinding(mark, { state, why }) {
  const words = {
    good: "Signature proven in this browser",
    bad: `Not proven: ${why}`,
    unknown: `Signature not checked: ${why}`,
  };
  mark.className = `mark ${state}`;
  mark.textContent = words[state];
}

const xOf = (lane) => LEFT + lane * LANE;

function gutter({ node, through, up, down, turns }, width, { entry, verdict }) {
  const x = xOf(node);
  const lines = [
    ...through.map(({ lane, owner }) => line(lane, 0, "100%", owner)),
    up && line(node, 0, NODE, up.owner),
    down && line(node, NODE, "100%", down.owner),
    ...turns.map((lane) =>
      s("path", {
        class: "lane",
        d: `M${x} ${NODE}C${x} ${NODE - 14} ${xOf(lane)} ${NODE - 10} ${xOf(lane)} 0`,
      }),
    ),
  ];
  return s(
    "svg",
    { class: "gutter", width: LEFT * 2 + (width - 1) * LANE, height: "100%", "aria-hidden": "true" },
    lines,
    shape(verdict, x, hueOf(entry.record.signedby)),
  );
}

function line(lane, from, to, owner) {
  return s("line", {
    class: owner === null ? "lane" : "lane owned",
    x1: xOf(lane),
    x2: xOf(lane),
    y1: from,
    y2: to,
    vars: owner === null ? {} : { "--hue": hueOf(owner) },
  });
}

/** Each verdict has its own shape, so that nobody has to tell verdicts by colour. */
function shape(verdict, x, hue) {
  const vars = { "--hue": hue };
  const dot = (r, kind) => s("circle", { class: `node ${kind}`, cx: x, cy: NODE, r, vars });
  const cross = (kind) => s("path", { class: `node cross ${kind}`, d: `M${x - 5} ${NODE - 5}l10 10m0 -10l-10 10` });
  switch (verdict) {
    case "founded":
      return [dot(9, "founder"), dot(5, "full")];
    case "updated":
      return [dot(6, "full")];
    case "offered":
      return [dot(6, "hollow"), s("path", { class: "node arrow", d: `M${x + 9} ${NODE}h7m-3 -3l3 3l-3 3`, vars })];
    case "transferred":
      return [
        s("rect", {
          class: "node full",
          x: x - 6,
          y: NODE - 6,
          width: 12,
          height: 12,
          transform: `rotate(45 ${x} ${NODE})`,
          vars,
        }),
      ];
    case "pending":
      return [s("circle", { class: "node undecided", cx: x, cy: NODE, r: 6 })];
    case "stale":
      return [s("circle", { class: "node refused", cx: x, cy: NODE, r: 5 })];
    case "orphan":
      return [s("circle", { class: "node refused dotted", cx: x, cy: NODE, r: 6 })];
    default:
      return [cross(verdict)];
  }
}
