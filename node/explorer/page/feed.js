// The node's events as they happen, without a gap or a repeat however often the connection breaks: each event brings a
// cursor, and whoever comes back with the last one goes on right behind it. By WebSocket, because of which a browser
// may have many open at once; a plain request beside it says what a WebSocket cannot, the cursor to begin at and why a
// connection was refused.

const WAITS_MS = [300, 1_000, 2_000, 4_000, 8_000];
const SILENCE_MS = 45_000;
const ANSWER_MS = 10_000;
const CURSOR_HEADER = "Dnarc-Cursor";

/** Follow the events of these domains and labels (empty: all) until the signal ends it. `on` has `event(event)`,
 * `state(name)` with `connecting`, `open` or `lost`, and `restart()` where the node's store is another one than before,
 * so that nobody can say what was missed. `since` is a cursor, null: from now. Gives `{cursor()}`. */
export function follow({ domains = [], labels = [], since = null }, on, signal) {
  const names = [...domains.map((name) => ["domain", name]), ...labels.map((name) => ["label", name])];
  const place = { cursor: since, seq: 0, failures: 0 };
  run(names, place, on, signal);
  return { cursor: () => place.cursor };
}

async function run(names, place, on, signal) {
  while (!signal.aborted) {
    on.state(place.failures ? "lost" : "connecting");
    try {
      await begin(place, on, signal);
      await listen(names, place, on, signal);
    } catch {
      // the node is away: what there is to say was said by the state
    }
    if (signal.aborted) return;
    place.failures += 1;
    on.state("lost");
    await pause(WAITS_MS[Math.min(place.failures, WAITS_MS.length) - 1] * (0.75 + Math.random() / 2), signal);
  }
}

/** Learn where to begin; or, with a cursor already, whether the node still knows it. */
async function begin(place, on, signal) {
  if (place.cursor !== null && place.failures === 0) return;
  const answer = await askEvents(place.cursor, signal);
  if (answer.status === 410 || answer.status === 400) {
    Object.assign(place, { cursor: null, seq: 0 });
    on.restart();
    return begin(place, on, signal);
  }
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  place.cursor ??= answer.headers.get(CURSOR_HEADER);
}

/** The cursor behind the last event of the node, for whoever first reads what there is and then follows; null where the
 * node does not say. */
export async function newestCursor(signal) {
  const answer = await askEvents(null, signal).catch(() => null);
  return answer?.headers.get(CURSOR_HEADER) ?? null;
}

/** What the node would say to whoever comes with this cursor, without a stream that would have to be ended. */
function askEvents(cursor, signal) {
  const query = cursor === null ? "" : `?${new URLSearchParams({ since: cursor })}`;
  return fetch(`/events${query}`, {
    method: "HEAD",
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
  });
}

/** One connection, from its beginning to its end. */
function listen(names, place, on, signal) {
  return new Promise((resolve) => {
    const query = new URLSearchParams([...names, ["since", place.cursor]]);
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/stream?${query}`);
    const close = () => {
      if (socket.readyState !== WebSocket.CONNECTING) socket.close();
      else socket.onopen = () => socket.close(); // earlier, the browser would write a warning to the console
    };
    const watch = watchSilence(close, signal);
    socket.onopen = () => {
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
      resolve();
    };
    signal.addEventListener("abort", close);
    if (signal.aborted) close();
  });
}

function take(event, place, on) {
  place.cursor = event.cursor;
  if (event.type === "progress" || event.seq <= place.seq) return;
  place.seq = event.seq;
  on.event(event);
}

/** A connection that died without a word looks like one on which nothing happens: after a while, ask. */
function watchSilence(close, signal) {
  let timer = 0;
  const ask = async () => {
    if (
      await askEvents(null, signal).then(
        () => true,
        () => false,
      )
    )
      heard();
    else close();
  };
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, SILENCE_MS);
  };
  heard();
  return { heard, end: () => clearTimeout(timer) };
}

function pause(delay, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delay);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
