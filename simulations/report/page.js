"use strict";

// Each figure about the spread of records contains its data as JSON. The script makes no markup from text. It changes
// classes, attributes and text of existing elements, and adds one circle for each copy that is on its way.

const SVG = "http://www.w3.org/2000/svg";
const PLAY_MS = 6000;
const TRAVEL_MAX = 0.12; // how long a copy is shown on its way at most, as a share of the slider
const WAIT_S = 0.01; // longer waits get less room for each second

// A link to a run opens its details.
function openTarget() {
  const details = document.getElementById(location.hash.slice(1))?.querySelector("details");
  if (details) details.open = true;
}

addEventListener("hashchange", openTarget);
openTarget();

for (const figure of document.querySelectorAll("figure.spread")) {
  const script = figure.querySelector("script");
  const controls = figure.querySelector(".controls");
  if (controls) animate(figure, JSON.parse(script.textContent), controls);
}

function animate(figure, data, controls) {
  const [select, button, slider, output] = ["select", "button", "input", "output"].map((it) => controls.querySelector(it));
  const svg = figure.querySelector("svg");
  const lines = [...svg.querySelectorAll("line")];
  const nodes = [...svg.querySelectorAll("g")];
  const byPair = new Map(data.edges.map(([one, other], index) => [`${one} ${other}`, lines[index]]));
  let spread;
  let scale;
  let copies = [];
  let begun = null;

  const choose = (number) => {
    copies.forEach((copy) => copy.circle.remove());
    spread = data.spreads[number];
    scale = timeScale(spread.steps.map((step) => step.after_s));
    copies = spread.steps.filter((step) => step.source !== null).map((step) => copyOf(step));
  };

  const copyOf = (step) => {
    const sourceAt = spread.steps.find((it) => it.node === step.source)?.after_s ?? 0;
    const circle = svg.appendChild(document.createElementNS(SVG, "circle"));
    circle.setAttribute("r", "5");
    circle.setAttribute("class", "copy");
    const end = scale.along(step.after_s);
    return { step, circle, end, begin: Math.max(Math.min(scale.along(sourceAt), end), end - TRAVEL_MAX) };
  };

  const draw = (along) => {
    const arrived = new Map(spread.steps.filter((step) => scale.along(step.after_s) <= along + 1e-9).map((step) => [step.node, step]));
    for (const [number, node] of nodes.entries()) {
      const step = arrived.get(number);
      node.setAttribute("class", step ? (step.after_s === 0 ? "node origin has" : "node has") : "node");
      const after = node.querySelector(".after");
      if (after) after.textContent = step ? (step.after_s === 0 ? "written here" : inWords(step.after_s)) : along < 1 ? "" : "never";
    }
    lines.forEach((line) => line.classList.remove("used"));
    for (const step of arrived.values()) {
      if (step.source === null) continue;
      byPair.get(`${Math.min(step.node, step.source)} ${Math.max(step.node, step.source)}`).classList.add("used");
    }
    copies.forEach((copy) => place(copy, along));
    const words = `${inWords(scale.at(along))}: ${arrived.size} of ${nodes.length} nodes`;
    output.textContent = words;
    slider.setAttribute("aria-valuetext", words);
  };

  const place = ({ step, circle, begin, end }, along) => {
    const share = (along - begin) / Math.max(end - begin, 1e-9);
    const isUnderWay = share > 0 && share < 1;
    circle.classList.toggle("away", !isUnderWay);
    if (!isUnderWay) return;
    const [from, to] = [data.at[step.source], data.at[step.node]];
    circle.setAttribute("cx", from[0] + (to[0] - from[0]) * share);
    circle.setAttribute("cy", from[1] + (to[1] - from[1]) * share);
  };

  const tick = (now) => {
    if (begun === null) return;
    const along = Math.min(1, (now - begun) / PLAY_MS);
    slider.value = along * 1000;
    draw(along);
    if (along < 1) requestAnimationFrame(tick);
    else stop();
  };

  const stop = () => {
    begun = null;
    button.textContent = "Play";
  };

  button.addEventListener("click", () => {
    if (begun !== null) return stop();
    const from = Number(slider.value) >= 1000 ? 0 : Number(slider.value) / 1000;
    button.textContent = "Pause";
    requestAnimationFrame((now) => {
      begun = now - from * PLAY_MS;
      tick(now);
    });
  });
  slider.addEventListener("input", () => {
    stop();
    draw(Number(slider.value) / 1000);
  });
  select?.addEventListener("change", () => {
    stop();
    choose(Number(select.value));
    slider.value = 1000;
    draw(1);
  });

  choose(0);
  draw(1);
  controls.hidden = false;
}

// Each wait between two arrivals gets as much room as its logarithm, so that one can see both a partition of a minute
// and what happens within milliseconds after it.
function timeScale(times) {
  const stops = [...new Set([0, ...times])].sort((one, other) => one - other);
  const ends = [0];
  for (let index = 1; index < stops.length; index += 1) {
    ends.push(ends[index - 1] + Math.log1p((stops[index] - stops[index - 1]) / WAIT_S));
  }
  const whole = ends.at(-1) || 1;
  const along = ends.map((end) => end / whole);
  return { along: (at) => between(stops, along, at), at: (share) => between(along, stops, share) };
}

function between(from, to, value) {
  const after = from.findIndex((it) => it >= value);
  if (after === -1) return to.at(-1);
  if (after === 0) return to[0];
  const share = (value - from[after - 1]) / (from[after] - from[after - 1]);
  return to[after - 1] + share * (to[after] - to[after - 1]);
}

function inWords(seconds) {
  if (seconds < 0.9995) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  return seconds < 120 ? `${Number(seconds.toPrecision(3))} s` : `${Number((seconds / 60).toPrecision(3))} min`;
}
