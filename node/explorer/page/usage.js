// Usage: what fills the store of the node, for its operator: the largest domains, the largest keys, and the room left.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { bytes, count, many } from "./format.js";
import { card, domainLink, keyChip, table } from "./parts.js";

const SHOWN = 8;

// The node looks at every key for an answer, so it is not asked as often as for the rest of the page.
const INTERVAL_MS = 15_000;

/** A card that `update(signal)` fills, at most once in a while. Only the operator of the node may see it, so the caller
 * updates it only where the node showed its peers too. */
export function usageCard() {
  const words = h("p", { class: "usage-words" });
  const tables = h("div", { class: "usage" });
  const element = card("What fills the store", words, tables);
  element.hidden = true;
  let askedAt = -Infinity;
  async function update(signal) {
    if (performance.now() - askedAt < INTERVAL_MS) return;
    askedAt = performance.now();
    const usage = await get(`usage?limit=${SHOWN}`, { signal });
    element.hidden = usage.records === 0;
    fill(words, roomWords(usage));
    fill(
      tables,
      sizes("Largest domains", "Domain", usage.domains, (row) => domainLink(row.domain), usage.bytes),
      sizes("Largest keys", "Key", usage.keys, (row) => keyChip(row.key), usage.bytes),
    );
  }
  return { element, update };
}

function roomWords({ records, bytes: size, store, disk }) {
  const soft = store.soft === null ? "" : ` (a warning comes at ${bytes(store.soft)})`;
  const files = `The store's files take ${bytes(store.bytes)}${soft}. The disk has ${bytes(disk.free)} free.`;
  return `${bytes(size)} in ${many(records, "record")}. ${files}`;
}

function sizes(title, name, rows, link, whole) {
  const columns = [name, { name: "Records", class: "number" }, { name: "Bytes", class: "number" }, "Share"];
  const cells = rows.map((row) => [link(row), count(row.records), bytes(row.bytes), share(row.bytes, whole)]);
  return h("div", {}, h("h3", {}, title), table(title, columns, cells));
}

const share = (part, whole) => {
  const percent = `${Math.round((100 * part) / (whole || 1))} %`;
  return [h("progress", { class: "share", value: part, max: whole || 1, "aria-label": percent }), ` ${percent}`];
};
