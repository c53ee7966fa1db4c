// Heads of labels as a table, page by page.

import { getPage } from "./api.js";
import { h } from "./dom.js";
import { many, summary } from "./format.js";
import { domainLink, keyChip, labelLink, table, when } from "./parts.js";
import { pageNumber } from "./pager.js";
import { contentOf } from "./record.js";
import { plain } from "./visible.js";
import { certaintyBadge } from "./witnesses.js";

const PAGE = 50;

/** Ask for a page of heads at this path, such as `claims/example.org`, with these parameters. */
export function getHeads(listing, parameters, signal) {
  const given = Object.entries({ limit: PAGE, ...parameters }).filter(([, value]) => value !== "");
  return getPage(`${listing}?${new URLSearchParams(given)}`, { signal });
}

/** The heads as a table. `isOfOneDomain` and `isOfOneOwner` leave out a column that would say the same in every row. */
export function headsTable(caption, entries, { isOfOneDomain = false, isOfOneOwner = false }) {
  const columns = [
    "Label",
    !isOfOneDomain && "Domain",
    !isOfOneOwner && "Owner",
    "Written",
    { name: "Claim", class: "claim" },
  ];
  const rows = entries.map(({ record, certainty }) => [
    [labelLink(record.domain, record.label), " ", certaintyBadge(certainty)],
    !isOfOneDomain && domainLink(record.domain),
    !isOfOneOwner && keyChip(record.signedby),
    when(record.timestamp),
    h("bdi", { class: "summary" }, plain(summary(contentOf(record)))),
  ]);
  return table(
    caption,
    columns.filter(Boolean),
    rows.map((row) => row.filter((cell) => cell !== false)),
  );
}

/** Where a page of labels stands: "Page 2: 50 labels, and more". */
export function pageWords(size, after, next) {
  if (size === 0) return "";
  const number = pageNumber(after);
  const page = number !== null && (number > 1 || next) ? `Page ${number}: ` : "";
  return `${page}${many(size, "label")}${next ? ", and more" : after ? ", the last ones" : ""}`;
}
