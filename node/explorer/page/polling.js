// Asking the node again and again, while somebody looks.

import { fill, h } from "./dom.js";

/** Do `work` now and then every `interval` milliseconds until the signal ends it; not while the page is hidden. Where the
 * node does not answer, that is said in the corner of the page, and it is tried again. The first run is awaited, and
 * throws what the node refuses. */
export async function repeat(interval, signal, work) {
  try {
    await work();
    reached(true);
  } catch (error) {
    if (error.code !== "unreachable") throw error;
    reached(false, error);
  }
  const again = async () => {
    if (signal.aborted) return;
    if (!document.hidden) await attempt(work, signal);
    setTimeout(again, interval);
  };
  setTimeout(again, interval);
}

async function attempt(work, signal) {
  try {
    await work();
    reached(true);
  } catch (error) {
    if (!signal.aborted) reached(false, error);
  }
}

/** Show whether the node answers. */
export function reached(isReached, error = null) {
  const reach = document.getElementById("reach");
  if (reach.dataset.state === String(isReached)) return;
  reach.dataset.state = String(isReached);
  fill(reach, isReached ? null : h("span", { class: "lost" }, error?.code === "unreachable" || error === null
    ? "The node does not answer. Trying again." : `The node refused: ${error.code ?? "error"}`));
}
