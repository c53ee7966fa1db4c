// The node's events as they happen, without a gap or a repeat, however often the connection breaks. Each event carries
// a cursor, and a follower that comes back with its last cursor goes on behind that event. Events come by WebSocket,
// because a browser allows many of those at once. A plain request beside it tells what a WebSocket cannot tell: the
// cursor to begin at, and why the node refuses.

import { Problem, exchange, foreign, urlOf } from "./api.js";
import { pause } from "./polling.js";

const WAITS_MS = [300, 1_000, 2_000, 4_000, 8_000];
const SILENCE_MS = 45_000;
const CURSOR_HEADER = "Dnarc-Cursor";
const REFUSALS = { 429: "rate_limited", 503: "overloaded" };

/** Follow the events of these domains and labels (empty: all) until the signal aborts. `since` is a cursor, null means
 * from now. `on` has `event(event)`; `state(name, error)` with `connecting`, `open` or `lost`; and `restart()`, called
 * if the node's store was replaced, so that nobody can say what was missed. Gives `{cursor()}`. */
export function follow({ domains = [], labels = [], since = null }, on, signal) {
  const names = [...domains.map((name) => ["domain", name]), ...labels.map((name) => ["label", name])];
  const place = { cursor: since, seq: 0, failures: 0 };
  run(names, place, on, signal);
  return { cursor: () => place.cursor };
}

async function run(names, place, on, signal) {
  on.state("connecting");
  while (!signal.aborted) {
    let error = null;
    try {
      await begin(place, on, signal);
      await listen(names, place, on, signal);
    } catch (failure) {
      error = failure;
    }
    if (signal.aborted) return;
    place.failures += 1;
    on.state("lost", error);
    await pause(WAITS_MS[Math.min(place.failures, WAITS_MS.length) - 1] * (0.75 + Math.random() / 2), signal);
  }
}

/** Learn the cursor to begin at. With a cursor, learn after a failure whether the node still knows it. */
async function begin(place, on, signal) {
  if (place.cursor !== null && place.failures === 0) return;
  const answer = await askEvents(place.cursor, signal);
  if (answer.status === 410 || answer.status === 400) {
    Object.assign(place, { cursor: null, seq: 0 });
    on.restart();
    return begin(place, on, signal);
  }
  place.cursor ??= cursorOf(answer);
}

/** The cursor behind the newest event of the node. Throws a Problem. */
export const newestCursor = async (signal) => cursorOf(await askEvents(null, signal));

function cursorOf(answer) {
  const cursor = answer.headers.get(CURSOR_HEADER);
  if (answer.ok && cursor) return cursor;
  if (REFUSALS[answer.status] && answer.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    throw new Problem(answer.status, REFUSALS[answer.status], "the node has no room for another stream now");
  }
  throw foreign(answer.status);
}

/** What the node says about this cursor, without a stream that would have to be ended. */
async function askEvents(cursor, signal) {
  const query = cursor === null ? "" : `?${new URLSearchParams({ since: cursor })}`;
  return (await exchange(`events${query}`, { method: "HEAD", signal })).response;
}

/** One connection, from its beginning to its end. Throws a Problem if it could not be opened. */
function listen(names, place, on, signal) {
  return new Promise((resolve, reject) => {
    const socket = opened(new URLSearchParams([...names, ["since", place.cursor]]));
    let wasOpen = false;
    const close = () => {
      if (socket.readyState !== WebSocket.CONNECTING) socket.close();
      else socket.onopen = () => socket.close(); // closed earlier, the browser writes a warning to the console
    };
    const watch = watchSilence(close, signal);
    socket.onopen = () => {
      wasOpen = true;
      place.failures = 0;
      on.state("open");
    };
    socket.onmessage = ({ data }) => {
      watch.heard();
      take(JSON.parse(data), place, on);
    };
    socket.onclose = () => {
      watch.end();
      signal.removeEventListener("abort", close);
      if (wasOpen) resolve();
      else reject(new Problem(0, "no_socket", "the live connection (a WebSocket) does not open"));
    };
    signal.addEventListener("abort", close);
    if (signal.aborted) close();
  });
}

function opened(query) {
  const url = urlOf(`stream?${query}`);
  url.protocol = url.protocol.replace("http", "ws");
  try {
    return new WebSocket(url);
  } catch (error) {
    throw new Problem(0, "browser", `this browser opens no live connection: ${error.message}`);
  }
}

function take(event, place, on) {
  place.cursor = event.cursor;
  if (event.type === "progress" || event.seq <= place.seq) return;
  place.seq = event.seq;
  on.event(event);
}

/** A connection that died without a word looks like one on which nothing happens. After a while, ask the node. */
function watchSilence(close, signal) {
  let timer = 0;
  const ask = () => askEvents(null, signal).then(heard, close);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, SILENCE_MS);
  };
  heard();
  return { heard, end: () => clearTimeout(timer) };
}
