// Write a claim: a key, a form or JSON, the exact bytes before they are signed, and the node's answer. The record names
// the head that it follows, so that nothing is lost if the label changes meanwhile: the node then refuses the record.

import { putClaim } from "./api.js";
import { NotCanonical, canonical, read } from "./canonical.js";
import { announce, fill, h, settled } from "./dom.js";
import { draft, fetchHead } from "./drafting.js";
import { clip } from "./format.js";
import { fieldRows } from "./fields.js";
import { mine, sign } from "./keys.js";
import { keyPanel } from "./keypanel.js";
import { badge, card, coded, hexValue, heading, keyChip, labelLink, problemBox, verdictBadge } from "./parts.js";
import { bytesOf, contentOf, isDomain, isLabel, whyNoCrypto } from "./record.js";
import { pause } from "./polling.js";
import { hrefTo, remember } from "./router.js";
import { plain, seen } from "./visible.js";
import { isWitnessed } from "./walk.js";
import { REASONS, WITNESSED_REASONS, isPassing } from "./words.js";

const MODES = {
  claim: ["Claim", "Found a label, or update one that you own."],
  transfer: ["Offer", "Offer a label to another key. It stays yours until that key accepts."],
  accept: ["Accept", "Accept a label that is offered to your key. The claim stays as it is."],
};
const TYPING_MS = 300;
const RETRY_MS = 3_000;
const WAIT_S = 10; // for the witnesses; a request ends after 20 s

export const title = () => "Write a claim";

export async function show(main, { query }, signal) {
  fill(main, heading(title()));
  const missing = await whyNoCrypto();
  if (missing !== null) {
    main.append(h("p", { class: "notice" }, `This page cannot sign here: ${missing}.`));
    return undefined;
  }
  const desk = {
    signal,
    head: null, // of the label that `read` names; null: the label is free
    asked: null, // the label whose head was asked for last, as JSON
    read: null, // the label whose head is known, as JSON
    reading: null, // a promise: the head that was asked for last is known
    mode: MODES[query.get("mode")] ? query.get("mode") : "claim",
    form: null,
  };
  const parts = frame(desk, query);
  desk.parts = parts;
  const keys = keyPanel(() => preview(desk));
  main.append(
    keys,
    card("The claim", parts.modes, parts.meaning, parts.form),
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
  const lookUp = settled(TYPING_MS, () => headRead(desk));
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
    Object.entries(MODES).map(([mode, [name]]) =>
      h("button", { type: "button", dataset: { mode }, onclick: () => chooseMode(desk, mode) }, name),
    ),
  );
  return {
    form,
    modes,
    meaning: h("p", { class: "hint meaning", role: "status" }),
    rows,
    json,
    asJson,
    content,
    standing,
    send,
    preview: h("div", { class: "preview" }),
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
  fill(desk.parts.meaning, MODES[mode][1]);
  preview(desk);
}

const names = ({ form }) => ({ domain: form.elements.domain.value.trim(), label: form.elements.label.value });
const namesAsJson = ({ domain, label }) => JSON.stringify([domain, label]);

/** Read the head of the label that the form names, once for each label. Gives a promise that ends when it is known. */
function headRead(desk) {
  const { domain, label } = names(desk.parts);
  const asked = namesAsJson({ domain, label });
  if (desk.asked !== asked) {
    desk.asked = asked;
    desk.reading = readHead(desk, asked, domain, label);
  }
  return desk.reading;
}

async function readHead(desk, asked, domain, label) {
  remember(hrefTo("write", [], { mode: desk.mode, domain, label }));
  const isCurrent = () => desk.asked === asked && !desk.signal.aborted;
  let head = null;
  try {
    if (isDomain(domain) && isLabel(label)) head = await fetchHead(domain, label, desk.signal);
  } catch (error) {
    if (!isCurrent()) return;
    head = { problem: `The head is not known: ${error.message}.` };
    if (isPassing(error)) readAgain(desk, asked);
  }
  if (!isCurrent()) return;
  const isNew = head?.id !== desk.head?.id;
  desk.head = head;
  desk.read = asked;
  if (isNew && head?.record && !desk.isTouched) desk.parts.rows.set(contentOf(head.record));
  preview(desk);
}

async function readAgain(desk, asked) {
  await pause(RETRY_MS, desk.signal);
  if (desk.signal.aborted || desk.asked !== asked) return;
  desk.asked = null;
  headRead(desk);
}

function noteHead(desk) {
  const { parts, head } = desk;
  const { domain, label } = names(parts);
  const say = (...words) => fill(parts.standing, words);
  if (domain === "" || label === "") return say();
  if (!isDomain(domain)) return say("A domain has parts of a-z, 0-9 and -, with dots between.");
  if (!isLabel(label)) return say("A label has 1 to 255 bytes and no control characters.");
  if (!isRead(desk)) return say("Reading the label…");
  if (head === null) return say("Nobody has this label here", desk.mode === "claim" ? ": you will found it." : ".");
  if (head.problem) return say(badge("bad", "Not read"), ` ${plain(head.problem)}`);
  return say(ownerWords(head.record));
}

const isRead = (desk) => desk.read === namesAsJson(names(desk.parts));

function ownerWords({ domain, label, signedby, newowner }) {
  const key = mine()?.public;
  const link = labelLink(domain, label);
  if (key === signedby) return ["You own ", link, newowner && [", and offer it to ", keyChip(newowner)], "."];
  if (key !== undefined && key === newowner) return [link, " is offered to you by ", keyChip(signedby), "."];
  return [link, " is owned by ", keyChip(signedby), "."];
}

/** What the form says now. Throws NotCanonical if the text in it is no JSON, or if the head is not known yet. */
function written(desk) {
  const { parts, head, mode } = desk;
  const { domain, label } = names(parts);
  if (isDomain(domain) && isLabel(label) && !isRead(desk)) throw new NotCanonical("Reading the label…");
  const { form, asJson, json, rows } = parts;
  const content = mode !== "claim" ? null : asJson.checked ? read(json.value) : rows.content();
  return { domain, label, mode, head, content, newowner: form.elements.newowner.value };
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
        seen(clip(text, 4_000)),
      ),
      h("p", { class: "hint" }, `${bytesOf(text).length} bytes. The timestamp is set when you send.`),
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
    const record = draft(written(desk), mine());
    const body = canonical(record);
    const signature = await sign(bytesOf(body));
    if (isWitnessed(record.domain)) fill(parts.result, waiting());
    const outcome = await putClaim(signature, body, isWitnessed(record.domain) ? WAIT_S : 0);
    fill(parts.result, accepted(record, outcome));
    desk.isTouched = false;
    announce(`${outcome.status}: ${outcome.verdict ?? ""}`);
  } catch (error) {
    if (error instanceof NotCanonical) return preview(desk);
    fill(parts.result, problemBox(error));
  }
  parts.result.scrollIntoView({ block: "nearest" });
  desk.asked = null;
  await headRead(desk);
}

function accepted({ domain, label }, outcome) {
  const reasons = isWitnessed(domain) ? WITNESSED_REASONS : REASONS;
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
      outcome.verdict ? coded(`${reasons[outcome.verdict]}.`) : "the node had this record already.",
    ),
    certaintyWords(outcome.certainty),
    h("p", {}, "Record ", hexValue(outcome.id, "the record's id")),
  );
}

const waiting = () => h("p", { class: "card", role: "status" }, "Sent. Waiting for the witnesses…");

/** Whether the witnesses have decided; nothing in an ordinary domain. */
function certaintyWords(certainty) {
  if (certainty === undefined || certainty === null) return null;
  return certainty === "final"
    ? h("p", {}, badge("good", "Final"), " The witnesses decided it, and nobody can take it back.")
    : h("p", {}, badge("warn", "Not final yet"), " The witnesses have not decided: the page of the label shows when.");
}
