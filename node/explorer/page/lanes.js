// The lanes of a timeline. Lane 0 has the accepted records. A refused record has a lane of its own, which begins at its
// parent; a refused record that follows another refused record shares that lane. Rows count from the newest.

import { isAccepted } from "./replay.js";

export const LANES_MAX = 6;

/** `{rows, width}`: `{node, up, down, through, turns}` for each row, and the number of lanes. `node` is the lane of the
 * row's record. `up` and `down` say whether this lane goes on to newer and older rows, and under which owner. `through`
 * are lanes that pass the row, `turns` are lanes that begin at it. `newest` is the shown part of `all`, newest
 * first. */
export function lanes(newest, all) {
  const rowOf = new Map(newest.map(({ entry }, at) => [entry.id, at]));
  const rows = newest.map(() => ({ node: 0, up: null, down: null, through: [], turns: [] }));
  drawOwners(rows, rowOf, all);
  let width = 1;
  const busyUntil = []; // by lane, from 1 on: the newest row that the lane has reached
  const laneOf = new Map();
  const places = new Map(all.map(({ entry }, at) => [entry.id, at]));
  for (const [at, judged] of all.entries()) {
    const row = rowOf.get(judged.entry.id);
    if (row === undefined || isAccepted(judged.verdict)) continue;
    const parent = parentOf(judged, at, all, places);
    const parentRow = parent === null ? null : (rowOf.get(parent.id) ?? rows.length);
    const lane = laneFor(row, parentRow ?? row, parent, laneOf, busyUntil);
    laneOf.set(judged.entry.id, lane);
    rows[row].node = lane;
    width = Math.max(width, lane + 1);
    if (parentRow !== null) connect(rows, row, parentRow, lane, laneOf.get(parent.id) ?? 0);
  }
  return { rows, width };
}

function drawOwners(rows, rowOf, all) {
  const chain = all.filter(({ verdict }) => isAccepted(verdict)).map(({ entry }) => entry);
  chain.forEach((entry, at) => {
    const row = rowOf.get(entry.id) ?? rows.length;
    const next = chain[at + 1];
    if (next === undefined) return;
    const nextRow = rowOf.get(next.id);
    if (nextRow === undefined) return;
    const owner = entry.record.signedby;
    if (row < rows.length) rows[row].up = { owner };
    rows[nextRow].down = { owner };
    for (let between = nextRow + 1; between < row; between += 1) rows[between].through.push({ lane: 0, owner });
  });
}

/** The record that `prev` names, if the node holds it and it is older; otherwise the record that this one was judged
 * after. */
function parentOf({ entry, after }, at, all, places) {
  const named = places.get(entry.record.prev);
  return named !== undefined && named < at ? all[named].entry : after;
}

/** The parent's lane if that lane ends at the parent, otherwise the first lane that is free between both rows. */
function laneFor(row, parentRow, parent, laneOf, busyUntil) {
  const inherited = parent === null ? undefined : laneOf.get(parent.id);
  let lane = inherited !== undefined && busyUntil[inherited] === parentRow ? inherited : 1;
  if (lane !== inherited)
    while (lane < LANES_MAX - 1 && busyUntil[lane] !== undefined && busyUntil[lane] <= parentRow) lane += 1;
  busyUntil[lane] = row;
  return lane;
}

function connect(rows, row, parentRow, lane, parentLane) {
  rows[row].down = { owner: null };
  for (let between = row + 1; between < parentRow; between += 1) rows[between].through.push({ lane, owner: null });
  if (parentRow >= rows.length) return;
  if (lane === parentLane) rows[parentRow].up = { owner: null };
  else rows[parentRow].turns.push(lane);
}
