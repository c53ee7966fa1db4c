// Network: this node in the middle, its peers around it, and what moves between them. A table below says the same in
// figures.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { bytes, count, rounded } from "./format.js";
import { badge, card, heading, nothing, table } from "./parts.js";
import { agreementWords, askPeers, directionWords, hasNoPeers, peerName, peersHidden, stateBadge } from "./peers.js";
import { picture } from "./picture.js";
import { repeat } from "./polling.js";

const INTERVAL_MS = 1_500;

export const title = () => "Network";

export async function show(main, _place, signal) {
  fill(main, heading(title()));
  const { node } = await get("node", { signal });
  const drawn = picture(node, signal);
  const figure = h("figure", { class: "network" }, drawn.element, h("figcaption", {}, legend()));
  const empty = h("div", {});
  const links = h("div", {});
  main.append(empty, figure, card("Links", links));
  let before = null;
  await repeat(INTERVAL_MS, signal, async () => {
    const peers = await askPeers(signal);
    const now = { at: performance.now(), peers: peers ?? [] };
    const flows = now.peers.map((peer) => flowOf(peer, before, now));
    drawn.show(now.peers, flows);
    figure.hidden = now.peers.length === 0;
    fill(empty, peers?.length === 0 && hasNoPeers());
    fill(links, peers === null ? peersHidden() : linksTable(peers, flows));
    before = now;
  });
}

/** The records that went over a link since the last look, and how many a second, in both directions. */
function flowOf(peer, before, now) {
  const earlier = before?.peers.find((other) => other.name === peer.name)?.link;
  if (!earlier || !peer.link) return { out: 0, in: 0, outRate: 0, inRate: 0 };
  const seconds = (now.at - before.at) / 1000;
  const out = Math.max(0, peer.link.sent - earlier.sent);
  const into = Math.max(0, peer.link.received - earlier.received);
  return { out, in: into, outRate: out / seconds, inRate: into / seconds };
}

function legend() {
  const line = (kind, words) => h("span", { class: `sample ${kind}` }, words);
  return [
    line("eager", "eager: new records are sent at once"),
    line("lazy", "lazy: announced, sent on request"),
    line("none", "no link now"),
    h("span", { class: "sample out" }, "record sent"),
    h("span", { class: "sample in" }, "record received"),
  ];
}

function linksTable(peers, flows) {
  if (peers.length === 0) return nothing("This node has no links.");
  const columns = [
    "Peer",
    "State",
    "Link",
    "Direction",
    { name: "Out", class: "number" },
    { name: "In", class: "number" },
    "Round trip",
    "Sets",
  ];
  return table(
    "Links",
    columns,
    peers.map((peer, at) => [
      peerName(peer),
      stateBadge(peer),
      linkWords(peer.link),
      directionWords(peer),
      amount(peer.link?.sent, flows[at].outRate, peer.link?.bytes_out),
      amount(peer.link?.received, flows[at].inRate, peer.link?.bytes_in),
      (peer.link?.round_trip_s ?? null) === null ? "–" : `${rounded(peer.link.round_trip_s * 1000)} ms`,
      agreementWords(peer.agreement),
    ]),
  );
}

function linkWords(link) {
  if (link === null) return "–";
  return [
    link.direction === "accepted" ? "they dialled" : "we dialled",
    ", ",
    link.is_eager ? badge("good", "eager") : badge("", "lazy"),
  ];
}

function amount(records, rate, size) {
  if (records === undefined) return "–";
  const words = [rate > 0 && `${rounded(rate)}/s`, bytes(size)].filter(Boolean).join(", ");
  return [count(records), words && h("small", { class: "soft" }, ` ${words}`)];
}
