// An item as it is looked at. Texts and rows are whole, in their own direction, what matters marked; a closer look at
// pictures: see viewer.js.

const FIRST_PART = 20_000; // characters of a text that are shown at once: more would hold up the page
const LONG_CELL = 280; // characters of a cell that are shown at once
const FEW_COLUMNS = 10; // shown without folding any
// Seven digits, and never fewer than all before the point and two after it.
const numeral = new Intl.NumberFormat("en", {
  maximumSignificantDigits: 7,
  maximumFractionDigits: 2,
  roundingPriority: "morePrecision",
  useGrouping: "min2",
});

// What goes into the frame. ask: { claim: { item, media_url }, image, broken }; retry() loads a picture again.
function content(ask, keywords, retry) {
  const { text, fields, shown_first: first, external_id: name } = ask.claim.item;
  if (ask.broken) {
    const again = make("button", { class: "again", type: "button", onclick: retry }, "Try again");
    const sentence = make("p", {}, "This picture could not be loaded. Try again, or skip it.");
    return [make("div", { class: "empty" }, sentence, again)];
  }
  if (ask.image) {
    ask.image.alt = name;
    return [ask.image];
  }
  if (ask.claim.media_url) return [skeleton()];
  if (text) return readable(text, keywords);
  if (fields && Object.keys(fields).length) return card(fields, first);
  return [make("p", { class: "none" }, "This item is empty.")];
}

function skeleton() {
  return make("div", { class: "skeleton", role: "img", "aria-label": "The item is loading" });
}

// A text; words that speak for the suggestion are marked. More of it comes with its button.
function readable(text, keywords) {
  const pattern = wordsOf(keywords);
  const node = make("div", { class: text.length > 400 ? "text long" : "text", dir: "auto" });
  let shown = cut(text, 0, FIRST_PART);
  node.append(...marked(text.slice(0, shown), pattern));
  if (shown === text.length) return [node];
  const rest = more(`Show all ${number.format(text.length)} characters`, () => {
    for (let end; shown < text.length; shown = end) {
      end = cut(text, shown, FIRST_PART);
      // Each part is laid out when it comes into view.
      node.append(make("div", { class: "part" }, ...marked(text.slice(shown, end), pattern)));
    }
    rest.remove();
  });
  return [node, rest];
}

// A row as a card: `leading` columns at once, the others folded.
function card(fields, leading) {
  const rows = Object.entries(fields).map(([name, value]) => cells(name, value));
  const first = leading ?? (rows.length > FEW_COLUMNS ? FEW_COLUMNS - 2 : rows.length);
  const folded = rows.splice(first);
  const nodes = [make("dl", { class: "fields" }, ...rows)];
  if (folded.length) {
    const summary = make("summary", {}, `More columns (${folded.length})`, cap(","));
    nodes.push(make("details", { class: "folded" }, summary, make("dl", { class: "fields" }, ...folded)));
  }
  return nodes;
}

// Unfolds all that an item holds back; what can be folded again is folded when nothing is left to unfold.
function unfold(frame) {
  const folds = [...frame.querySelectorAll("details.folded")];
  const buttons = [...frame.querySelectorAll("button.more")];
  const open = buttons.length > 0 || folds.some((fold) => !fold.open);
  for (const button of buttons) button.click();
  for (const fold of folds) fold.open = open;
}

function cells(name, value) {
  const text = plain(value);
  const cell = make("dd", { dir: "auto" });
  if (typeof value === "number") cell.classList.add("numeral");
  if (text.length > LONG_CELL) {
    const whole = () => cell.replaceChildren(text);
    cell.append(`${text.slice(0, cut(text, 0, LONG_CELL - 40))}… `, more("Show all", whole));
  } else {
    cell.append(text);
  }
  return make("div", {}, make("dt", { dir: "auto" }, name), cell);
}

function plain(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return numeral.format(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function more(label, onclick) {
  return make("button", { class: "more", type: "button", onclick }, label, cap(","));
}

// Where a part of about `length` characters ends: after a line, else after a word, at least not inside a character.
function cut(text, start, length) {
  const end = start + length;
  if (end >= text.length) return text.length;
  for (const gap of ["\n", " "]) {
    const at = text.lastIndexOf(gap, end - 1);
    if (at > start + length / 2) return at + 1;
  }
  const high = text.charCodeAt(end - 1);
  return high >= 0xd800 && high < 0xdc00 ? end - 1 : end;
}

// A pattern of whole words in any case; null where there is none.
function wordsOf(keywords) {
  const words = keywords.filter(Boolean).map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/gu, "\\$&"));
  const inside = "[\\p{L}\\p{N}\\p{M}_]";
  return words.length ? new RegExp(`(?<!${inside})(?:${words.join("|")})(?!${inside})`, "giu") : null;
}

function marked(text, pattern) {
  if (!pattern) return [text];
  const nodes = [];
  let at = 0;
  for (const { 0: word, index } of text.matchAll(pattern)) {
    nodes.push(text.slice(at, index), make("mark", {}, word));
    at = index + word.length;
  }
  nodes.push(text.slice(at));
  return nodes;
}
