// Peers, read from what the node says of them: direction, state, lag, and how far the sets agree, domain by domain.

import { h } from "./dom.js";
import { clip, duration, many, short } from "./format.js";
import { badge, glyph, nothing, plain, table } from "./parts.js";

const STATES = {
  live: ["good", "live"],
  catching_up: ["warn", "catching up"],
  behind: ["warn", "behind"],
  down: ["bad", "down"],
  away: ["", "not linked"],
  listed: ["", "by http"],
};

/** The answer of `GET /peers`, read: `{name, key, push, pull, accept, state, error, link, lag_s, agreement, isInStep}`
 * each. `link` is null where none is up: with a peer that is away, or that is synced by plain HTTP. */
export function readPeers(answer) {
  return answer.map((peer) => {
    const isUp = peer.link !== null && peer.link.state !== "down";
    const isHttp = /^https?:/.test(peer.url ?? "");
    const agreement = agreementOf(peer.domains, peer.link?.differing ?? 0);
    return {
      name: peer.url ?? `key ${short(peer.key)}`,
      key: peer.key,
      push: peer.push,
      pull: peer.pull,
      accept: peer.accept,
      state: peer.link?.state ?? (isHttp ? "listed" : "away"),
      error: peer.link?.error ?? null,
      link: isUp ? peer.link : null,
      lag_s: peer.lag_s,
      agreement,
      isInStep: agreement.known > 0 && agreement.differs === 0,
    };
  });
}

function agreementOf(domains, by) {
  const steps = Object.values(domains);
  const countOf = (step) => steps.filter((each) => each === step).length;
  return { known: steps.length - countOf("unknown"), identical: countOf("identical"), differs: countOf("differs"), by };
}

export function directionWords(peer) {
  const words = [peer.push && "we push", peer.pull && "we pull", peer.accept && !peer.pull && "it may push"];
  return words.filter(Boolean).join(", ") || "neither way";
}

export function stateBadge({ state, error, link }) {
  const [kind, words] = STATES[state] ?? ["", plain(String(state))];
  const progress = link?.total ? ` ${Math.floor((100 * link.done) / link.total)} %` : "";
  return [badge(kind, words + progress), error !== null && h("small", { class: "fault" }, clip(plain(error), 140))];
}

export const stateWords = ({ state }) => STATES[state]?.[1] ?? state;

export function agreementWords({ known, differs, by, identical }) {
  if (known === 0) return "not known yet";
  if (differs === 0) return `identical in ${many(identical, "domain")}`;
  return by > 0 ? `differs by ${many(by, "record")} or more` : `differs in ${many(differs, "domain")}`;
}

/** How long ago the two were last seen to hold the same. */
export const lagWords = ({ lag_s }) => (lag_s === null ? "–" : `${duration(lag_s)} ago`);

export function peersTable(peers) {
  if (peers.length === 0) {
    return nothing(
      "No peers: this node talks to nobody yet. Its operator adds one with ",
      h("code", {}, "dnarc peers add URL --pull"),
      ".",
    );
  }
  return table(
    "Peers",
    ["Peer", "Direction", "State", "Sets", "Last agreed"],
    peers.map((peer) => [
      h("span", { class: "peer" }, peer.key && glyph(peer.key), h("bdi", {}, plain(peer.name))),
      directionWords(peer),
      stateBadge(peer),
      agreementWords(peer.agreement),
      lagWords(peer),
    ]),
  );
}
