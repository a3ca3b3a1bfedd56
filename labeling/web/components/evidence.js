// What speaks for each class of an item in review: who said what and how far they can be relied on, what the model
// believes, and the labeled items that are like it.

const FAINT = 0.05; // a class that nobody chose is shown from this probability on
const CAUSES = {
  disagreement: "Disagreement",
  unsure: "Unsure",
  flagged: "Flagged",
  likely_error: "Likely error",
};
const METHODS = {
  majority: "by majority",
  dawid_skene: "by Dawid-Skene",
  difficulty: "by people and difficulty",
  crowdlab: "by CROWDLAB",
};
const SNIPPET = 160; // characters of a text that is like the item

// The classes that contend for an item, the leading one first:
//   { classId, voters: [opinion], probability: number | null, near: [neighbour] }
function contendersOf(item) {
  const votes = item.opinions.filter((each) => each.class_id !== null);
  const believed = new Map(item.model.map((each) => [each.class_id, each.probability]));
  const chosen = votes.map((each) => each.class_id);
  const likely = item.model.filter(({ probability }, at) => at === 0 || probability >= FAINT);
  const named = [...chosen, item.label?.class_id, item.better, ...likely.map((each) => each.class_id)];
  const ids = new Set(named.filter((id) => id !== null && id !== undefined));
  const voting = (id) => votes.filter((each) => each.class_id === id);
  const counted = (id) => voting(id).filter((each) => each.counts).length;
  const weight = (id) => (id === item.label?.class_id ? 1000 : 0) + counted(id) + (believed.get(id) ?? 0) / 2;
  return [...ids]
    .map((id) => ({
      classId: id,
      voters: voting(id),
      probability: believed.get(id) ?? null,
      near: item.neighbours[id] ?? [],
    }))
    .sort((a, b) => weight(b.classId) - weight(a.classId));
}

// What Enter takes: the label where there is one, else what most people chose, else what the model believes.
function leadingOf(item, contenders) {
  return item.decision?.class_id ?? contenders[0]?.classId ?? null;
}

// A class with all that speaks for it; the button decides on it.
function contenderCard({ classId, voters, probability, near }, { name, key, colour, leads, choose }) {
  const by = voters.map((each) => each.person).join(", ");
  const said = [
    `Decide on ${name}.`,
    by ? `Said by ${by}.` : "Said by nobody.",
    probability === null ? "" : `The model: ${percent(probability)}.`,
  ];
  const title = make("strong", { class: "name" }, name);
  const people = by ? voters.map((each) => voter(each)) : [make("span", { class: "nobody" }, "nobody")];
  const share = make("span", {}, probability === null ? "–" : percent(probability));
  const button = make(
    "button",
    { class: "choose", type: "button", "aria-label": said.filter(Boolean).join(" ") },
    make("span", { class: "which" }, cap(key), swatch(colour), title, leads ? cap("Enter") : ""),
    make("span", { class: "voters" }, ...people),
    make("span", { class: "belief", title: "The model" }, meter(probability), share),
  );
  button.addEventListener("click", (event) => choose(classId, event));
  if (key) button.setAttribute("aria-keyshortcuts", leads ? `${key} Enter` : key);
  const card = make("li", { class: leads ? "contender leads" : "contender", "data-class": classId }, button);
  if (!near.length) return card;
  const like = make("ul", { class: "near", "aria-label": `Labeled ${name}, and like it` });
  like.append(...near.map((each) => neighbour(each, name)));
  card.append(like);
  return card;
}

function voter({ person, counts, reliability }) {
  const sure = reliability === null ? "" : `, right ${percent(reliability)} of the time`;
  const title = `${person}${counts ? sure : ", set aside"}`;
  return make("span", { class: counts ? "voter" : "voter aside", title }, person);
}

function meter(share) {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${100 * (share ?? 0)}%`;
  return make("span", { class: "meter" }, fill);
}

function neighbour({ external_id: id, media_url: url, text, fields, similarity }, name) {
  const title = `${id}, labeled ${name}; ${percent(similarity)} alike`;
  if (url) return make("li", {}, make("img", { src: thumbnailOf(url), alt: title, title, decoding: "sync" }));
  const words = text ?? Object.values(fields ?? {}).slice(0, 4).map(plain).join(" · ");
  return make("li", { class: "words", dir: "auto", title }, words.slice(0, SNIPPET));
}

// One person's answer, in a line or two.
function opinionRow(opinion, nameOf, colourOf) {
  const { person, verdict, class_id: classId, note, flagged, counts, reliability, seconds, origin } = opinion;
  const says = { skip: "skipped it", unsure: "unsure" }[verdict];
  const answer = says ? [make("em", {}, says)] : [swatch(colourOf(classId)), make("strong", {}, nameOf(classId))];
  const shown = opinion.suggestion_class_id;
  const about = [
    reliability === null ? "" : `right ${percent(reliability)} of the time`,
    seconds === null ? "" : `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`,
    shown === null ? "" : shown === classId ? `as the model suggested` : `the model suggested ${nameOf(shown)}`,
    { grid: "in the grid", imported: "imported" }[origin] ?? "",
    counts ? "" : "set aside",
  ].filter(Boolean);
  const row = make("li", { class: counts ? "opinion" : "opinion aside" });
  row.append(make("span", { class: "person" }, person), make("span", { class: "answer" }, ...answer));
  if (flagged) row.append(make("span", { class: "flagged" }, "flagged"));
  if (about.length) row.append(make("span", { class: "about" }, about.join(" · ")));
  if (note) row.append(make("q", { class: "note-said", dir: "auto" }, note));
  return row;
}

// Why it waits, and what its label is.
function whyItWaits({ causes, why }) {
  const tags = causes.map((cause) => make("span", { class: `cause ${cause}` }, CAUSES[cause]));
  return [...tags, make("span", { class: "words" }, why ? capital(why) : "")];
}

function presentLabel({ label, decision, opinions, better }, nameOf, colourOf) {
  const named = (id) => [swatch(colourOf(id)), make("strong", {}, nameOf(id))];
  if (decision) {
    const by = decision.mine ? "you" : decision.person;
    const what = decision.class_id === null ? [make("strong", {}, "cannot be told")] : named(decision.class_id);
    const why = decision.note ? [`: “${decision.note}”`] : [];
    return ["Decided: ", ...what, ` by ${by}, ${ago(decision.created)}`, ...why];
  }
  const answered = opinions.some((each) => each.class_id !== null);
  if (!label) return [answered ? "No label yet: no answer leads." : "No label yet."];
  const several = opinions.filter((each) => each.class_id !== null && each.counts).length > 1;
  const share = label.confidence >= 0.995 && label.confidence < 1 ? "over 99 %" : percent(label.confidence);
  const how = several ? ` · ${share} sure ${METHODS[label.method] ?? ""}` : " · from one answer";
  const parts = ["Label now: ", ...named(label.class_id), how];
  if (better !== null && better !== label.class_id) parts.push(" · or else ", ...named(better));
  return parts;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// How long ago a moment was, in seconds since the epoch.
function ago(moment) {
  const seconds = Math.max(0, Date.now() / 1000 - moment);
  for (const [unit, length] of [["day", 86_400], ["h", 3_600], ["min", 60]]) {
    const count = Math.floor(seconds / length);
    if (count) return `${count} ${unit}${unit === "day" && count > 1 ? "s" : ""} ago`;
  }
  return "just now";
}
