// A field to search with: it answers while one types, and at once on Enter.

import { h, settled } from "./dom.js";

const TYPING_MS = 120;

/** A form with one field of this name. `onText` is called with what stands in it. */
export function searchField(name, value, onText) {
  const field = h("input", {
    type: "search",
    id: "search",
    value,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    oninput: settled(TYPING_MS, () => onText(field.value)),
  });
  const submit = (event) => {
    event.preventDefault();
    onText(field.value);
  };
  return h(
    "form",
    { class: "search", role: "search", "aria-label": "Search", onsubmit: submit },
    h("label", { for: "search" }, name),
    field,
  );
}

/** Do only the newest of many searches: `search(work)` aborts the search before, and gives `work` its own signal. */
export function onlyNewest(signal) {
  let end = () => {};
  return (work) => {
    end();
    const own = new AbortController();
    const abort = () => own.abort();
    signal.addEventListener("abort", abort);
    end = () => {
      signal.removeEventListener("abort", abort);
      abort();
    };
    return work(own.signal);
  };
}
