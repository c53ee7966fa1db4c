// Live: what this node accepts, as it happens, and what it takes back. Filters narrow it, pausing keeps the page still
// while events gather, and a broken connection is taken up where it broke.

import { announce, fill, h, settled } from "./dom.js";
import { count, many, short, summary } from "./format.js";
import { follow } from "./feed.js";
import { badge, domainLink, heading, keyChip, labelLink, nothing, plain } from "./parts.js";
import { contentOf, isDomain, isLabel } from "./record.js";
import { hrefTo, remember } from "./router.js";

const KEPT = 500;
const SHOWN = 200;
const ANNOUNCE_MS = 5_000;
const STATES = {
  connecting: ["warn", "Connecting"],
  open: ["good", "Listening"],
  lost: ["bad", "Connection lost, trying again"],
};

export const title = () => "Live";

export function show(main, { query }, signal) {
  const model = {
    events: [],
    waiting: [],
    dropped: 0,
    isPaused: false,
    total: 0,
    unsaid: 0,
    signal,
    feed: null,
    following: null,
  };
  const view = frame(main, model, query);
  const refollow = () => followChosen(model, view);
  view.form.addEventListener(
    "input",
    settled(250, () => {
      draw(model, view);
      refollow();
    }),
  );
  view.form.addEventListener("submit", (event) => event.preventDefault());
  view.pause.addEventListener("click", () => togglePause(model, view));
  const speaking = setInterval(() => speak(model), ANNOUNCE_MS);
  signal.addEventListener("abort", () => {
    clearInterval(speaking);
    model.following?.abort();
  });
  refollow();
  draw(model, view);
}

function frame(main, model, query) {
  const field = (name, words, extra = {}) =>
    h(
      "label",
      {},
      h("span", {}, words),
      h("input", {
        name,
        value: query.get(name) ?? "",
        autocomplete: "off",
        autocapitalize: "off",
        spellcheck: "false",
        ...extra,
      }),
    );
  const form = h(
    "form",
    { class: "filters", "aria-label": "Filters" },
    field("domain", "Domain", { placeholder: "any" }),
    field("label", "Label", { placeholder: "any" }),
    field("by", "Signed by", { placeholder: "beginning of a key" }),
    h(
      "label",
      {},
      h("span", {}, "Events"),
      h(
        "select",
        { name: "type" },
        h("option", { value: "" }, "all"),
        h("option", { value: "reverted", selected: query.get("type") === "reverted" }, "reverted only"),
      ),
    ),
  );
  const view = {
    form,
    state: h("span", { role: "status" }),
    counted: h("span", { class: "counted" }),
    pause: h("button", { type: "button", class: "pause", "aria-pressed": "false" }, "Pause"),
    waiting: h("p", { class: "waiting", role: "status" }),
    notes: h("div", {}),
    list: h("ol", { class: "events", "aria-label": "Events, newest first" }),
    empty: h("div", {}),
  };
  fill(
    main,
    heading("Live"),
    h("div", { class: "live-bar" }, view.state, view.counted, view.pause),
    form,
    view.notes,
    view.waiting,
    view.empty,
    view.list,
  );
  return view;
}

const chosen = (form) => Object.fromEntries(new FormData(form));

/** Open the stream anew with the filters that the node itself can apply, right behind the last event. */
function followChosen(model, view) {
  const { domain, label, by, type } = chosen(view.form);
  remember(hrefTo("live", [], { domain, label, by, type }));
  const since = model.feed?.cursor() ?? null;
  model.following?.abort();
  model.following = new AbortController();
  const wanted = {
    domains: domain !== "" && isDomain(domain) ? [domain] : [],
    labels: label !== "" && isLabel(label) ? [label] : [],
    since,
  };
  model.feed = follow(
    wanted,
    {
      event: (event) => receive(model, view, event),
      state: (state) => fill(view.state, badge(...STATES[state])),
      restart: () =>
        fill(
          view.notes,
          h(
            "p",
            { class: "notice", role: "alert" },
            "The node's store is another one than before: what happened in between cannot be told. This begins anew.",
          ),
        ),
    },
    model.following.signal,
  );
}

function receive(model, view, event) {
  model.total += 1;
  model.unsaid += 1;
  const seen = { ...event, at: new Date() };
  if (model.isPaused) {
    model.waiting.push(seen);
    if (model.waiting.length > KEPT) {
      model.waiting.shift();
      model.dropped += 1;
    }
  } else {
    keep(model, [seen]);
  }
  schedule(model, view);
}

function keep(model, events) {
  model.events.push(...events);
  model.events.splice(0, Math.max(0, model.events.length - KEPT));
}

/** Draw once a frame, however many events came; a page that is hidden gets no frames, and draws when it is seen. */
function schedule(model, view) {
  if (model.isScheduled) return;
  model.isScheduled = true;
  requestAnimationFrame(() => {
    model.isScheduled = false;
    draw(model, view);
  });
}

function draw(model, view) {
  const filters = chosen(view.form);
  view.counted.textContent = many(model.total, "event");
  const missed = model.dropped ? `, of which the oldest ${count(model.dropped)} are no longer kept` : "";
  view.waiting.textContent = model.isPaused
    ? `Paused: ${many(model.waiting.length + model.dropped, "event")} waiting${missed}.`
    : "";
  const shown = model.events
    .filter((event) => isWanted(event, filters))
    .slice(-SHOWN)
    .reverse();
  arrange(view.list, shown);
  fill(
    view.empty,
    shown.length === 0 &&
      nothing(
        model.events.length
          ? "Nothing of what came fits these filters."
          : "Nothing yet. What this node accepts from now on appears here.",
      ),
  );
}

/** Have the list show these events. A row that stays is not touched, so it neither flickers nor loses the focus. */
function arrange(list, events) {
  const wanted = new Set(events.map((event) => event.cursor));
  for (const each of [...list.children]) if (!wanted.has(each.dataset.cursor)) each.remove();
  let next = list.firstElementChild;
  for (const event of events) {
    if (next?.dataset.cursor === event.cursor) next = next.nextElementSibling;
    else list.insertBefore(row(event), next);
  }
}

function isWanted(event, { domain, label, by, type }) {
  if (type !== "" && event.type !== type) return false;
  return (
    (domain === "" || event.domain === domain) &&
    (label === "" || event.label === label) &&
    event.record.signedby.startsWith(by.trim().toLowerCase())
  );
}

function row(event) {
  const isReverted = event.type === "reverted";
  return h(
    "li",
    { class: `event ${event.type}`, dataset: { seq: event.seq, cursor: event.cursor } },
    h(
      "p",
      { class: "event-line" },
      h("time", { datetime: event.at.toISOString() }, event.at.toTimeString().slice(0, 8)),
      badge(isReverted ? "bad" : "good", isReverted ? "Reverted" : "Accepted"),
      labelLink(event.domain, event.label),
      h("span", { class: "in" }, "in "),
      domainLink(event.domain),
      h("span", { class: "in" }, "by "),
      keyChip(event.record.signedby),
    ),
    isReverted &&
      h("p", { class: "reason" }, `Its head was taken back (${short(event.previous)}): ${plain(event.reason ?? "")}.`),
    h("p", { class: "summary" }, h("bdi", {}, plain(summary(contentOf(event.record), 200)))),
  );
}

function togglePause(model, view) {
  model.isPaused = !model.isPaused;
  view.pause.setAttribute("aria-pressed", String(model.isPaused));
  view.pause.textContent = model.isPaused ? "Resume" : "Pause";
  if (!model.isPaused) {
    keep(model, model.waiting.splice(0));
    model.dropped = 0;
  }
  draw(model, view);
}

/** Now and then, how many came: to hear each of them would be too much. */
function speak(model) {
  if (model.unsaid > 0 && !model.isPaused) announce(many(model.unsaid, "new event"));
  model.unsaid = 0;
}
