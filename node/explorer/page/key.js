// A key: all of its digits.

import { fill, h } from "./dom.js";
import { short } from "./format.js";
import { mine } from "./keys.js";
import { glyph, heading, hexValue, nothing, plain } from "./parts.js";
import { isKey } from "./record.js";

export const title = ({ names: [key] }) => `Key ${short(key ?? "")}`;

export function show(main, { names: [key] }) {
  fill(
    main,
    heading("Key ", h("code", {}, plain(short(key ?? "")))),
    h("p", { class: "own" }, glyph(key ?? ""), hexValue(plain(key ?? ""), "the key")),
    !isKey(key ?? "") && nothing("This is no key: a key has 64 hex digits."),
    key === mine()?.public && h("p", {}, "This is your key."),
  );
}
