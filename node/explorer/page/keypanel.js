// Your key: make one, load one, save it, keep it in this browser, or have the page forget it.

import { announce, fill, h } from "./dom.js";
import { discard, forget, generate, keep, load, mine } from "./keys.js";
import { card, coded, glyph, hexValue, plain } from "./parts.js";

const FILE_BYTES_MAX = 4_096;

/** The panel; `onChange` is called when another key is loaded, or none. */
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
      fault.textContent = plain(
        error.name === "NotSupportedError" ? "This browser has no Ed25519: use a newer one." : error.message,
      );
    }
  };
  fill(body, key === null ? without(attempt) : withKey(key, attempt), fault);
}

function without(attempt) {
  return [
    h("p", {}, "You sign with a key that is made or loaded here and never leaves this browser."),
    h(
      "div",
      { class: "actions" },
      h(
        "button",
        { type: "button", class: "primary", onclick: attempt(generate, "a new key is loaded") },
        "Make a new key",
      ),
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

function withKey(key, attempt) {
  return [
    h("p", { class: "own" }, glyph(key.public), hexValue(key.public, "your public key")),
    h(
      "div",
      { class: "actions" },
      key.file !== null && h("button", { type: "button", onclick: () => save(key) }, "Save the key file"),
      h(
        "button",
        { type: "button", onclick: attempt(keep, "the key is kept in this browser") },
        "Keep in this browser",
      ),
      h(
        "button",
        {
          type: "button",
          class: "quiet",
          onclick: attempt(async () => {
            await discard();
            forget();
          }, "the key is forgotten"),
        },
        "Forget it",
      ),
    ),
    h(
      "p",
      { class: "hint" },
      coded(
        key.file === null
          ? "Kept in this browser, where it can sign and cannot be read."
          : "Whoever loses the key loses its labels for good: save the file. `dnarc claim --key` reads it too.",
      ),
    ),
  ];
}

/** Hand the key to the person as a file of the same form that `dnarc keygen` writes. */
function save(key) {
  const url = URL.createObjectURL(new Blob([key.file], { type: "application/json" }));
  h("a", { href: url, download: `dnarc-${key.public.slice(0, 12)}.key` }).click();
  URL.revokeObjectURL(url);
}
