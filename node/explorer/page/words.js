// Words for the codes of the protocol, and for failures that are not the node's. The reasons are those of
// `protocol/records/replay.py` and `protocol/witness/walk.py`; a test keeps them equal.

import { Problem } from "./api.js";

export const REASONS = {
  founded: "the first record of the label, so its signer owns it",
  updated: "signed by the owner",
  offered: "signed by the owner, who offers the label to `newowner`",
  transferred: "signed by the key to which the record before it offers the label: this key is now the owner",
  pending: "too few witnesses of the domain have seen the record, and nothing is decided in its place",
  orphan: "its `prev` names a record, but no record of this label comes before it here",
  stale: "signed by a key that may write here, but `prev` does not name the record before it",
  rival: "founds the label with another key, but the label was founded before",
  not_owner: "signed neither by the owner nor by the key to which the label is offered",
};

/** The same in domains with witnesses, where the author's time orders nothing. */
export const WITNESSED_REASONS = {
  ...REASONS,
  founded: "the founding that the witnesses saw first or decided, so its signer owns the label",
  orphan: "its `prev` names a record that is not on the chain: that record lost, or it is not here",
  stale: "signed by a key that may write here, but the witnesses decided, or saw first, another record",
  rival: "a founding, but the witnesses saw another founding first, or decided it",
};

export const VERDICT_NAMES = {
  founded: "Founded",
  updated: "Updated",
  offered: "Offered",
  transferred: "Transferred",
  pending: "Pending",
  orphan: "Orphan",
  stale: "Stale fork",
  rival: "Rival",
  not_owner: "Not the owner",
};

/** What to do about a refusal of the node, by its code. */
const NODE_REMEDIES = {
  malformed: "Change what the sentence names, and try again.",
  too_large: "A record has at most 65,536 bytes: shorten the claim, or put the long text elsewhere and claim its hash.",
  unknown_domain:
    "Check how the name is spelled. The operator of this node may keep other domains only.",
  bad_signature: "The signature does not fit these bytes and this key. Sign again; if that fails too, reload the key.",
  not_welcome: "The operator of this node does not take this record. Ask the operator, or write to another node.",
  precondition_failed: "The label changed after it was read. Read it again, and sign what follows its new head.",
  too_new: "The clock of this computer is ahead of the node's. Set the clock, and sign again.",
  too_old: "The claim was signed too long ago, or the clock of this computer is behind. Sign again.",
  not_owner: "Load the key that owns the label, ask its owner to offer the label to your key, or choose another label.",
  stale: "Somebody wrote first. Read the label again, and sign a record that follows its new head.",
  rate_limited: "The node received too much from your address. Wait a little, and try again.",
  overloaded: "The node is busy. Wait a second, and try again.",
  quota_exceeded: "The node keeps no more of this domain or of this key. Ask its operator, or use another node.",
  storage_full: "The disk of the node is full. The node's operator has to make room. Nothing was lost.",
  unauthorized: "Only the node's operator may do this: it needs the admin token.",
  cursor_unknown: "The node's store was replaced. Begin again from now.",
  not_final: "The witnesses have not decided yet. Wait, or read what is not final.",
  unknown_label: "Nobody has claimed this label yet, or the node has not received the claim.",
  erased: "The operator of this node erased it. Another node may still show it.",
  not_erasable: "Policies and receipts of witnesses stay, because votes would be lost with them.",
  unknown_record: "The node holds no such record; it may not have received the record yet.",
  internal: "The node failed. The node's log says why.",
};

/** What to do about a failure that is not the node's, by the page's own code. */
const OTHER_REMEDIES = {
  unreachable:
    "Check that the node runs, that this computer reaches it, and that no extension of the browser blocks the request.",
  timeout: "The node or the network is slow. Wait a little, and read again before you send anything twice.",
  bad_gateway: "The proxy in front of the node does not reach the node. Check the node and the proxy's settings.",
  not_dnarc: "Something in front of the node answers, such as a proxy or a sign-in page. Open this page in a new tab.",
  no_socket: "The node answers other requests. A proxy in front of it may not pass on WebSockets (`Upgrade`).",
  browser: "Use a current Firefox, Chrome, Edge or Safari.",
  page: "This is a fault of the page and not of the node. Reload the page; if that does not help, please report it.",
};

const PASSING = ["unreachable", "timeout", "bad_gateway", "not_dnarc", "overloaded", "rate_limited", "stopping"];

const REACH_WORDS = {
  unreachable: "The node does not answer. Trying again.",
  timeout: "The node answers too slowly. Trying again.",
  bad_gateway: "The proxy does not reach the node. Trying again.",
  not_dnarc: "Something else answers in the node's place. Trying again.",
};

/** The code of any error. An error that is no Problem is a fault of the page. */
export const codeOf = (error) => (error instanceof Problem ? error.code : "page");

export function remedyOf(code) {
  return NODE_REMEDIES[code] ?? OTHER_REMEDIES[code] ?? "The sentence above names what is wrong.";
}

/** Whether a failure may pass by itself, so that another attempt makes sense. */
export const isPassing = (error) => PASSING.includes(codeOf(error));

/** A failure in a few words, for the corner of the page. */
export function reachWords(error) {
  const code = codeOf(error);
  if (code === "page") return `This page failed: ${error.message}`;
  return REACH_WORDS[code] ?? `The node refuses: ${code}`;
}
