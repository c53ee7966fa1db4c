// Words for the codes of the protocol. The reasons are those of `protocol/records/replay.py`; a test keeps them equal.

export const REASONS = {
  founded: "the first record of the label, so its signer owns it",
  updated: "signed by the owner",
  offered: "signed by the owner, who offers the label to `newowner`",
  transferred: "signed by the key that the record before it offered the label to, which owns it from here on",
  pending: "too few witnesses of the domain have seen the record, and nothing is decided in its place",
  orphan: "names a record in `prev` that should come before it, but nothing of this label does",
  stale: "its signer may follow, but `prev` names another record than the one that it would follow",
  rival: "a founding by another key, but the label was founded before",
  not_owner: "neither the owner nor the key that the label was offered to signed it",
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

/** What to do about a refusal, by its code. */
const REMEDIES = {
  malformed: "Change what the sentence names, and sign again.",
  too_large: "A record has at most 65,536 bytes: shorten the claim, or put the long text elsewhere and claim its hash.",
  unknown_domain: "This node does not keep that domain. Choose another, or ask its operator to add it.",
  bad_signature: "The signature is not one of these bytes by this key. Sign again; if it stays so, load the key anew.",
  precondition_failed: "The label has changed since it was read. Read it again, and sign what follows its new head.",
  too_new: "The clock of this computer is ahead of the node's. Set it right, and sign again.",
  too_old: "The claim was signed too long ago, or the clock of this computer is behind. Sign again.",
  not_owner: "Load the key that owns the label, or have its owner offer it to your key. Another label may be free.",
  stale: "Somebody wrote first. Read the label again, and sign what follows its new head.",
  rate_limited: "The node has had much from your address. Wait a little, and send it again.",
  overloaded: "The node is busy. Wait a second, and send it again.",
  storage_full: "The disk of the node is full. Its operator has to make room; nothing was lost.",
  unauthorized: "This is for the node's operator: it needs the admin token.",
  cursor_unknown: "The node's store is another one than before. Begin again from now.",
  unknown_label: "Nothing is claimed under this label here yet, or the node has not heard of it.",
  unknown_record: "The node holds no such record; it may not have heard of it yet.",
  unreachable: "The node does not answer. See whether it runs, and whether this computer reaches it.",
  internal: "The node failed; its log says why.",
};

export function remedyOf(code) {
  return REMEDIES[code] ?? "Read the sentence above; it names what is wrong.";
}
