// The card about the witnesses of a label's domain, with the proof of what is final: it is checked here, can be
// downloaded, and a file of a proof can be checked against the name of the domain.

import { ask, urlOf } from "./api.js";
import { fill, h } from "./dom.js";
import { ago, count, many, momentMs } from "./format.js";
import { badge, card, keyChip, recordLink } from "./parts.js";
import { checkProof } from "./proof.js";
import { plain } from "./visible.js";

const CHECKED_MAX = 500;
const FILE_BYTES_MAX = 64 * 2 ** 20;

/** The card, or null for a label without places. `council` is the answer of `GET /witnesses`, or null. `shown` keeps
 * what was found, because the card is drawn again at each event. */
export function proofCard(history, council, shown, signal) {
  if (history.label.startsWith("@")) return null;
  const found = h("p", { class: "proof-found", role: "status" });
  const body = [found, actions(history, found, signal), council && councilParts(council)];
  const length = history.records.filter((entry) => entry.decided).length;
  if (history.final === null) fill(found, badge("warn", "Not final yet"), " The witnesses have decided nothing here.");
  else if (shown.proof?.final === history.final) fill(found, shown.proof.words);
  else if (length > CHECKED_MAX) fill(found, `The proof of ${many(length, "record")} is checked when you ask for it.`);
  else checkHere(history, found, shown, signal);
  return card("Proof", body);
}

const nameOf = ({ domain, label }) => new URLSearchParams({ domain, label });

async function checkHere(history, found, shown, signal) {
  fill(found, "Checking the proof…");
  let words;
  try {
    const { text } = await ask(`proof?${nameOf(history)}`, { signal });
    words = wordsOf(await checkProof(history.domain, history.label, text), history.final);
  } catch (error) {
    if (signal.aborted) return;
    words = [badge("warn", "Not checked"), ` ${plain(error.message)}.`];
  }
  shown.proof = { final: history.final, words };
  fill(found, words);
}

/** What was found. `final`: the record that the node calls final; null for a proof that comes from a file. */
function wordsOf({ state, why, policy, chain }, final) {
  if (state === "unknown") return [badge("warn", "Not checked"), ` The proof is not checked here: ${why}.`];
  if (state === "bad") return [badge("bad", "Not proven"), ` ${plain(why)}.`];
  if (final !== null && !chain.some(({ id }) => id === final)) {
    return [badge("bad", "Not proven"), " The proof does not show the record that the node calls final."];
  }
  const who = `${policy.quorum} of ${policy.witnesses.length} witnesses`;
  const what = chain.length === 1 ? "the final record" : `each of the ${count(chain.length)} final records, up to`;
  return [
    badge("good", "Proven here"),
    ` ${who} committed ${what} `,
    recordLink(chain.at(-1).id),
    ". This browser checked every signature, and believes nothing but the name of the domain.",
  ];
}

function actions(history, found, signal) {
  const field = h("input", { type: "file", class: "visually-hidden", id: "proof-file", accept: ".ndjson,.proof" });
  field.addEventListener("change", async () => {
    const [file] = field.files;
    if (file === undefined) return;
    fill(found, "Checking the file…");
    const isLarge = file.size > FILE_BYTES_MAX;
    const result = isLarge
      ? { state: "bad", why: "the file is too large" }
      : await checkProof(history.domain, history.label, await file.text());
    if (!signal.aborted) fill(found, "The file: ", wordsOf(result, null));
    field.value = "";
  });
  return h(
    "div",
    { class: "actions" },
    history.final !== null && [
      h("a", { class: "button", href: urlOf(`proof?${nameOf(history)}`).href, download: "proof.ndjson" }, "Download"),
      h(
        "button",
        { type: "button", onclick: () => checkHere(history, found, {}, signal) },
        "Check again",
      ),
    ],
    h("span", { class: "file" }, field, h("label", { class: "button", for: "proof-file" }, "Check a file")),
  );
}

function councilParts({ witnesses, quorum, faulty, doubly_decided: doubly }) {
  if (quorum === null) return h("p", { class: "hint" }, "The policy of this domain is not here yet.");
  return [
    doubly > 0 &&
      h(
        "p",
        { class: "problem" },
        `Two records are decided in ${many(doubly, "place")} of this domain: more than ${faulty} witnesses lied.`,
      ),
    h("p", { class: "hint" }, `A quorum is ${quorum} of ${witnesses.length} witnesses; ${faulty} may lie.`),
    h(
      "ul",
      { class: "witnesses", "aria-label": "The witnesses" },
      witnesses.map(({ key, at, forks }) =>
        h(
          "li",
          {},
          keyChip(key),
          " ",
          at === null ? "never heard" : ["heard ", h("time", { datetime: isoOf(at) }, ago(at / 1000))],
          forks.length > 0 && [" ", badge("bad", "Forked")],
        ),
      ),
    ),
  ];
}

const isoOf = (ms) => (momentMs(ms).endsWith("UTC") ? new Date(ms).toISOString() : null);
