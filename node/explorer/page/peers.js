// Peers, read from what the node says of them: direction, state, lag, and how far the sets agree, domain by domain.

import { h } from "./dom.js";
import { duration, many, short } from "./format.js";
import { badge, glyph, nothing, plain, table } from "./parts.js";

const STATES = {
  live: ["good", "live"],
  catching_up: ["warn", "catching up"],
  behind: ["warn", "behind"],
  down: ["bad", "down"],
  listed: ["", "by http"],
};

/** The answer of `GET /peers`, read: `{name, key, directions, state, link, agreement, isInStep}` each. */
export function readPeers(answer) {
  return answer.map((peer) => {
    const link = peer.link ?? null;
    const isHttp = /^https?:/.test(peer.url ?? "");
    const state = link?.state ?? (isHttp ? "listed" : "down");
    const agreement = agreementOf(peer.domains ?? {});
    return {
      name: peer.url ?? (peer.key ? `key ${short(peer.key)}` : "a peer"),
      key: peer.key, push: peer.push, pull: peer.pull, accept: peer.accept, link, state, agreement,
      isInStep: agreement.known > 0 && agreement.differs === 0,
    };
  });
}

function agreementOf(domains) {
  const steps = Object.values(domains).map((step) => (typeof step === "string" ? { state: step } : step));
  const differing = steps.filter((step) => step.state === "differs");
  return {
    known: steps.filter((step) => step.state !== "unknown").length,
    identical: steps.filter((step) => step.state === "identical").length,
    differs: differing.length,
    by: differing.reduce((sum, step) => sum + Math.abs(step.by ?? 0), 0),
  };
}

export function directionWords(peer) {
  const words = [peer.push && "we push", peer.pull && "we pull", peer.accept && !peer.pull && "it may push"];
  return words.filter(Boolean).join(", ") || "neither way";
}

export function stateBadge(peer) {
  const [kind, words] = STATES[peer.state] ?? ["", plain(String(peer.state))];
  return badge(kind, words);
}

export function agreementWords({ known, differs, by, identical }) {
  if (known === 0) return "not known yet";
  if (differs === 0) return `identical in ${many(identical, "domain")}`;
  return by > 0 ? `differs by ${many(by, "record")}` : `differs in ${many(differs, "domain")}`;
}

const lagOf = (link) => (typeof link?.lag_s === "number" ? duration(link.lag_s) : "–");

export function peersTable(peers) {
  if (peers.length === 0) {
    return nothing("No peers: this node talks to nobody yet. Its operator adds one with ",
      h("code", {}, "dnarc peers add URL --pull"), ".");
  }
  return table("Peers", ["Peer", "Direction", "State", "Lag", "Sets"], peers.map((peer) => [
    h("span", { class: "peer" }, peer.key && glyph(peer.key), h("bdi", {}, plain(peer.name))),
    directionWords(peer), stateBadge(peer), lagOf(peer.link), agreementWords(peer.agreement),
  ]));
}
