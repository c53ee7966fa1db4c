// The labels of a domain, page by page. What is typed narrows the list to the labels that begin with it. The node
// answers this from an index, so a domain may have any number of labels.

import { path } from "./api.js";
import { fill, h } from "./dom.js";
import { getHeads, headsTable, pageWords } from "./heads.js";
import { heading, nothing, problemBox } from "./parts.js";
import { pager } from "./pager.js";
import { persist } from "./polling.js";
import { hrefTo, remember } from "./router.js";
import { onlyNewest, searchField } from "./searchfield.js";
import { plain, seen } from "./visible.js";

export function showLabels(main, domain, query, signal) {
  const results = h("div", { class: "card results", "aria-busy": "false" });
  const found = h("p", { class: "found", role: "status" });
  const newest = onlyNewest(signal);
  const ask = (prefix, after) => newest((own) => showPage(results, found, { domain, prefix, after }, own));
  const field = searchField("Search labels by their beginning", query.get("prefix") ?? "", (text) => {
    remember(hrefTo("browse", [domain], { prefix: text }));
    return ask(text, "");
  });
  fill(
    main,
    h("p", { class: "crumbs" }, h("a", { href: hrefTo("browse") }, "All domains")),
    heading("Labels of ", seen(domain)),
    field,
    found,
    results,
  );
  return ask(query.get("prefix") ?? "", query.get("after") ?? "");
}

async function showPage(results, found, { domain, prefix, after }, signal) {
  results.setAttribute("aria-busy", "true");
  try {
    await persist(
      signal,
      (box) => fill(results, box),
      async () => {
        const page = await getHeads(path("claims", domain), { prefix, after }, signal);
        found.textContent = pageWords(page.entries.length, after, page.next);
        fill(results, listed(domain, prefix, after, page));
      },
    );
  } catch (error) {
    if (!signal.aborted) fill(results, problemBox(error));
  }
  if (!signal.aborted) results.setAttribute("aria-busy", "false");
}

function listed(domain, prefix, after, { entries, next }) {
  if (entries.length === 0) {
    return nothing(prefix ? `No label here begins with “${plain(prefix)}”.` : "No label here has a head.");
  }
  return [
    headsTable(`Labels of ${plain(domain)}`, entries, { isOfOneDomain: true }),
    pager((to) => hrefTo("browse", [domain], { prefix, after: to }), after, next),
  ];
}
