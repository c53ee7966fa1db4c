// JSON values for people: nested names and values. Long and deep values are folded.

import { canonical } from "./canonical.js";
import { h } from "./dom.js";
import { many } from "./format.js";
import { seen } from "./visible.js";

const OPEN_ITEMS_MAX = 8;
const OPEN_DEPTH_MAX = 3;
const TEXT_MAX = 2_000;

/** A value as a tree. */
export function tree(value, depth = 0) {
  if (value === null || typeof value !== "object") return leaf(value);
  const entries = Array.isArray(value) ? value.map((item, at) => [String(at), item]) : Object.entries(value);
  if (entries.length === 0)
    return h(
      "span",
      { class: "empty" },
      Array.isArray(value) ? "an empty list" : depth ? "an empty object" : "no content",
    );
  const list = h(
    "dl",
    { class: "tree" },
    entries.map(([name, item]) => h("div", {}, h("dt", {}, seen(name)), h("dd", {}, tree(item, depth + 1)))),
  );
  if (depth === 0 || (depth < OPEN_DEPTH_MAX && entries.length <= OPEN_ITEMS_MAX)) return list;
  return h(
    "details",
    {},
    h("summary", {}, Array.isArray(value) ? many(entries.length, "item") : many(entries.length, "field")),
    list,
  );
}

/** The fields that differ between one claim and the next. Fields that stayed are left out. */
export function changes(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  const differing = names.filter((name) => spelled(before, name) !== spelled(after, name));
  if (differing.length === 0)
    return h("p", { class: "hint" }, names.length ? "The claim did not change." : "Both claims are empty.");
  return h(
    "dl",
    { class: "tree" },
    differing.map((name) =>
      h(
        "div",
        {},
        h("dt", {}, seen(name)),
        h(
          "dd",
          {},
          Object.hasOwn(after, name) ? tree(after[name], 1) : h("span", { class: "empty" }, "removed"),
          Object.hasOwn(before, name) && h("span", { class: "was" }, " was ", tree(before[name], OPEN_DEPTH_MAX)),
        ),
      ),
    ),
  );
}

const spelled = (content, name) => (Object.hasOwn(content, name) ? canonical(content[name]) : null);

function leaf(value) {
  if (typeof value !== "string")
    return h("span", { class: `value ${value === null ? "null" : typeof value}` }, String(value));
  const characters = [...value];
  if (characters.length <= TEXT_MAX) return h("span", { class: "value string" }, seen(value));
  return h(
    "details",
    { class: "value string" },
    h("summary", {}, seen(`${characters.slice(0, 120).join("")}…`)),
    seen(value),
  );
}
