// Pages of a listing. The node's cursors lead forward only, so the way back is kept with each step in the browser's
// history: Back, the button for the previous page and a reload all find it.

import { h } from "./dom.js";
import { travel } from "./router.js";

const TRAIL_MAX = 500;

/** The cursors of the pages before this one, oldest first; "" is the first page. Empty after a link to a page. */
const trail = () => (Array.isArray(history.state?.trail) ? history.state.trail : []);

/** The number of the page with this cursor, or null if the way to it is not known. */
export function pageNumber(after) {
  if (after === "") return 1;
  return trail()[0] === "" ? trail().length + 1 : null;
}

/** Buttons to the other pages. `hrefOf(after)` is the link to the page with this cursor. */
export function pager(hrefOf, after, next) {
  const before = trail();
  const button = (words, name, to, way) =>
    h("button", { type: "button", class: name, onclick: () => travel(hrefOf(to), { trail: way }) }, words);
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    after && button("First page", "first", "", []),
    after && before.length > 0 && button("Previous page", "previous", before.at(-1), before.slice(0, -1)),
    next && button("Next page", "next", next, [...before, after].slice(-TRAIL_MAX)),
  );
}
