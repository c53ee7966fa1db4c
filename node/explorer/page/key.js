// A key: all of its digits, and the labels that it owns on this node, page by page.

import { fill, h } from "./dom.js";
import { getHeads, headsTable, pageWords } from "./heads.js";
import { short } from "./format.js";
import { mine } from "./keys.js";
import { card, glyph, heading, hexValue, nothing } from "./parts.js";
import { pager } from "./pager.js";
import { isKey } from "./record.js";
import { hrefTo } from "./router.js";
import { plain } from "./visible.js";

export const title = ({ names: [key] }) => `Key ${short(key ?? "")}`;

export async function show(main, { names: [key], query }, signal) {
  const labels = h("div", {});
  fill(
    main,
    heading("Key ", h("code", {}, plain(short(key ?? "")))),
    h("p", { class: "own" }, glyph(key ?? ""), hexValue(plain(key ?? ""), "the key")),
    key === mine()?.public && h("p", {}, "This is your key."),
  );
  if (!isKey(key ?? "")) {
    main.append(nothing("This is no key: a key has 64 hex digits."));
    return;
  }
  main.append(card("Labels that it owns here", labels));
  const after = query.get("after") ?? "";
  const page = await getHeads("claims", { signedby: key, after }, signal);
  fill(labels, page.entries.length === 0 ? nothing("This key owns no label on this node.") : listed(key, after, page));
}

function listed(key, after, { entries, next }) {
  return [
    h("p", { class: "found", role: "status" }, pageWords(entries.length, after, next)),
    headsTable("Labels of the key", entries, { isOfOneOwner: true }),
    pager((to) => hrefTo("key", [key], { after: to }), after, next),
  ];
}
