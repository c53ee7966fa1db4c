// Building the page from nodes, never from markup. Every string becomes text. No function here reads a string as HTML,
// and the page's policy forbids the browser's own functions that do.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Properties that begin with `on` are listeners, `dataset` and `vars` (CSS variables) are objects, all
 * others are attributes; null, undefined and false leave an attribute out. */
export function h(tag, properties, ...children) {
  return furnish(document.createElement(tag), properties, children);
}

/** An element of SVG. */
export function s(tag, properties, ...children) {
  return furnish(document.createElementNS(SVG, tag), properties, children);
}

function furnish(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) set(element, name, value);
  element.append(...flat(children));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "vars") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
  else element.setAttribute(name, value === true ? "" : String(value));
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Replace the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

let announcing = 0;

/** Tell a screen reader this text, also if it is the same as before. */
export function announce(text) {
  clearTimeout(announcing);
  const announcer = document.getElementById("announcer");
  announcer.textContent = "";
  announcing = setTimeout(() => {
    announcer.textContent = text;
  }, 60);
}

/** Call `work` once, `delay` milliseconds after the last of many calls. */
export function settled(delay, work) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), delay);
  };
}
