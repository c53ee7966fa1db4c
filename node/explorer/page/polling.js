// Asking the node again and again, while somebody looks.

import { fill, h } from "./dom.js";

const SHARE = 8;

/** Do `work` now and then every `interval` milliseconds until the signal ends it; not while the page is hidden, and
 * less often where it takes the node long, so that looking never becomes a burden. Where the node does not answer, that
 * is said in the corner of the page, and it is tried again. The first run is awaited, and throws what the node refuses.
 * */
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
  const refusal = await attempt(timed, signal);
  if (refusal !== null && refusal.code !== "unreachable") throw refusal;
  setTimeout(again, wait);
}

/** Do it, and say whether the node answered. Gives the error, or null. */
async function attempt(work, signal) {
  try {
    await work();
    reached(true);
    return null;
  } catch (error) {
    if (!signal.aborted) reached(false, error);
    return error;
  }
}

/** Show whether the node answers. */
export function reached(isReached, error = null) {
  const reach = document.getElementById("reach");
  if (reach.dataset.state === String(isReached)) return;
  reach.dataset.state = String(isReached);
  fill(
    reach,
    isReached
      ? null
      : h(
          "span",
          { class: "lost" },
          error?.code === "unreachable" || error === null
            ? "The node does not answer. Trying again."
            : `The node refuses: ${error.code ?? "error"}`,
        ),
  );
}
