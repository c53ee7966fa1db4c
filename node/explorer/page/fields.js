// The content of a claim as rows of a name and a value. A value that is JSON (a number, true, a list) is read as JSON,
// any other value as text, as on the command line.

import { read } from "./canonical.js";
import { fill, h } from "./dom.js";

/** `{element, content(), set(content)}`; `onChange` is called when a row is removed. */
export function fieldRows(onChange) {
  const list = h("div", { class: "rows" });
  const add = (name = "", value = "") => list.append(row(name, value, onChange));
  const element = h(
    "div",
    {},
    list,
    h(
      "button",
      {
        type: "button",
        class: "quiet add",
        onclick: () => {
          add();
          list.lastElementChild.querySelector("input").focus();
        },
      },
      "Add a field",
    ),
  );
  add();
  return { element, content: () => contentOf(list), set: (content) => setRows(list, content, add) };
}

function row(name, value, onChange) {
  const remove = () => {
    element.remove();
    onChange();
  };
  const element = h(
    "div",
    { class: "row" },
    h("input", {
      class: "row-name",
      value: name,
      "aria-label": "Name of a field",
      placeholder: "name",
      autocomplete: "off",
      spellcheck: "false",
    }),
    h("input", {
      class: "row-value",
      value,
      "aria-label": "Value of the field",
      placeholder: "value",
      autocomplete: "off",
      spellcheck: "false",
    }),
    h("button", { type: "button", class: "quiet", "aria-label": "Remove this field", onclick: remove }, "×"),
  );
  return element;
}

function contentOf(list) {
  const content = Object.create(null);
  for (const each of list.children) {
    const [name, value] = [...each.querySelectorAll("input")].map((input) => input.value);
    if (name !== "") content[name] = valueOf(value);
  }
  return content;
}

/** The value of a JSON text, or the text itself if it is no JSON. */
export function valueOf(text) {
  try {
    return read(text);
  } catch {
    return text;
  }
}

/** The text that `valueOf` reads as this value. */
export function textOf(value) {
  return typeof value === "string" && valueOf(value) === value ? value : JSON.stringify(value);
}

function setRows(list, content, add) {
  fill(list);
  for (const [name, value] of Object.entries(content)) add(name, textOf(value));
  if (list.children.length === 0) add();
}
