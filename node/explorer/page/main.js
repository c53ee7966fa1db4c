// The page: which view is shown, the theme, and whether the node can be reached. Each view is a module with
// `title(place)` and `show(main, place, signal)`; the signal ends whatever the view began when another is opened.

import { announce, fill, h } from "./dom.js";
import { resume } from "./keys.js";
import { plain, problemBox } from "./parts.js";
import { placeOf } from "./router.js";
import * as browse from "./browse.js";
import * as label from "./label.js";
import * as live from "./live.js";
import * as network from "./network.js";
import * as overview from "./overview.js";
import * as write from "./write.js";

const VIEWS = { overview, browse, label, live, network, write };
const THEMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

const content = document.getElementById("content");
let leaving = new AbortController();

async function open(isFirst) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const place = placeOf(location.hash);
  const view = VIEWS[place.view] ?? missing;
  const main = h("div", { class: `view view-${VIEWS[place.view] ? place.view : "missing"}` });
  document.title = `${plain(view.title(place))} · dnarc`;
  markPart(place.view);
  try {
    await view.show(main, place, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (error.code === undefined) console.error(error);
    main.append(problemBox(error));
  }
  if (signal.aborted) return;
  fill(content, main);
  content.dataset.view = place.view;
  if (!isFirst) arrive(main);
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
      h("p", {}, "The explorer has no such part. ", h("a", { href: "#/" }, "Go to the overview"), "."),
    ),
};

function markPart(name) {
  const part = name === "label" ? "browse" : name;
  for (const link of document.querySelectorAll("#parts a")) {
    const isCurrent = placeOf(link.hash).view === part;
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
await resume();
addEventListener("hashchange", () => open(false)); // not earlier: a view would be opened, and opened again at once
await open(true);
