// Asking the node again: at an interval while somebody looks, and after a failure that passes by itself.

import { Problem } from "./api.js";
import { fill, h } from "./dom.js";
import { problemBox } from "./parts.js";
import { isPassing, reachWords } from "./words.js";

const SHARE = 8;
const RETRY_MS = 3_000;

/** Do `work` now, and then every `interval` milliseconds until the signal aborts. A hidden page does nothing. If the
 * node is slow, the interval grows to eight times the duration of the work, so that watching never becomes a burden.
 * The corner of the page says when the node does not answer. The first run is awaited; it throws whatever a later run
 * would not mend. */
export async function repeat(interval, signal, work) {
  let wait = interval;
  const timed = async () => {
    const begin = performance.now();
    await work();
    wait = Math.max(interval, SHARE * (performance.now() - begin));
  };
  const again = async () => {
    if (signal.aborted) return;
    if (!document.hidden) await attempt(timed, signal);
    setTimeout(again, wait);
  };
  const error = await attempt(timed, signal);
  if (error !== null && !isPassing(error)) throw error;
  setTimeout(again, wait);
}

/** Do the work, and show in the corner whether the node answered. Gives the error, or null. */
async function attempt(work, signal) {
  try {
    await work();
    showReach(null);
    return null;
  } catch (error) {
    if (!signal.aborted) showReach(error);
    return error;
  }
}

/** Say in the corner of the page what keeps the page from being up to date; null: nothing does. */
export function showReach(error) {
  const reach = document.getElementById("reach");
  const words = error === null ? "" : reachWords(error);
  if (reach.dataset.words === words) return;
  if (error !== null && !(error instanceof Problem)) console.error(error);
  reach.dataset.words = words;
  fill(reach, words && h("span", { class: "lost" }, words));
}

/** Do `work`. While it fails for a reason that passes, `show` a box with the reason and a button, and try again every
 * three seconds. Throws other failures. Gives what the work gives, or undefined if the signal aborts. */
export async function persist(signal, show, work) {
  let shown = null;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!isPassing(error)) throw error;
      if (shown?.message !== error.message) shown = failure(error);
      if (shown.box.parentNode === null) show(shown.box);
      await Promise.race([shown.pressed(), pause(RETRY_MS, signal)]);
      if (signal.aborted) return undefined;
    }
  }
}

function failure(error) {
  const button = h("button", { type: "button" }, "Try again");
  const box = h("div", { class: "retry" }, problemBox(error), h("div", { class: "actions" }, button));
  const pressed = () => new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));
  return { box, message: error.message, pressed };
}

/** Wait so many milliseconds, or until the signal aborts. */
export function pause(delay, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, delay);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
