// Values as people read them.

const numbers = new Intl.NumberFormat("en");
const roundings = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
/** The last second that a calendar of JavaScript has. */
export const DATE_S_MAX = 8_640_000_000_000;
const UNITS = [
  [86_400 * 365, "y"],
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

export const count = (number) => numbers.format(number);
export const rounded = (number) => roundings.format(number);

/** A number with its noun: `many(2, "record")` is "2 records". */
export const many = (number, word, words = `${word}s`) => `${count(number)} ${number === 1 ? word : words}`;

/** The beginning of a key or an id. It tells a few apart on a page; it proves nothing. */
export const short = (hex) => String(hex).slice(0, 12);

/** A moment in seconds since the Unix epoch, in UTC. A timestamp may lie beyond the calendar. */
export function moment(seconds) {
  if (!(Math.abs(seconds) <= DATE_S_MAX)) return `second ${seconds}`;
  return `${new Date(seconds * 1000).toISOString().replace("T", " ").replace(".000Z", "")} UTC`;
}

/** A moment in milliseconds since the Unix epoch, in UTC. */
export function momentMs(ms) {
  if (!(Math.abs(ms) <= DATE_S_MAX * 1000)) return `millisecond ${ms}`;
  return new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** A span of time in its largest unit. `parts` 2 adds the next unit. */
export function duration(seconds, parts = 1) {
  const whole = Math.max(0, Math.round(seconds));
  const at = UNITS.findIndex(([size]) => whole >= size);
  if (at < 0) return "0 s";
  const [size, unit] = UNITS[at];
  const rest = parts > 1 && UNITS[at + 1] ? Math.floor((whole % size) / UNITS[at + 1][0]) : 0;
  return `${count(Math.floor(whole / size))} ${unit}${rest ? ` ${rest} ${UNITS[at + 1][1]}` : ""}`;
}

export function ago(seconds, now = Date.now() / 1000) {
  const passed = now - seconds;
  if (passed < -2) return `in ${duration(-passed)}`;
  return passed < 2 ? "just now" : `${duration(passed)} ago`;
}

export function bytes(size) {
  if (size < 1000) return `${size} B`;
  const power = Math.min(4, Math.floor(Math.log10(size) / 3));
  return `${rounded(size / 1000 ** power)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** A claim's content in one line of at most `size` characters. */
export function summary(content, size = 120) {
  const text = Object.entries(content)
    .map(([key, value]) => `${key}: ${inline(value)}`)
    .join(", ");
  return clip(text || "no content", size);
}

export function clip(text, size) {
  const characters = [...text];
  return characters.length <= size ? text : `${characters.slice(0, size - 1).join("")}…`;
}

function inline(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
