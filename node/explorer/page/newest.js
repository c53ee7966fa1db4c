// The newest stored records. The node lists record ids oldest first, from a timestamp on. So the page looks for a
// timestamp that few enough records follow: it goes back from the newest record in steps that grow, and halves the last
// step if that was too long.

import { get, getPage, path } from "./api.js";

const IDS_MAX = 200;
const FIRST_STEP_S = 8;
const STEP_FACTOR = 16;
const REQUESTS_MAX = 24;

/** The newest `wanted` records (at most 100) of a domain, or of all domains if `domain` is empty, newest first:
 * `[{signature, record}]`. The records are stored; replay may have refused some of them. */
export async function newestRecords(domain, wanted, signal) {
  const { domains } = await get("node", { signal });
  const looked = Object.entries(domains).filter(([name]) => domain === "" || name === domain);
  const newest = Math.max(0, ...looked.map(([, { newest: timestamp }]) => timestamp ?? 0));
  if (newest === 0) return [];
  const listing = domain === "" ? path("claims") : path("claims", domain);
  const ids = await newestIds(listing, newest, wanted, signal);
  if (ids.length === 0) return [];
  const search = new URLSearchParams(ids.map((id) => ["id", id]));
  return (await getPage(`${path("records")}?${search}`, { signal })).entries;
}

async function newestIds(listing, newest, wanted, signal) {
  let found = []; // from the earliest timestamp that few enough records follow
  let [tooFew, tooMany] = [newest + 1, -1]; // timestamps: the answer lies between
  let step = FIRST_STEP_S;
  for (let request = 0; request < REQUESTS_MAX && tooFew - tooMany > 1; request += 1) {
    const since = tooMany < 0 ? Math.max(0, newest - step) : Math.floor((tooFew + tooMany) / 2);
    const { ids, isWhole } = await idsSince(listing, since, signal);
    if (!isWhole) {
      tooMany = since;
      continue;
    }
    found = ids;
    if (ids.length >= wanted || since === 0) break;
    tooFew = since;
    step *= STEP_FACTOR;
  }
  if (found.length < wanted && tooMany >= 0) {
    // More records than a page holds share one second: a part of them has to do.
    const { ids } = await idsSince(listing, tooMany, signal);
    found = [...ids.filter((id) => !found.includes(id)), ...found];
  }
  return found.slice(-wanted).reverse();
}

async function idsSince(listing, since, signal) {
  const search = new URLSearchParams({ history: true, ids: true, since, limit: IDS_MAX });
  const keys = await get(`${listing}?${search}`, { signal });
  return { ids: keys.map(([, id]) => id), isWhole: keys.length < IDS_MAX };
}
