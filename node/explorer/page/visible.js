// Text of records: each character can be seen, and no name can pass for another by a trick. A character is spelled out
// if it is invisible, if it turns the direction of what follows, if Unicode normalisation (NFC) would replace it by
// others that look the same, or if it is a Greek or Cyrillic letter in a word with Latin letters. The same rules are in
// `node/console/visible_text.py` for terminals. A page can also show emoji, joined letters and lines.

import { h } from "./dom.js";

const EASY = /^(?! )[\n\t\x20-\x7e]*$(?<! )/;

const INVISIBLE =
  /(?![\n\t \u200c\u200d\ufe0f])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;
const SPACE_AT_AN_END = /^ | $/g;
// A joiner changes how emoji and the letters of these scripts look. Anywhere else it is invisible.
const JOINED = "Arab Syrc Mong Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Khmr Mymr Tibt".split(" ");
const JOINS = `${JOINED.map((script) => `\\p{sc=${script}}`).join("")}\\p{ExtPict}\\p{Emoji_Modifier}\\ufe0f`;
const IDLE_JOINER = new RegExp(`(?<![${JOINS}])[\\u200c\\u200d]|[\\u200c\\u200d](?![${JOINS}])`, "gu");
// This selector makes an emoji of a character that is none by itself.
const IDLE_SELECTOR = /(?<!\p{Extended_Pictographic})\ufe0f(?!\u20e3)|(?<=\p{Emoji_Presentation})\ufe0f/gu;
const PATTERNS = [INVISIBLE, SPACE_AT_AN_END, IDLE_JOINER, IDLE_SELECTOR];

const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
const LATIN = /\p{sc=Latin}/u;
const LOOKALIKE = /[\p{sc=Greek}\p{sc=Cyrillic}]/gu;

/** Text of a record as nodes. */
export function seen(text) {
  const nodes = pieces(text, (character) => h("span", { class: "code-point" }, codePoint(character)));
  return h("bdi", { class: "name" }, nodes);
}

/** Text of a record as a plain string, for attributes and titles. */
export const plain = (text) => pieces(text, codePoint).join("");

/** The text in pieces, with `spell` applied to each character that must not be shown as it is. */
function pieces(text, spell) {
  if (EASY.test(text)) return [text];
  const strange = strangePlaces(text);
  const found = [];
  let end = 0;
  for (const at of [...strange].sort((one, other) => one - other)) {
    const character = String.fromCodePoint(text.codePointAt(at));
    found.push(text.slice(end, at), spell(character));
    end = at + character.length;
  }
  return [...found, text.slice(end)];
}

function strangePlaces(text) {
  const places = new Set();
  for (const pattern of PATTERNS) for (const match of text.matchAll(pattern)) places.add(match.index);
  for (const word of text.matchAll(WORD)) {
    if (!LATIN.test(word[0])) continue;
    for (const match of word[0].matchAll(LOOKALIKE)) places.add(word.index + match.index);
  }
  if (!isNormal(text)) addNotNormal(text, places);
  return places;
}

function addNotNormal(text, places) {
  let at = 0;
  let before = "";
  for (const character of text) {
    if (!isNormal(character) || !isNormal(before + character)) places.add(at);
    at += character.length;
    before = isNormal(character) ? character : "";
  }
}

const isNormal = (text) => text === text.normalize("NFC");

function codePoint(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}
