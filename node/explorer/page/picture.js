// The picture of the network: peers in a ring around this node, a line for each link, and dots that move along it, more
// of them if more records go by. A person who asked the system for less motion sees lines and figures only.

import { fill, s } from "./dom.js";
import { clip, many, rounded } from "./format.js";
import { glyph, hueOf } from "./parts.js";
import { stateWords } from "./peers.js";
import { plain } from "./visible.js";

const PEERS_SHOWN = 24;
const NAME_SIZE = 24;
const DOTS_MAX = 10;
const DOT_MS = 1_300;
const WIDE = { width: 900, height: 460, rx: 330, ry: 165 };
const NARROW = { width: 420, height: 520, rx: 135, ry: 190 };

/** `{element, show(peers, flows)}`. */
export function picture(key, signal) {
  const element = s("svg", { class: "picture", role: "img" });
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const narrow = matchMedia("(max-width: 700px)");
  const dots = s("g", { class: "dots" });
  const traffic = animate(dots, signal);
  const show = (peers, flows) => {
    const frame = narrow.matches ? NARROW : WIDE;
    const shown = peers.slice(0, PEERS_SHOWN);
    const places = shown.map((_, at) => placeOf(at, shown.length, frame));
    element.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
    element.setAttribute("aria-label", words(peers));
    fill(
      element,
      shown.map((peer, at) => edge(peer, places[at], frame)),
      dots,
      shown.map((peer, at) => station(peer, places[at], flows[at])),
      centre(key, frame),
      peers.length > shown.length &&
        s(
          "text",
          { class: "more", x: frame.width - 12, y: frame.height - 12 },
          `and ${peers.length - shown.length} more`,
        ),
    );
    if (!still.matches) shown.forEach((peer, at) => launch(traffic, places[at], flows[at], frame));
  };
  return { element, show };
}

function words(peers) {
  const linked = peers.filter((peer) => peer.link !== null);
  const eager = linked.filter((peer) => peer.link.is_eager).length;
  const all = many(peers.length, "peer");
  return `This node and ${all}: ${linked.length} linked, ${eager} of them eager. See the table below.`;
}

function placeOf(at, size, { width, height, rx, ry }) {
  const angle =
    (at / size) * 2 * Math.PI - Math.PI / 2 + (size === 2 ? Math.PI / 2 : 0) + (size === 1 ? Math.PI / 2 : 0);
  return {
    x: width / 2 + rx * Math.cos(angle),
    y: height / 2 + ry * Math.sin(angle),
    isAbove: Math.sin(angle) < -0.01,
  };
}

const middle = ({ width, height }) => ({ x: width / 2, y: height / 2 });

function edge(peer, place, frame) {
  const from = middle(frame);
  const kind = peer.link === null ? "none" : peer.link.is_eager ? "eager" : "lazy";
  return s("line", { class: `edge ${kind}`, x1: from.x, y1: from.y, x2: place.x, y2: place.y });
}

/** A peer, with its name on the side that is away from its line. */
function station(peer, { x, y, isAbove }, flow) {
  const hue = hueOf(peer.key ?? "0");
  const rates = [
    ["↑", flow.outRate],
    ["↓", flow.inRate],
  ];
  const figures = rates.filter(([, rate]) => rate > 0).map(([arrow, rate]) => `${arrow} ${rounded(rate)}/s`);
  return s(
    "g",
    { class: `station ${peer.state}` },
    s("circle", { class: "ring", cx: x, cy: y, r: 19 }),
    picturedKey(peer.key, x, y, 20, hue),
    s(
      "text",
      { class: "station-name", x, y: isAbove ? y - 44 : y + 38 },
      clip(plain(peer.name.replace(/^\w+:\/\//, "")), NAME_SIZE),
    ),
    s("text", { class: "rate", x, y: isAbove ? y - 28 : y + 55 }, figures.join("  ") || stateWords(peer)),
  );
}

function picturedKey(key, x, y, size, hue) {
  if (!key) return s("circle", { class: "unknown", cx: x, cy: y, r: 4 });
  const drawn = glyph(key);
  for (const [name, value] of Object.entries({ x: x - size / 2, y: y - size / 2, width: size, height: size }))
    drawn.setAttribute(name, value);
  drawn.style.setProperty("--hue", hue);
  return drawn;
}

function centre(key, frame) {
  const { x, y } = middle(frame);
  return s(
    "g",
    { class: "centre" },
    s("circle", { class: "ring", cx: x, cy: y, r: 34 }),
    picturedKey(key, x, y, 38, hueOf(key)),
    s("text", { class: "station-name", x, y: y + 52 }, "this node"),
  );
}

/** Send dots along a line, spread over the time until the next poll. */
function launch(traffic, place, flow, frame) {
  const from = middle(frame);
  const send = (records, begin, end, kind) => {
    const dots = Math.min(DOTS_MAX, Math.ceil(Math.log2(1 + records) * 1.5));
    for (let dot = 0; dot < dots; dot += 1) traffic.add({ begin, end, kind, delay: (dot / dots) * DOT_MS });
  };
  send(flow.out, from, place, "out");
  send(flow.in, place, from, "in");
}

/** Move the dots in each frame, while there are dots. */
function animate(group, signal) {
  const moving = new Set();
  let isRunning = false;
  const step = (now) => {
    for (const dot of moving) {
      const share = (now - dot.at) / DOT_MS;
      if (share > 1) {
        dot.element.remove();
        moving.delete(dot);
        continue;
      }
      dot.element.setAttribute("visibility", share < 0 ? "hidden" : "visible");
      dot.element.setAttribute("cx", dot.begin.x + (dot.end.x - dot.begin.x) * share);
      dot.element.setAttribute("cy", dot.begin.y + (dot.end.y - dot.begin.y) * share);
    }
    isRunning = moving.size > 0 && !signal.aborted;
    if (isRunning) requestAnimationFrame(step);
  };
  const add = ({ begin, end, kind, delay }) => {
    const element = s("circle", { class: `dot ${kind}`, r: 3.6, visibility: "hidden" });
    group.append(element);
    moving.add({ begin, end, element, at: performance.now() + delay });
    if (!isRunning) {
      isRunning = true;
      requestAnimationFrame(step);
    }
  };
  return { add };
}
