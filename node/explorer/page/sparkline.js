// A small curve of the last minutes. Its label says the same in words for screen readers.

import { fill, s } from "./dom.js";
import { rounded } from "./format.js";

const WIDTH = 240;
const HEIGHT = 56;
const SAMPLES = 90;
const SAMPLES_MIN = 12; // a curve with fewer samples is stretched, so that it is visible

/** A curve that grows to the right: `{element, add(value)}`. `what` names what is counted, such as `records a
 * second`. */
export function sparkline(what) {
  const values = [];
  const element = s("svg", {
    class: "sparkline",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    preserveAspectRatio: "none",
  });
  const add = (value) => {
    values.push(value);
    if (values.length > SAMPLES) values.shift();
    draw(element, values);
    element.setAttribute("aria-label", `${what}: ${rounded(value)} now, ${rounded(Math.max(...values))} at most`);
  };
  element.setAttribute("aria-label", `${what}: not measured yet`);
  return { element, add };
}

function draw(element, values) {
  const highest = Math.max(1, ...values);
  const step = WIDTH / (Math.max(values.length, SAMPLES_MIN) - 1);
  const begin = WIDTH - step * (values.length - 1);
  const points = values.map((value, at) => [begin + at * step, HEIGHT - 3 - (value / highest) * (HEIGHT - 8)]);
  const line = points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  fill(
    element,
    s("path", { class: "area", d: `${line}L${WIDTH} ${HEIGHT}L${begin.toFixed(1)} ${HEIGHT}Z` }),
    s("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }),
  );
}
