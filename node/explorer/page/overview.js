// Overview: who this node is, whether it is well, what it holds, and whether its peers hold the same.

import { get, getHealth } from "./api.js";
import { fill, h } from "./dom.js";
import { count, duration, many, rounded } from "./format.js";
import { badge, card, copyButton, domainLink, glyph, heading, holdsNothing, table, when } from "./parts.js";
import { askPeers, peersHidden, peersTable } from "./peers.js";
import { repeat } from "./polling.js";
import { hrefTo } from "./router.js";
import { sparkline } from "./sparkline.js";
import { usageCard } from "./usage.js";
import { plain } from "./visible.js";

const INTERVAL_MS = 2_000;
const DOMAINS_SHOWN = 12;

export const title = () => "Overview";

export async function show(main, _place, signal) {
  const parts = frame(main);
  let before = null;
  await repeat(INTERVAL_MS, signal, async () => {
    const [node, health, peers] = await Promise.all([
      get("node", { signal }),
      getHealth({ signal }),
      askPeers(signal),
    ]);
    const now = { at: performance.now(), records: total(node) };
    if (before !== null) parts.rate.add(Math.max(0, now.records - before.records) / ((now.at - before.at) / 1000));
    showRate(parts, before, now);
    before = now;
    showNode(parts, node, health);
    showDomains(parts.domains, node.domains);
    fill(
      parts.step,
      peers?.length
        ? [count(peers.filter((peer) => peer.isInStep).length), h("small", {}, ` of ${count(peers.length)}`)]
        : "–",
    );
    fill(parts.peers, peers === null ? peersHidden() : peersTable(peers));
    if (peers !== null) await parts.usage.update(signal);
  });
}

function frame(main) {
  const parts = {
    identity: h("div", { class: "identity" }),
    health: h("div", {}),
    records: h("strong", {}),
    domainCount: h("strong", {}),
    step: h("strong", {}),
    rateNow: h("strong", {}, "–"),
    rate: sparkline("records a second"),
    domains: h("div", {}),
    peers: h("div", {}),
    usage: usageCard(),
  };
  fill(
    main,
    heading("This node"),
    parts.identity,
    parts.health,
    h(
      "div",
      { class: "figures" },
      figure("Records", parts.records),
      figure("Domains", parts.domainCount),
      figure("Peers in step", parts.step),
      h("div", { class: "figure wide" }, h("span", {}, "Records a second"), parts.rateNow, parts.rate.element),
    ),
    card("Domains", parts.domains),
    card("Peers", parts.peers),
    parts.usage.element,
  );
  return parts;
}

const figure = (name, value) => h("div", { class: "figure" }, h("span", {}, name), value);

const total = (node) => Object.values(node.domains).reduce((sum, domain) => sum + domain.count, 0);

function showRate(parts, before, now) {
  if (before === null) return;
  fill(parts.rateNow, rounded(Math.max(0, now.records - before.records) / ((now.at - before.at) / 1000)));
}

function showNode(parts, node, { problems, warnings }) {
  if (parts.identity.dataset.node !== node.node) {
    parts.identity.dataset.node = node.node;
    fill(
      parts.identity,
      glyph(node.node),
      h("code", { class: "node-key" }, node.node),
      copyButton(node.node, "the node's key"),
      h("span", { class: "since" }),
    );
  }
  parts.identity.querySelector(".since").textContent =
    `up for ${duration(node.time - node.started, 2)} · version ${node.version}`;
  fill(parts.records, count(total(node)));
  fill(parts.domainCount, count(Object.keys(node.domains).length));
  const skew = Date.now() / 1000 - node.time;
  const all = Math.abs(skew) < 30 ? problems : [...problems, skewWords(skew)];
  const text = JSON.stringify([all, warnings]);
  if (parts.health.dataset.text === text) return;
  parts.health.dataset.text = text;
  fill(
    parts.health,
    all.length > 0 && h("div", { class: "problem", role: "alert" }, listOf(all)),
    warnings.length > 0 && h("div", { class: "notice", role: "status" }, listOf(warnings)),
    all.length + warnings.length === 0 &&
      h("p", { class: "well" }, badge("good", "Well"), " Nothing is wrong with this node."),
  );
}

const listOf = (sentences) =>
  h(
    "ul",
    {},
    sentences.map((sentence) => h("li", {}, plain(sentence))),
  );

function skewWords(skew) {
  const words = skew > 0 ? "ahead of" : "behind";
  return `The clock of this computer is ${duration(Math.abs(skew))} ${words} the node's: one of the two is wrong.`;
}

function showDomains(place, domains) {
  const names = Object.keys(domains).sort(
    (one, other) => domains[other].count - domains[one].count || (one < other ? -1 : 1),
  );
  if (names.length === 0) {
    fill(place, holdsNothing());
    return;
  }
  const rows = names
    .slice(0, DOMAINS_SHOWN)
    .map((name) => [
      domainLink(name),
      count(domains[name].count),
      domains[name].newest === null ? "–" : when(domains[name].newest),
      h("code", { class: "fingerprint" }, domains[name].fingerprint),
    ]);
  const rest = names.length - rows.length;
  fill(
    place,
    table("Domains", ["Domain", { name: "Records", class: "number" }, "Newest", "Fingerprint"], rows),
    rest > 0 && h("p", {}, h("a", { href: hrefTo("browse") }, `and ${many(rest, "more domain")}`)),
  );
}
