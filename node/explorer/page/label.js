// A label: its head, its owner and its history. The browser believes nothing: it checks every signature and replays the
// history itself.

import { Problem, get } from "./api.js";
import { fill, h, settled } from "./dom.js";
import { follow, newestCursor } from "./feed.js";
import { many } from "./format.js";
import { mine } from "./keys.js";
import { badge, card, domainLink, facts, heading, hexValue, keyChip, nothing, problemBox, when } from "./parts.js";
import { pause, persist, showReach } from "./polling.js";
import { proofCard } from "./proofcard.js";
import { check, contentOf, isDomain, isLabel } from "./record.js";
import { replay } from "./replay.js";
import { hrefTo } from "./router.js";
import { erasedLine, timeline } from "./timeline.js";
import { tree } from "./values.js";
import { seen } from "./visible.js";
import { isWitnessed, walk } from "./walk.js";
import { certaintyBadge } from "./witnesses.js";
import { isPassing } from "./words.js";

const SHOWN = 100;
const OPEN_MS = 1_000;
const OPEN_MS_MAX = 30_000;

export const title = ({ names: [domain, label] }) => `${label ?? ""} in ${domain ?? ""}`;

export async function show(main, { names: [domain, label] }, signal) {
  const body = h("div", { class: "view" });
  fill(
    main,
    h("p", { class: "crumbs" }, h("a", { href: hrefTo("browse") }, "All domains"), " / ", domainLink(domain ?? "")),
    heading(seen(label ?? "")),
    body,
  );
  const shown = { size: SHOWN, checked: new Map(), open: new Set(), round: 0 };
  const refresh = () => showLabel(body, domain, label, shown, signal);
  if (!isDomain(domain ?? "") || !isLabel(label ?? "")) return refresh();
  const showFailure = (box) => fill(body, box);
  const first = persist(signal, showFailure, async () => {
    // Before the history is read, so that no event falls in between. The history is shown without a cursor too.
    const since = await newestCursor(signal).catch(() => null);
    await refresh();
    return since;
  });
  first.then((since) => follow({ domains: [domain], labels: [label], since }, following(refresh), signal), ignore);
  return first;
}

/** What to do while the label is followed. A refresh that failed is done again when the connection is back. */
function following(refresh) {
  let isStale = false;
  const attempt = async () => {
    try {
      await refresh();
      isStale = false;
      showReach(null);
    } catch (error) {
      isStale = true;
      showReach(error);
    }
  };
  return { event: settled(100, attempt), state: (state) => state === "open" && isStale && attempt(), restart: attempt };
}

const ignore = () => {};

/** Read the history and show it. Throws failures that may pass; shows other refusals. */
async function showLabel(body, domain, label, shown, signal) {
  let read;
  try {
    read = await readLabel(domain, label, signal);
  } catch (error) {
    if (signal.aborted || !(error instanceof Problem) || isPassing(error)) throw error;
    showRefusal(body, error, domain, label);
    return;
  }
  drawLabel(body, read, shown, signal);
}

/** The history of a label; in a witnessed domain also its witnesses. */
async function readLabel(domain, label, signal) {
  const history = await get(`history?${new URLSearchParams({ domain, label })}`, { signal });
  const council = isWitnessed(domain) ? await get(`witnesses?${new URLSearchParams({ domain })}`, { signal }) : null;
  return { history, council };
}

function drawLabel(body, { history, council }, shown, signal) {
  const trust = h("p", { class: "trust", role: "status" });
  const entries = h("div", { class: "history" });
  shown.open = new Set([...body.querySelectorAll(".raw[open]")].map((fold) => fold.closest(".entry").dataset.id));
  const judged = council === null ? replay(history.records) : walk(history.records);
  fill(
    body,
    headCard(history),
    trust,
    council && proofCard(history, council, shown, signal),
    card("History", entries),
  );
  showHistory(entries, history, judged, { trust, signal, shown, council });
  shown.drawn = history;
  if (judged.some(isOpen)) lookAgain(body, history, shown, signal);
}

/** Whether the witnesses have still to decide about this record. */
const isOpen = ({ certainty }) => certainty === "ordered" || certainty === "pending";

/** Votes and receipts make no events. So a label with an open race is read again and again, and drawn if it changed. */
async function lookAgain(body, drawn, shown, signal) {
  const { domain, label } = drawn;
  for (let delay = OPEN_MS; ; delay = Math.min(OPEN_MS_MAX, 1.5 * delay)) {
    await pause(delay, signal);
    if (signal.aborted || shown.drawn !== drawn) return;
    if (document.hidden) continue;
    const read = await readLabel(domain, label, signal).catch(() => null);
    if (signal.aborted || shown.drawn !== drawn) return;
    if (read !== null && JSON.stringify(read.history) !== JSON.stringify(drawn)) {
      drawLabel(body, read, shown, signal);
      return;
    }
  }
}

function showRefusal(body, error, domain, label) {
  const isFree = error.code === "unknown_label";
  const link = h("a", { class: "button", href: writeLink("claim", domain, label) }, "Write the first claim");
  fill(body, problemBox(error), isFree && h("p", {}, link));
}

function headCard(history) {
  const head = history.records.find((entry) => entry.id === history.head);
  if (head === undefined) {
    return card(
      "Head",
      nothing(
        isWitnessed(history.domain)
          ? "No record is ordered here: those below wait for the witnesses, or for the record before them."
          : "No record is accepted here: those below wait for a record that should come before them.",
      ),
    );
  }
  const { record } = head;
  return card(
    "Head",
    h(
      "div",
      { class: "head" },
      history.contested &&
        h("p", {}, badge("warn", "Contested"), " Another key has tried to found this label too; see the history."),
      certaintyLine(history.certainty),
      facts(
        ["Owner", keyChip(record.signedby)],
        record.newowner !== undefined && ["Offered to", keyChip(record.newowner)],
        ["Written", when(record.timestamp)],
        ["Claim", head.erased ? erasedLine(head.erased) : tree(contentOf(record))],
        ["Record", hexValue(head.id, "the record's id")],
      ),
    ),
    actions(history, record),
  );
}

/** How sure the head is; nothing in an ordinary domain. */
function certaintyLine(certainty) {
  if (!certainty) return null;
  const words =
    certainty === "final"
      ? " The witnesses decided it, and every record before it: nobody can take it back."
      : " Not final yet: the head may change until the witnesses decide.";
  return h("p", {}, certaintyBadge(certainty), words);
}

function actions({ domain, label }, record) {
  const own = mine()?.public;
  const links = [
    ["claim", "Update"],
    ["transfer", "Offer to another key"],
  ];
  if (record.newowner !== undefined) links.unshift(["accept", "Accept the offer"]);
  const words =
    own === undefined
      ? "Writing needs the owner's key."
      : own === record.signedby
        ? "You own this label."
        : own === record.newowner
          ? "This label is offered to you."
          : "Your key does not own this label.";
  return h(
    "div",
    { class: "actions" },
    links.map(([mode, text]) => h("a", { class: "button", href: writeLink(mode, domain, label) }, text)),
    h("span", { class: "hint" }, words),
  );
}

const writeLink = (mode, domain, label) => hrefTo("write", [], { mode, domain, label });

function showHistory(place, history, judged, context) {
  const { shown } = context;
  const newest = judged.slice(-shown.size).reverse();
  const drawn = timeline(newest, judged, history, context.council);
  const rest = judged.length - newest.length;
  fill(
    place,
    drawn.element,
    rest > 0 &&
      h(
        "p",
        { class: "pager" },
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              shown.size += SHOWN;
              showHistory(place, history, judged, context);
            },
          },
          `Show older ones (${many(rest, "more record")})`,
        ),
      ),
  );
  for (const fold of place.querySelectorAll(".raw")) fold.open = shown.open.has(fold.closest(".entry").dataset.id);
  shown.round += 1;
  prove(newest, drawn, judged, context);
}

/** Check the shown records, newest first, and say the result. A finding belongs to a record and a signature, so it is
 * kept. */
async function prove(newest, drawn, judged, { trust, signal, shown, council }) {
  const { round, checked } = shown;
  const findings = [];
  for (const { entry } of newest) {
    if (signal.aborted || shown.round !== round) return;
    const name = entry.id + entry.signature + (entry.erased ? " erased" : "");
    if (!checked.has(name)) {
      checked.set(name, entry.erased ? ERASED : await check(entry.record, entry.signature, entry.id));
    }
    findings.push(checked.get(name));
    drawn.mark(entry.id, checked.get(name));
  }
  fill(trust, trustWords(findings, judged.length, differing(judged), council !== null));
}

/** Nothing proves what is left of an erased record. */
const ERASED = { state: "unknown", why: "the record was erased on this node" };

const differing = (judged) => judged.filter(({ entry, verdict }) => entry.verdict !== verdict).length;

function trustWords(findings, size, differ, isWalked) {
  const bad = findings.filter((finding) => finding.state === "bad").length;
  const good = findings.filter((finding) => finding.state === "good").length;
  const unknown = findings.find((finding) => finding.state === "unknown");
  if (bad > 0)
    return [
      badge("bad", "Not proven"),
      ` ${many(bad, "record")} here ${bad === 1 ? "is" : "are"} not what the node says.`,
    ];
  if (differ > 0)
    return [
      badge("bad", "Other verdicts"),
      ` Replayed in this browser, ${many(differ, "record")} would get another verdict.`,
    ];
  if (unknown)
    return [
      badge("warn", "Not checked"),
      ` Signatures are not checked here: ${unknown.why}. The replay agrees with the node's.`,
    ];
  const all =
    good === size
      ? size === 1
        ? "Its signature"
        : `All ${many(size, "signature")}`
      : `The newest ${good} of ${many(size, "signature")}`;
  const answer = isWalked
    ? "the verdicts follow from what the witnesses saw and decided, as the node tells it"
    : "its own replay gives the same answer as the node";
  return [badge("good", "Proven here"), ` ${all} checked in this browser, and ${answer}.`];
}
