// The rows of Live: events, and stored records.

import { h } from "./dom.js";
import { moment, summary } from "./format.js";
import { badge, domainLink, keyChip, labelLink, recordLink, when } from "./parts.js";
import { contentOf } from "./record.js";
import { plain } from "./visible.js";

const BADGES = { accepted: ["good", "Accepted"], reverted: ["bad", "Reverted"], final: ["good", "Final"] };

/** Let the list show these events. A row that stays is not touched, so that it keeps the focus. */
export function arrange(list, events) {
  const wanted = new Set(events.map((event) => event.cursor));
  for (const each of [...list.children]) if (!wanted.has(each.dataset.cursor)) each.remove();
  let next = list.firstElementChild;
  for (const event of events) {
    if (next?.dataset.cursor === event.cursor) next = next.nextElementSibling;
    else list.insertBefore(row(event), next);
  }
}

function row(event) {
  const isReverted = event.type === "reverted";
  return h(
    "li",
    { class: `event ${event.type}`, dataset: { seq: event.seq, cursor: event.cursor } },
    h(
      "p",
      { class: "event-line" },
      h("time", { datetime: event.at.toISOString() }, moment(Math.floor(event.at / 1000))),
      badge(...(BADGES[event.type] ?? ["", plain(String(event.type))])),
      names(event.domain, event.label, event.record),
    ),
    isReverted &&
      h(
        "p",
        { class: "reason" },
        "The head before was taken back (",
        recordLink(String(event.previous)),
        `): ${plain(event.reason ?? "")}.`,
      ),
    claimLine(event.record),
  );
}

/** A record that was stored before the page was opened. */
export function storedRow({ domain, label, record }) {
  return h(
    "li",
    { class: "event" },
    h("p", { class: "event-line" }, badge("", "Stored"), names(domain, label, record), when(record.timestamp)),
    claimLine(record),
  );
}

const names = (domain, label, record) => [
  labelLink(domain, label),
  h("span", { class: "in" }, "in "),
  domainLink(domain),
  h("span", { class: "in" }, "by "),
  keyChip(record.signedby),
];

const claimLine = (record) => h("p", { class: "summary" }, h("bdi", {}, plain(summary(contentOf(record), 200))));
