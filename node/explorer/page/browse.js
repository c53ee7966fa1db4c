// Browse and search: the domains of this node, and one search for domains, labels, keys and records.

import { get, path } from "./api.js";
import { fill, h } from "./dom.js";
import { count, many } from "./format.js";
import { getHeads, headsTable } from "./heads.js";
import { showLabels } from "./labels.js";
import { domainLink, heading, hexValue, holdsNothing, labelLink, nothing, problemBox, table, when } from "./parts.js";
import { persist } from "./polling.js";
import { isId, isLabel } from "./record.js";
import { hrefTo, remember } from "./router.js";
import { onlyNewest, searchField } from "./searchfield.js";
import { plain } from "./visible.js";

const DOMAINS_SHOWN = 200;
const DOMAINS_SEARCHED = 20; // for labels: one request each
const LABELS_SHOWN = 10; // of each domain, and of a key

export const title = ({ names }) => (names.length ? `Labels of ${names[0]}` : "Browse");

export function show(main, { names, query }, signal) {
  return names.length ? showLabels(main, names[0], query, signal) : showDomains(main, query, signal);
}

async function showDomains(main, query, signal) {
  fill(main, heading("Browse"));
  const { domains } = await get("node", { signal });
  const results = h("div", { class: "card results" });
  const newest = onlyNewest(signal);
  const search = (text) => newest((own) => showFound(results, domains, text.trim(), own));
  const text = query.get("search") ?? "";
  const field = searchField("Search domains and labels, or paste a key or a record id", text, (typed) => {
    remember(hrefTo("browse", [], { search: typed }));
    return search(typed);
  });
  main.append(field, results);
  await search(text);
}

async function showFound(results, domains, text, signal) {
  try {
    await persist(
      signal,
      (box) => fill(results, box),
      () =>
        isId(text.toLowerCase())
          ? showHex(results, text.toLowerCase(), signal)
          : showNames(results, domains, text, signal),
    );
  } catch (error) {
    if (!signal.aborted) fill(results, problemBox(error));
  }
}

/** Domains with this text in their names at once, and then labels that begin with it. */
async function showNames(results, domains, text, signal) {
  const found = domainsTable(domains, text);
  const labels = h("div", { class: "found-labels" });
  fill(results, found ?? (text === "" && holdsNothing()), labels);
  if (text === "" || !isLabel(text)) return;
  fill(labels, h("p", { class: "hint" }, "Searching labels…"));
  const words = await labelsFound(domains, text, signal);
  fill(labels, words ?? (found === null && nothing("No domain has that in its name, and no label begins with it.")));
}

function domainsTable(domains, text) {
  const found = Object.keys(domains)
    .filter((name) => name.includes(text.toLowerCase()))
    .sort();
  if (found.length === 0) return null;
  const rows = found
    .slice(0, DOMAINS_SHOWN)
    .map((name) => [
      domainLink(name),
      count(domains[name].count),
      domains[name].newest === null ? "–" : when(domains[name].newest),
    ]);
  const rest = found.length - rows.length;
  return [
    table("Domains", ["Domain", { name: "Records", class: "number" }, "Newest"], rows),
    rest > 0 && h("p", {}, `and ${many(rest, "more domain")}: type a part of the name`),
  ];
}

/** Labels that begin with this text, of the largest domains. Null if there are none. */
async function labelsFound(domains, prefix, signal) {
  const names = Object.keys(domains).sort((one, other) => domains[other].count - domains[one].count);
  const searched = names.slice(0, DOMAINS_SEARCHED);
  const ask = (name) => getHeads(path("claims", name), { prefix, limit: LABELS_SHOWN }, signal);
  const pages = await Promise.all(searched.map(ask));
  const entries = pages.flatMap((page) => page.entries);
  const more = searched.filter((_, at) => pages[at].next !== null);
  const rest = names.length - searched.length;
  if (entries.length === 0 && rest === 0) return null;
  const moreLink = (name) => h("a", { href: hrefTo("browse", [name], { prefix }) }, `more in ${name}`);
  return [
    h("h2", {}, `Labels that begin with “${plain(prefix)}”`),
    entries.length ? headsTable("Labels found", entries, {}) : nothing("None was found."),
    more.length > 0 && h("p", {}, more.map(moreLink).flatMap((link, at) => (at ? [", ", link] : [link]))),
    rest > 0 &&
      h("p", { class: "hint" }, `Not searched: ${many(rest, "smaller domain")}. Open a domain to search its labels.`),
  ];
}

/** 64 hex digits may be a key or a record's id. A key that owns labels is no id, so the record is asked for last. */
async function showHex(results, hex, signal) {
  const { entries, next } = await getHeads("claims", { signedby: hex, limit: LABELS_SHOWN }, signal);
  if (entries.length > 0) {
    fill(
      results,
      h("h2", {}, "Labels that this key owns"),
      headsTable("Labels of the key", entries, { isOfOneOwner: true }),
      h("p", {}, h("a", { href: hrefTo("key", [hex]) }, next ? "All labels of this key" : "Show the key")),
    );
    return;
  }
  const record = await findRecord(hex, signal);
  fill(
    results,
    record ? recordWords(hex, record) : nothing("No record here has this id, and no label here is owned by this key."),
  );
}

function recordWords(id, { domain, label }) {
  return [
    h("p", {}, "This is a record of ", labelLink(domain, label), " in ", domainLink(domain), "."),
    h("p", {}, "Record ", hexValue(id, "the record's id")),
  ];
}

/** The record with this id, or null. */
async function findRecord(id, signal) {
  try {
    const [record] = Object.values(await get(path("records", id), { signal }));
    return record;
  } catch (error) {
    if (error.code === "unknown_record") return null;
    throw error;
  }
}
