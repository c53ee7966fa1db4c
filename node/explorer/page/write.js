// Write a claim: a key, a form or JSON, the exact bytes before they are signed, and what the node says. What is signed
// names the head that it follows, so that a label which changed meanwhile refuses it instead of losing anything.

import { putClaim } from "./api.js";
import { NotCanonical, canonical, read } from "./canonical.js";
import { announce, fill, h, settled } from "./dom.js";
import { draft, fetchHead } from "./drafting.js";
import { clip } from "./format.js";
import { fieldRows } from "./fields.js";
import { mine, sign } from "./keys.js";
import { keyPanel } from "./keypanel.js";
import { badge, card, coded, hexValue, heading, keyChip, labelLink, plain, problemBox, verdictBadge } from "./parts.js";
import { bytesOf, contentOf, isDomain, isLabel, whyNoCrypto } from "./record.js";
import { hrefTo, remember } from "./router.js";
import { REASONS } from "./words.js";

const MODES = {
  claim: ["Claim", "Found a label, or update one that you own."],
  transfer: ["Offer", "Offer a label to another key. It stays yours until that key accepts."],
  accept: ["Accept", "Accept a label that is offered to your key. The claim stays as it is."],
};
const READ_MS = 300;

export const title = () => "Write a claim";

export function show(main, { query }, signal) {
  const missing = whyNoCrypto();
  if (missing !== null) {
    fill(main, heading("Write a claim"), h("p", { class: "notice" }, `This page cannot sign here: ${missing}.`));
    return;
  }
  const desk = {
    signal,
    head: null,
    headOf: null,
    reading: null,
    mode: MODES[query.get("mode")] ? query.get("mode") : "claim",
    form: null,
  };
  const parts = frame(desk, query);
  desk.parts = parts;
  const keys = keyPanel(() => preview(desk));
  fill(
    main,
    heading("Write a claim"),
    keys,
    card("The claim", parts.modes, parts.form),
    card("What will be signed", parts.preview),
    parts.result,
  );
  parts.form.addEventListener(
    "input",
    settled(120, () => preview(desk)),
  );
  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(desk);
  });
  parts.content.addEventListener("input", () => {
    desk.isTouched = true;
  });
  const lookUp = settled(READ_MS, () => headRead(desk));
  for (const name of ["domain", "label"]) parts.form.elements[name].addEventListener("input", lookUp);
  chooseMode(desk, desk.mode);
  return headRead(desk);
}

function frame(desk, query) {
  const input = (name, words, extra = {}) =>
    h(
      "label",
      { class: `line ${name}` },
      h("span", {}, words),
      h("input", { name, autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...extra }),
    );
  const rows = fieldRows(() => preview(desk));
  const json = h(
    "textarea",
    { name: "json", rows: 8, spellcheck: "false", "aria-label": "The claim as JSON" },
    "{\n  \n}",
  );
  const asJson = h("input", { type: "checkbox", name: "asJson" });
  const content = h(
    "fieldset",
    { class: "content" },
    h("legend", {}, "What you claim"),
    rows.element,
    h("div", { class: "json", hidden: true }, json),
    h("label", { class: "check" }, asJson, " Write it as JSON"),
  );
  asJson.addEventListener("change", () => switchToJson(asJson.checked, rows, json));
  const send = h("button", { type: "submit", class: "primary" }, "Sign and send");
  const standing = h("p", { class: "standing", role: "status" });
  const form = h(
    "form",
    { class: "write-form", "aria-label": "The claim", novalidate: true },
    input("domain", "Domain", { value: query.get("domain") ?? "", placeholder: "example.org", required: true }),
    input("label", "Label", { value: query.get("label") ?? "", placeholder: "garden", required: true }),
    standing,
    input("newowner", "New owner", { placeholder: "the other's public key, 64 hex digits" }),
    content,
    h("div", { class: "actions" }, send),
  );
  const modes = h(
    "div",
    { class: "modes", role: "group", "aria-label": "What to write" },
    Object.entries(MODES).map(([mode, [name, words]]) =>
      h("button", { type: "button", title: words, dataset: { mode }, onclick: () => chooseMode(desk, mode) }, name),
    ),
  );
  const preview_ = h("div", { class: "preview" });
  return {
    form,
    modes,
    rows,
    json,
    asJson,
    content,
    standing,
    send,
    preview: preview_,
    result: h("div", { class: "result" }),
  };
}

function switchToJson(isJson, rows, json) {
  if (isJson) json.value = JSON.stringify(rows.content(), null, 2);
  else {
    try {
      rows.set(read(json.value));
    } catch {
      // not JSON yet: the rows stay as they were
    }
  }
  json.parentElement.hidden = !isJson;
  rows.element.hidden = isJson;
}

function chooseMode(desk, mode) {
  desk.mode = mode;
  const { modes, form, content } = desk.parts;
  for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  form.querySelector(".newowner").hidden = mode !== "transfer";
  content.hidden = mode !== "claim";
  desk.parts.modes.dataset.words = MODES[mode][1];
  noteHead(desk);
  preview(desk);
}

const names = ({ form }) => ({ domain: form.elements.domain.value.trim(), label: form.elements.label.value });

/** Wait until the head of the label that the form names is known; it is asked for where that was not done yet. */
function headRead(desk) {
  const { domain, label } = names(desk.parts);
  const asked = JSON.stringify([domain, label]);
  if (desk.headOf !== asked) {
    desk.headOf = asked;
    desk.reading = readHead(desk, asked, domain, label);
  }
  return desk.reading;
}

/** Ask the node for the head, and prove it, before anything is signed that follows it. */
async function readHead(desk, asked, domain, label) {
  remember(hrefTo("write", [], { mode: desk.mode, domain, label }));
  const head = isDomain(domain) && isLabel(label) ? await fetchHead(domain, label, desk.signal) : null;
  if (desk.headOf !== asked || desk.signal.aborted) return;
  const isNew = head?.id !== desk.head?.id;
  desk.head = head;
  if (isNew && head !== null && !desk.isTouched) desk.parts.rows.set(contentOf(head.record));
  noteHead(desk);
  preview(desk);
}

function noteHead({ parts, head, mode }) {
  const { domain, label } = names(parts);
  const key = mine()?.public;
  if (domain === "" || label === "") return fill(parts.standing);
  if (!isDomain(domain)) return fill(parts.standing, "A domain has parts of a-z, 0-9 and -, with dots between.");
  if (!isLabel(label)) return fill(parts.standing, "A label has 1 to 255 bytes, and no control characters.");
  if (head === null)
    return fill(
      parts.standing,
      mode === "claim" ? "Nobody has this label here: you will found it." : "Nobody has this label here.",
    );
  if (head.problem) return fill(parts.standing, badge("bad", "Not read"), ` ${plain(head.problem)}`);
  const { signedby, newowner } = head.record;
  if (key === signedby)
    return fill(
      parts.standing,
      "You own ",
      labelLink(domain, label),
      newowner === undefined ? "." : [", and offer it to ", keyChip(newowner), "."],
    );
  if (key !== undefined && key === newowner)
    return fill(parts.standing, labelLink(domain, label), " is offered to you by ", keyChip(signedby), ".");
  return fill(parts.standing, labelLink(domain, label), " is owned by ", keyChip(signedby), ".");
}

/** What the form says now. Throws NotCanonical where the JSON in it is none. */
function written({ parts, head, mode }) {
  const { form, asJson, json, rows } = parts;
  const content = mode !== "claim" ? null : asJson.checked ? read(json.value) : rows.content();
  return { ...names(parts), mode, head, content, newowner: form.elements.newowner.value };
}

function preview(desk) {
  const { parts } = desk;
  noteHead(desk);
  try {
    const text = canonical(draft(written(desk), mine()));
    fill(
      parts.preview,
      h(
        "pre",
        { class: "bytes", tabindex: "0", "aria-label": "The bytes that will be signed" },
        h("bdi", {}, clip(text, 4_000)),
      ),
      h("p", { class: "hint" }, `${bytesOf(text).length} bytes; the timestamp is taken anew when you send.`),
    );
    parts.send.disabled = false;
  } catch (error) {
    if (!(error instanceof NotCanonical)) throw error;
    fill(parts.preview, h("p", { class: "nothing" }, coded(plain(error.message))));
    parts.send.disabled = true;
  }
}

async function send(desk) {
  const { parts } = desk;
  if (parts.send.disabled) return;
  parts.send.disabled = true;
  try {
    await headRead(desk);
    const record = draft(written(desk), mine());
    const body = canonical(record);
    const signature = await sign(bytesOf(body));
    const outcome = await putClaim(signature, body);
    fill(parts.result, accepted(record, outcome));
    desk.isTouched = false;
    announce(`${outcome.status}: ${outcome.verdict ?? ""}`);
  } catch (error) {
    fill(parts.result, problemBox(error));
  }
  parts.result.scrollIntoView({ block: "nearest" });
  desk.headOf = null;
  await headRead(desk);
}

function accepted({ domain, label }, outcome) {
  return h(
    "div",
    { class: "card done", role: "status" },
    h(
      "p",
      {},
      outcome.verdict ? verdictBadge(outcome.verdict) : badge("good", outcome.status),
      " ",
      labelLink(domain, label),
      ": ",
      outcome.verdict ? coded(`${REASONS[outcome.verdict]}.`) : "the node had this record already.",
    ),
    h("p", {}, "Record ", hexValue(outcome.id, "the record's id")),
  );
}
