// Live: what this node accepts, as it happens, and what it takes back; below that, the newest records that were stored
// before. Filters narrow both. A pause keeps the page still while events gather. After a broken connection the page
// goes on where it was.

import { announce, fill, h, settled } from "./dom.js";
import { arrange, storedRow } from "./eventrows.js";
import { count, many } from "./format.js";
import { follow } from "./feed.js";
import { newestRecords } from "./newest.js";
import { badge, coded, heading, nothing } from "./parts.js";
import { isDomain, isLabel } from "./record.js";
import { hrefTo, remember } from "./router.js";
import { plain } from "./visible.js";
import { codeOf, isPassing, remedyOf } from "./words.js";

const KEPT = 500;
const STORED_SHOWN = 30;
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
    stored: [],
    storedOf: null, // the domain that `stored` was read for; null: not read
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
        h("option", { value: "final", selected: query.get("type") === "final" }, "final only"),
      ),
    ),
  );
  const view = {
    form,
    state: h("span", { role: "status" }),
    counted: h("span", { class: "counted" }),
    pause: h("button", { type: "button", class: "pause", "aria-pressed": "false" }, "Pause"),
    waiting: h("p", { class: "waiting", role: "status" }),
    trouble: h("div", {}),
    notes: h("div", {}),
    list: h("ol", { class: "events", "aria-label": "Events, newest first" }),
    empty: h("div", {}),
    stored: h("div", { class: "stored-part" }),
  };
  fill(
    main,
    heading("Live"),
    h("div", { class: "live-bar" }, view.state, view.counted, view.pause),
    form,
    view.trouble,
    view.notes,
    view.waiting,
    view.empty,
    view.list,
    view.stored,
  );
  return view;
}

const chosen = (form) => Object.fromEntries(new FormData(form));

/** Open the stream again behind the last event, with the filters that the node itself can apply. */
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
      state: (state, error) => {
        fill(view.state, badge(...STATES[state]));
        fill(view.trouble, error && h("p", { class: "notice" }, troubleWords(error)));
        if (state === "open") readStored(model, view);
      },
      restart: () =>
        fill(
          view.notes,
          h(
            "p",
            { class: "notice", role: "alert" },
            "The node's store was replaced: nobody can say what happened in between. The list goes on from now.",
          ),
        ),
    },
    model.following.signal,
  );
}

const troubleWords = (error) => [plain(error.message), ". ", coded(remedyOf(codeOf(error)))];

/** Read the newest stored records, once for each domain that is chosen. An event that arrives while they are read is
 * left out of them. */
async function readStored(model, view) {
  const { domain } = chosen(view.form);
  const wanted = isDomain(domain) ? domain : "";
  if (model.storedOf === wanted) return;
  model.storedOf = wanted;
  try {
    const records = await newestRecords(wanted, STORED_SHOWN, model.signal);
    if (model.storedOf !== wanted) return;
    model.stored = records;
  } catch (error) {
    if (model.signal.aborted || model.storedOf !== wanted) return;
    if (!isPassing(error)) console.error(error);
    model.storedOf = null; // read again when the connection is open again
  }
  draw(model, view);
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

/** Draw once a frame, however many events came. A hidden page gets no frames, and draws when it is shown. */
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
          ? "No event so far fits these filters."
          : "No event yet. What this node accepts from now on appears here.",
      ),
  );
  drawStored(model, view, filters);
}

function drawStored(model, view, filters) {
  const told = new Set(model.events.map((event) => event.signature));
  const shown = model.stored
    .map((each) => ({ ...each, domain: each.record.domain, label: each.record.label, type: "" }))
    .filter((each) => !told.has(each.signature) && isWanted(each, filters));
  const names = shown.map((each) => each.signature).join();
  if (view.stored.dataset.names === names) return; // rows that stay keep the focus
  view.stored.dataset.names = names;
  fill(
    view.stored,
    shown.length > 0 && [
      h("h2", {}, "Stored before"),
      h("p", { class: "hint" }, "The newest records that this node holds. A label's page says whether one counts."),
      h("ol", { class: "stored", "aria-label": "Stored records, newest first" }, shown.map(storedRow)),
    ],
  );
}

function isWanted(event, { domain, label, by, type }) {
  if (type !== "" && event.type !== type) return false;
  return (
    (domain === "" || event.domain === domain) &&
    (label === "" || event.label === label) &&
    event.record.signedby.startsWith(by.trim().toLowerCase())
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

/** Say now and then how many events came, because each of them would be too much to hear. */
function speak(model) {
  if (model.unsaid > 0 && !model.isPaused) announce(many(model.unsaid, "new event"));
  model.unsaid = 0;
}
