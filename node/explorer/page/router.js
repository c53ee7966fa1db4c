// Places in the explorer, written in the part of the URL behind `#`: a link to any place can be kept and sent, and no
// part of it ever reaches a server.

/** `#/label/example.org/garden?x=y` as `{view: "label", names: ["example.org", "garden"], query}`. */
export function placeOf(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view, ...names] = path.split("/").map(decoded);
  return { view: view || "overview", names, query: new URLSearchParams(query) };
}

/** The link to a place: `hrefTo("label", [domain, label], {after: ""})`; empty values are left out. */
export function hrefTo(view, names = [], query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const search = new URLSearchParams(given).toString();
  return `#/${[view, ...names].map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

/** Write into the URL what the page shows now, without a step in the browser's history. */
export function remember(href) {
  history.replaceState(null, "", href);
}

/** Go to a place as a link does, with a step in the browser's history. `state` stays with that step. */
export function travel(href, state) {
  history.pushState(state, "", href);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
