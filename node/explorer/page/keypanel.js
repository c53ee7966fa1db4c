// Your key: make one and save it, or load one; keep it in this browser, or have the page forget it.

import { announce, fill, h } from "./dom.js";
import { confirmSaved, discard, forget, generate, keep, load, mine } from "./keys.js";
import { card, coded, copyButton, glyph, hexValue } from "./parts.js";
import { plain } from "./visible.js";

const FILE_BYTES_MAX = 4_096;

/** The panel. `onChange` is called when a key is loaded, saved or forgotten. */
export function keyPanel(onChange) {
  const body = h("div", { class: "key-panel" });
  const changed = (words) => {
    draw(body, changed);
    if (words) announce(words);
    onChange();
  };
  draw(body, changed);
  return card("Your key", body);
}

function draw(body, changed) {
  const key = mine();
  const fault = h("p", { class: "problem", role: "alert", hidden: true });
  const attempt = (work, words) => async () => {
    try {
      await work();
      changed(words);
    } catch (error) {
      fault.hidden = false;
      fault.textContent = plain(error.message);
    }
  };
  const panel = key === null ? withoutKey : key.isSaved ? withSavedKey : withNewKey;
  fill(body, panel(attempt, key), fault);
}

const button = (words, onclick, extra = {}) => h("button", { type: "button", onclick, ...extra }, words);

function withoutKey(attempt) {
  return [
    h("p", {}, "You sign with a key that is made or loaded here and never leaves this browser."),
    h(
      "div",
      { class: "actions" },
      button("Make a new key", attempt(generate, "a new key is made; save it"), { class: "primary" }),
      fileButton(attempt),
    ),
  ];
}

function fileButton(attempt) {
  const field = h("input", {
    type: "file",
    class: "visually-hidden",
    id: "key-file",
    accept: ".key,.json,application/json",
  });
  field.addEventListener("change", () =>
    attempt(async () => {
      const [file] = field.files;
      if (file.size > FILE_BYTES_MAX) throw new Error("this is no key file of dnarc: it is too large");
      await load(await file.text());
    }, "the key is loaded")(),
  );
  return h("span", { class: "file" }, field, h("label", { class: "button", for: "key-file" }, "Load a key file"));
}

const publicKey = (key) => h("p", { class: "own" }, glyph(key.public), hexValue(key.public, "your public key"));

/** A key that exists only in this page: the person has to save it before the page signs anything. */
function withNewKey(attempt, key) {
  const confirm = button("I have saved it", attempt(confirmSaved, "the key is ready"), { disabled: true });
  const shown = h("div", { class: "secret", hidden: true });
  const show = button("Show the key", () => {
    confirm.disabled = false;
    shown.hidden = !shown.hidden;
    show.textContent = shown.hidden ? "Show the key" : "Hide the key";
    fill(shown, shown.hidden ? null : secretText(key));
  });
  const download = () => {
    save(key);
    confirm.disabled = false;
  };
  return [
    publicKey(key),
    h(
      "div",
      { class: "notice", role: "note" },
      h("p", {}, h("strong", {}, "Save this key before you sign.")),
      h(
        "p",
        {},
        "Only this key can change the labels that it will own. If it is lost, nobody can bring it back, and those " +
          "labels stay as they are for ever. This page forgets the key when you close or reload it.",
      ),
      h(
        "div",
        { class: "actions" },
        button("Save the key file", download, { class: "primary" }),
        show,
        confirm,
        button("Forget it", attempt(forget, "the key is forgotten"), { class: "quiet" }),
      ),
      shown,
    ),
  ];
}

function secretText(key) {
  return [
    h("p", { class: "hint" }, "Whoever reads this text can sign as you. Store it as a file, such as dnarc.key."),
    h("pre", { class: "bytes", tabindex: "0", "aria-label": "The text of the key file" }, key.file),
    copyButton(key.file, "the text of the key file"),
  ];
}

function withSavedKey(attempt, key) {
  const drop = attempt(async () => {
    await discard();
    forget();
  }, "the key is forgotten");
  const asking = h(
    "p",
    { class: "notice", hidden: true },
    "This browser's copy will be gone. You need your key file to sign with this key again. ",
    button("Yes, forget it", drop),
  );
  // A key whose file this page does not know may have no other copy, so the page asks first.
  const onForget = key.file === null ? () => (asking.hidden = false) : drop;
  return [
    publicKey(key),
    h(
      "div",
      { class: "actions" },
      key.file !== null && button("Save the key file", () => save(key)),
      key.file !== null && button("Keep in this browser", attempt(keep, "the key is kept in this browser")),
      button("Forget it", onForget, { class: "quiet" }),
    ),
    asking,
    h(
      "p",
      { class: "hint" },
      coded(
        key.file === null
          ? "Kept in this browser, which can sign with the key and cannot show it. Keep your key file too: a browser " +
              "may delete what it stores."
          : "If this key is lost, its labels can never be changed again. `dnarc claim --key` reads the same file.",
      ),
    ),
  ];
}

/** Give the key to the person as a file in the form that `dnarc keygen` writes. */
function save(key) {
  const url = URL.createObjectURL(new Blob([key.file], { type: "application/json" }));
  h("a", { href: url, download: `dnarc-${key.public.slice(0, 12)}.key` }).click();
  URL.revokeObjectURL(url);
}
