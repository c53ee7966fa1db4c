// Browse and search: the domains, and of one domain the labels, page by page. What is typed narrows the labels to those
// that begin with it; the node answers that from an index, so a domain may have any number of them.

import { get, getPage, path } from "./api.js";
import { fill, h, settled } from "./dom.js";
import { count, many, summary } from "./format.js";
import { domainLink, heading, keyChip, labelLink, nothing, plain, problemBox, seen, table, when } from "./parts.js";
import { contentOf, isId } from "./record.js";
import { hrefTo, remember } from "./router.js";

const PAGE = 50;
const DOMAINS_SHOWN = 200;
const TYPING_MS = 120;

export const title = ({ names }) => (names.length ? `Labels of ${names[0]}` : "Browse");

export function show(main, { names, query }, signal) {
  return names.length ? showLabels(main, names[0], query, signal) : showDomains(main, query, signal);
}

async function showDomains(main, query, signal) {
  const { domains } = await get("/node", { signal });
  const results = h("div", { class: "card" });
  const field = searchField("Search domains, or paste a record id", query.get("search") ?? "", (text) => {
    remember(hrefTo("browse", [], { search: text }));
    return showFound(results, domains, text, signal);
  });
  fill(main, heading("Browse"), field, results);
  await showFound(results, domains, query.get("search") ?? "", signal);
}

async function showFound(place, domains, text, signal) {
  if (isId(text)) return showRecord(place, text, signal);
  const found = Object.keys(domains)
    .filter((name) => name.includes(text))
    .sort();
  if (found.length === 0) {
    return fill(
      place,
      nothing(Object.keys(domains).length ? "No domain here has that in its name." : "This node holds nothing yet."),
    );
  }
  const rows = found
    .slice(0, DOMAINS_SHOWN)
    .map((name) => [
      domainLink(name),
      count(domains[name].count),
      domains[name].newest === null ? "–" : when(domains[name].newest),
    ]);
  const rest = found.length - rows.length;
  return fill(
    place,
    table("Domains", ["Domain", { name: "Records", class: "number" }, "Newest"], rows),
    rest > 0 && h("p", {}, `and ${many(rest, "more domain")}: type a part of the name`),
  );
}

async function showRecord(place, id, signal) {
  try {
    const [record] = Object.values(await get(path("records", id), { signal }));
    fill(
      place,
      h(
        "p",
        {},
        "That is a record of ",
        labelLink(record.domain, record.label),
        " in ",
        domainLink(record.domain),
        ".",
      ),
    );
  } catch (error) {
    fill(place, problemBox(error));
  }
}

async function showLabels(main, domain, query, signal) {
  const results = h("div", { class: "card results", "aria-busy": "false" });
  const found = h("p", { class: "found", role: "status" });
  let asking = new AbortController();
  const ask = async (prefix, after) => {
    asking.abort();
    asking = new AbortController();
    results.setAttribute("aria-busy", "true");
    remember(hrefTo("browse", [domain], { prefix, after }));
    try {
      const search = new URLSearchParams({ limit: PAGE, ...(prefix && { prefix }), ...(after && { after }) });
      const page = await getPage(`${path("claims", domain)}?${search}`, {
        signal: AbortSignal.any([signal, asking.signal]),
      });
      showPage(results, found, { domain, prefix, after, page, ask });
    } catch (error) {
      if (error.name !== "AbortError") fill(results, problemBox(error));
    }
    results.setAttribute("aria-busy", "false");
  };
  const field = searchField("Search labels by their beginning", query.get("prefix") ?? "", (text) => ask(text, ""));
  fill(
    main,
    h("p", { class: "crumbs" }, h("a", { href: hrefTo("browse") }, "All domains")),
    heading("Labels of ", seen(domain)),
    field,
    found,
    results,
  );
  await ask(query.get("prefix") ?? "", query.get("after") ?? "");
}

function showPage(place, found, { domain, prefix, after, page, ask }) {
  const size = page.entries.length;
  found.textContent =
    size === 0 ? "" : `${many(size, "label")}${page.next ? ", and more" : after ? ", the last ones" : ""}`;
  if (size === 0) {
    fill(place, nothing(prefix ? `No label here begins with “${plain(prefix)}”.` : "No label here has a head."));
    return;
  }
  const rows = page.entries.map(({ record }) => [
    labelLink(domain, record.label),
    keyChip(record.signedby),
    when(record.timestamp),
    h("bdi", { class: "summary" }, plain(summary(contentOf(record)))),
  ]);
  fill(
    place,
    table(`Labels of ${domain}`, ["Label", "Owner", "Written", { name: "Claim", class: "claim" }], rows),
    h(
      "div",
      { class: "pager" },
      after && h("button", { type: "button", onclick: () => ask(prefix, "") }, "First page"),
      page.next &&
        h(
          "button",
          {
            type: "button",
            class: "next",
            onclick: () => {
              scrollTo(0, 0);
              ask(prefix, page.next);
            },
          },
          "Next page",
        ),
    ),
  );
}

function searchField(name, value, onText) {
  const field = h("input", {
    type: "search",
    id: "search",
    value,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    oninput: settled(TYPING_MS, () => onText(field.value)),
  });
  const form = h(
    "form",
    {
      class: "search",
      role: "search",
      "aria-label": "Search",
      onsubmit: (event) => {
        event.preventDefault();
        onText(field.value);
      },
    },
    h("label", { for: "search" }, name),
    field,
  );
  return form;
}
