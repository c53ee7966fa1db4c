// The page: it shows a view for each place and lets the person choose the theme. Each view is a module with
// `title(place)` and `show(main, place, signal)`. The signal aborts when another place is opened, and ends whatever the
// view began.

import { Problem } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { hasUnsavedKey, resume } from "./keys.js";
import { heading, problemBox } from "./parts.js";
import { pause, persist } from "./polling.js";
import { placeOf } from "./router.js";
import * as browse from "./browse.js";
import * as key from "./key.js";
import * as label from "./label.js";
import * as live from "./live.js";
import * as network from "./network.js";
import * as overview from "./overview.js";
import { plain } from "./visible.js";
import * as write from "./write.js";

const VIEWS = { overview, browse, key, label, live, network, write };
const PART_OF = { key: "browse", label: "browse" };
const THEMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
const PATIENCE_MS = 250;

const content = document.getElementById("content");
let leaving = new AbortController();

/** Open the place that the URL names. The view before stays until the new one is complete, or for 250 ms. */
async function open(isFirst) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const place = placeOf(location.hash);
  const view = Object.hasOwn(VIEWS, place.view) ? VIEWS[place.view] : missing;
  const main = h("div", { class: `view view-${view === missing ? "missing" : place.view}` });
  document.title = `${plain(view.title(place))} · dnarc`;
  markPart(place.view);
  const showing = showView(view, main, place, signal);
  await Promise.race([showing, pause(PATIENCE_MS, signal)]);
  if (signal.aborted) return;
  fill(content, main);
  content.dataset.view = place.view;
  if (!isFirst) arrive(main);
}

async function showView(view, main, place, signal) {
  try {
    const showFailure = (box) => fill(main, heading(plain(view.title(place))), box);
    await persist(signal, showFailure, () => view.show(main, place, signal));
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) console.error(error);
    main.append(problemBox(error));
  }
}

function arrive(main) {
  scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
  announce(document.title);
}

const missing = {
  title: () => "Nothing here",
  show: (main) =>
    fill(
      main,
      h("h1", { tabindex: "-1" }, "Nothing here"),
      h("p", {}, "The explorer has no such view. ", h("a", { href: "#/" }, "Go to the overview"), "."),
    ),
};

function markPart(name) {
  for (const link of document.querySelectorAll("#parts a")) {
    const isCurrent = placeOf(link.hash).view === (PART_OF[name] ?? name);
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showTheme(chosen) {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  const button = document.getElementById("theme");
  button.dataset.theme = chosen;
  button.setAttribute("aria-label", `${THEMES[chosen]}. Change it`);
  button.title = THEMES[chosen];
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = names[(names.indexOf(now) + 1) % names.length];
  try {
    localStorage.setItem("dnarc-theme", next);
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
  showTheme(next);
  announce(THEMES[next]);
}

document.getElementById("theme").addEventListener("click", nextTheme);
showTheme(document.documentElement.dataset.theme ?? "auto");
addEventListener("beforeunload", (event) => {
  if (hasUnsavedKey()) event.preventDefault();
});
await resume();
addEventListener("hashchange", () => open(false)); // not before `resume`, or a view would be opened twice
await open(true);
