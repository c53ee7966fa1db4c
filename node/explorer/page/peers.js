// Peers as the node describes them: direction, state, error, lag, and in how many domains both hold the same.

import { get } from "./api.js";
import { h } from "./dom.js";
import { duration, many, short } from "./format.js";
import { badge, keyChip, nothing, table, when } from "./parts.js";
import { plain } from "./visible.js";

const STATES = {
  live: ["good", "live"],
  syncing: ["good", "by http"],
  connecting: ["warn", "connecting"],
  catching_up: ["warn", "catching up"],
  behind: ["warn", "behind"],
  failing: ["bad", "failing"],
  refused: ["bad", "refused"],
  away: ["", "not linked"],
  idle: ["", "idle"],
};

/** The answer of `GET /peers`, read: `{name, key, push, pull, accept, state, error, since, remedy, link, lag_s,
 * agreement, isInStep}` each. `error`, `since` and `remedy` are null unless the peer fails or is refused. `link` is
 * null if no link is open: the peer is away, or the node syncs with it by plain HTTP. */
export function readPeers(answer) {
  return answer.map((peer) => {
    const isUp = peer.link !== null && peer.link.state !== "down";
    const agreement = agreementOf(peer.domains, peer.link?.differing ?? 0);
    return {
      name: peer.url ?? `key ${short(peer.key)}`,
      url: peer.url,
      key: peer.key,
      push: peer.push,
      pull: peer.pull,
      accept: peer.accept,
      state: peer.state,
      error: peer.error,
      since: peer.since,
      remedy: peer.remedy,
      link: isUp ? peer.link : null,
      lag_s: peer.lag_s,
      agreement,
      isInStep: agreement.known > 0 && agreement.differs === 0,
    };
  });
}

let areHidden = false;

/** The node's peers, read. Null if the node shows them to its operator alone; then they are not asked for again. */
export async function askPeers(signal) {
  if (areHidden) return null;
  try {
    return readPeers(await get("peers", { signal }));
  } catch (problem) {
    if (problem.code !== "unauthorized") throw problem;
    areHidden = true;
    return null;
  }
}

export const peersHidden = () =>
  nothing("This node shows its peers only to callers on its own machine, and to those with the admin token.");

/** What stands in the place of the peers of a node that has none. */
export const hasNoPeers = () =>
  nothing(
    "This node has no peers yet. Its operator adds one with ",
    h("code", {}, "dnarc peers add URL --pull"),
    ".",
  );

function agreementOf(domains, by) {
  const steps = Object.values(domains);
  const countOf = (step) => steps.filter((each) => each === step).length;
  return { known: steps.length - countOf("unknown"), identical: countOf("identical"), differs: countOf("differs"), by };
}

export function directionWords(peer) {
  const words = [peer.push && "we push", peer.pull && "we pull", peer.accept && !peer.pull && "it may push"];
  return words.filter(Boolean).join(", ") || "neither way";
}

export function stateBadge({ state, error, since, remedy, link }) {
  const [kind, words] = STATES[state] ?? ["", plain(String(state))];
  const progress = link?.total ? ` ${Math.floor((100 * link.done) / link.total)} %` : "";
  if (error === null) return badge(kind, words + progress);
  return [badge(kind, words), " began ", when(since), h("small", { class: "fault" }, plain(`${error}; ${remedy}`))];
}

export const stateWords = ({ state }) => STATES[state]?.[1] ?? state;

export function agreementWords({ known, differs, by, identical }) {
  if (known === 0) return "not known yet";
  if (differs === 0) return `identical in ${many(identical, "domain")}`;
  return by > 0 ? `differs by ${many(by, "record")} or more` : `differs in ${many(differs, "domain")}`;
}

/** The URL of a peer, and its key, which links to all of its digits. */
export const peerName = ({ url, key }) =>
  h("span", { class: "peer" }, url && h("bdi", {}, plain(url)), key && [!url && "key ", keyChip(key)]);

/** How long ago both were last known to hold the same. */
export const lagWords = ({ lag_s }) => (lag_s === null ? "–" : `${duration(lag_s)} ago`);

export function peersTable(peers) {
  if (peers.length === 0) return hasNoPeers();
  return table(
    "Peers",
    ["Peer", "Direction", "State", "Sets", "Last agreed"],
    peers.map((peer) => [
      peerName(peer),
      directionWords(peer),
      stateBadge(peer),
      agreementWords(peer.agreement),
      lagWords(peer),
    ]),
  );
}
