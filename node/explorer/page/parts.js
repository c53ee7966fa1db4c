// Parts that several views share. Text from records stays text.

import { announce, h, s } from "./dom.js";
import { DATE_S_MAX, ago, moment, short } from "./format.js";
import { mine } from "./keys.js";
import { hrefTo } from "./router.js";
import { plain, seen } from "./visible.js";
import { VERDICT_NAMES, codeOf, remedyOf } from "./words.js";

export function domainLink(domain) {
  return h("a", { href: hrefTo("browse", [domain]), class: "domain-link" }, seen(domain));
}

export function labelLink(domain, label) {
  return h("a", { href: hrefTo("label", [domain, label]), class: "label-link" }, seen(label));
}

/** A moment: how long ago, and the exact time beside it, because a phone shows no tooltips. */
export function when(seconds) {
  if (!(Math.abs(seconds) < DATE_S_MAX)) return h("time", {}, moment(seconds));
  const stamp = new Date(seconds * 1000).toISOString();
  return h("time", { datetime: stamp }, `${ago(seconds)} `, h("small", { class: "exact" }, moment(seconds)));
}

/** The beginning of a key, with a small picture made of the key, so that two keys are told apart at a glance. The link
 * leads to the whole key and to the labels that it owns. */
export function keyChip(key) {
  return h(
    "a",
    { class: "key", href: hrefTo("key", [key]) },
    glyph(key),
    h("code", {}, short(key)),
    key === mine()?.public && h("span", { class: "you" }, "you"),
  );
}

/** A record id by its beginning. The link leads to the record. */
export const recordLink = (id) =>
  h("a", { href: hrefTo("browse", [], { search: id }) }, h("code", {}, plain(short(id))));

export const hueOf = (hex) => (parseInt(hex.slice(0, 6), 16) || 0) % 360;

/** Five by five fields, mirrored, from the digits of a key. */
export function glyph(key) {
  const fields = [];
  for (let at = 0; at < 15; at += 1) {
    if (parseInt(key[at + 6], 16) % 2) continue;
    const [column, row] = [Math.floor(at / 5), at % 5];
    for (const x of new Set([column, 4 - column])) fields.push(s("rect", { x, y: row, width: 1.02, height: 1.02 }));
  }
  return s("svg", { class: "glyph", viewBox: "0 0 5 5", "aria-hidden": "true", vars: { "--hue": hueOf(key) } }, fields);
}

export function copyButton(text, what) {
  const button = h(
    "button",
    {
      type: "button",
      class: "copy",
      "aria-label": `Copy ${what}`,
      title: `Copy ${what}`,
      onclick: async () => {
        const done =
          (await navigator.clipboard?.writeText(text).then(
            () => true,
            () => false,
          )) ?? false;
        button.textContent = done ? "Copied" : "Not allowed";
        announce(done ? `${what} copied` : "the browser does not allow copying here");
        setTimeout(() => {
          button.textContent = "Copy";
        }, 1500);
      },
    },
    "Copy",
  );
  return button;
}

/** A long hexadecimal value that can be copied. */
export function hexValue(hex, what) {
  return h("span", { class: "hex" }, h("code", {}, hex), copyButton(hex, what));
}

export function badge(kind, text) {
  return h("span", { class: `badge ${kind}` }, text);
}

export const verdictBadge = (verdict) => badge(`verdict-${verdict}`, VERDICT_NAMES[verdict] ?? plain(String(verdict)));

/** The page's own words, in which backticks mark code. */
export const coded = (text) => text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));

/** A failure: its code, its sentence, and what to do about it. */
export function problemBox(error) {
  const code = codeOf(error);
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", {}, h("code", { class: "code" }, code), " ", h("span", {}, plain(error.message))),
    h("p", { class: "remedy" }, coded(remedyOf(code))),
  );
}

/** A sentence in the place of something that is empty. */
export const nothing = (...words) => h("p", { class: "nothing" }, words);

/** What stands in the place of the domains of an empty node. */
export const holdsNothing = () =>
  nothing("This node holds nothing yet. ", h("a", { href: hrefTo("write") }, "Write the first claim"), ".");

/** The one heading of a view. It gets the focus when the view is opened. */
export const heading = (...words) => h("h1", { tabindex: "-1" }, words);

export function card(title, ...content) {
  const id = `card-${title.toLowerCase().replaceAll(/\W+/g, "-")}`;
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), content);
}

/** A table that scrolls by itself if it is too wide, and that becomes a list on a phone. Browsers drop the roles of a
 * table that is shown as a list, so the roles are set here. `columns` are names, or `{name, class}`. */
export function table(caption, columns, rows) {
  const heads = columns.map((column) => (typeof column === "string" ? { name: column } : column));
  const cells = (row) =>
    row.map((cell, at) => h("td", { role: "cell", class: heads[at].class, dataset: { name: heads[at].name } }, cell));
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    h(
      "table",
      { role: "table" },
      h("caption", { class: "visually-hidden" }, caption),
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          heads.map((head) => h("th", { role: "columnheader", scope: "col", class: head.class }, head.name)),
        ),
      ),
      h(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) => h("tr", { role: "row" }, cells(row))),
      ),
    ),
  );
}

/** Names and values. */
export function facts(...pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
