// What the grid looks like: the question above, the tiles, and beside them what to do with them.

const SCREEN_SIZES = [24, 40, 60];
const DEEDS = [
  { name: "out", label: "Not this", sign: "x", title: "Not of this class: leave it for later, one by one" },
  { name: "skip", label: "Skip", sign: "-", title: "Leave it to others" },
  { name: "unsure", label: "Unsure", sign: ".", title: "Say that it cannot be told" },
];
const KEYS = [
  ["← ↑ → ↓", "walk over the tiles; with Shift, mark on the way"],
  ["Space", "mark a tile as not this, or take the mark back"],
  ["a class's key", "give the marked tile that class"],
  ["x", "not this"],
  ["Enter", "confirm the rest"],
  ["⌫", "take the last screen back"],
];

class Board {
  #on;

  // on: { confirm(event), undo(), give(mark), choose(class id), resize(count), recall(), retry(), leave() }
  constructor(root, on) {
    this.#on = on;
    this.status = new Status();

    this.believed = make("select", { class: "choice", "aria-label": "The class that the model believes these are" });
    this.believed.addEventListener("change", () => on.choose(Number(this.believed.value)));
    this.ahead = make("span", { class: "ahead" });
    const sizes = SCREEN_SIZES.map((size) => make("option", { value: size }, `${size} a screen`));
    this.size = make("select", { class: "choice small", "aria-label": "Tiles on a screen" }, ...sizes);
    this.size.addEventListener("change", () => on.resize(Number(this.size.value)));
    const lead = make("span", { class: "lead" }, "The model believes these are");
    this.question = make("div", { class: "question" }, lead, this.believed, this.ahead, this.size);

    this.tiles = new Tiles({ on: { marked: () => this.showMarks() }, describe: (mark) => this.#wordsFor(mark) });
    this.place = make("div", { class: "place" }, this.tiles.root);

    this.confirm = make("button", { class: "confirm", type: "button", "aria-keyshortcuts": "Enter" });
    this.confirm.addEventListener("click", (event) => on.confirm(event));
    this.undo = make("button", { class: "back", type: "button", "aria-keyshortcuts": "Backspace Control+Z" });
    this.undo.append("Undo screen", cap("⌫"));
    this.undo.addEventListener("click", () => on.undo());
    this.last = make("p", { class: "last", role: "status" });
    const decide = make("section", { class: "decide", "aria-label": "The screen" }, this.confirm, this.undo, this.last);

    this.classes = new Classes({ answer: (id) => on.give({ verdict: "label", class_id: id }), find: () => on.recall() });
    this.deeds = make("div", { class: "commands", role: "group", "aria-label": "Other answers for the marked tiles" });
    for (const { name, label, sign, title } of DEEDS) {
      const button = make("button", { class: "command", type: "button", title, "data-deed": name }, cap(sign));
      button.append(make("span", {}, label));
      button.addEventListener("click", () => on.give({ verdict: name }));
      this.deeds.append(button);
    }
    this.marks = make("p", { class: "marks" });
    this.guidelines = make("p", { dir: "auto" });
    this.guide = make("details", { class: "guide" }, make("summary", {}, "Guidelines"), this.guidelines);
    const keys = make("dl", { class: "keys" }, ...KEYS.flatMap(([key, does]) => [make("dt", {}, key), make("dd", {}, does)]));
    const panel = make(
      "section",
      { class: "exceptions", "aria-label": "Exceptions" },
      this.marks,
      this.classes.search.input,
      this.classes.search.list,
      this.classes.grid,
      this.deeds,
      this.status.trouble,
      this.status.notice,
      make("details", { class: "guide" }, make("summary", {}, "Keys"), keys),
      this.guide,
    );
    const work = make("div", { class: "board" }, this.question, this.place, decide, panel);
    const { top, message, speech } = this.status;
    this.root = make("div", { class: "askwise grid" }, top, message, work, speech);
    // A click must not leave the focus on a button, or the next Enter would press it again.
    this.root.addEventListener("mousedown", (event) => event.target.closest("button") && event.preventDefault());
    root.append(this.root);
  }

  showProject({ classes, guidelines, recent }) {
    this.classes.show(classes, recent);
    this.classes.enable(true);
    this.guidelines.textContent = guidelines;
    this.guide.hidden = !guidelines;
  }

  // `locked`: it is being taken back and cannot be confirmed yet.
  showScreen(screen, { locked = false } = {}) {
    this.screen = screen;
    const name = this.classes.nameOf(screen.classId) ?? "";
    this.place.replaceChildren(this.tiles.root); // first: tiles are laid out by the room there is
    this.tiles.show(screen, `Believed to be ${name}`);
    this.root.classList.toggle("locked", locked);
    this.root.classList.remove("nothing");
    this.#menu(screen);
    this.showMarks();
    if (locked) this.ahead.textContent = "Taking your screen back…";
    else this.tiles.takeFocus();
  }

  // Nothing to confirm: why, and buttons for what to do: [label, action] each.
  showEmpty(heading, sentence, ...ways) {
    this.screen = null;
    this.tiles.show(null, "");
    const buttons = ways.map(([label, onclick], at) => {
      return make("button", { class: at ? "again" : "again first", type: "button", onclick }, label);
    });
    const message = make("div", { class: "empty" }, make("h3", {}, heading), make("p", {}, sentence), ...buttons);
    this.place.replaceChildren(message);
    this.root.classList.remove("locked");
    this.root.classList.add("nothing");
    this.marks.textContent = "";
    this.#able(false);
  }

  // What Enter does where there is no screen: the first way on.
  goOn() {
    this.place.querySelector("button.first")?.click();
  }

  showWaiting() {
    this.screen = null;
    this.root.classList.remove("locked", "nothing");
    this.place.replaceChildren(make("div", { class: "skeleton", role: "img", "aria-label": "The screen is loading" }));
    this.#able(false);
  }

  // How many of the screen will be confirmed, and what becomes of the others.
  showMarks() {
    if (!this.screen) return;
    const { tiles, classId } = this.screen;
    const marks = tiles.map(({ mark }) => mark).filter(Boolean);
    const rest = tiles.length - marks.length;
    const name = this.classes.nameOf(classId) ?? "";
    const label = rest ? `Confirm ${number.format(rest)} as “${name}”` : "On with the next";
    this.confirm.replaceChildren(make("span", {}, label), cap("Enter"));
    const counted = new Map();
    for (const mark of marks) {
      const { long } = this.#wordsFor(mark);
      counted.set(long, (counted.get(long) ?? 0) + 1);
    }
    const parts = [...counted].map(([words, count]) => `${number.format(count)} ${words.toLowerCase().replace(/\.$/, "")}`);
    this.marks.textContent = parts.length
      ? `Marked: ${parts.join(", ")}.`
      : "Mark what does not belong: click, drag over several, or arrows and Space.";
    this.#able(!this.root.classList.contains("locked"));
  }

  showLast(sentence, undoable) {
    this.last.textContent = sentence;
    this.undo.setAttribute("aria-disabled", String(!undoable));
  }

  // The classes that have any items, with how many.
  #menu({ classId, believed, tiles }) {
    const open = new Map(believed.map(({ class_id, items }) => [class_id, items]));
    const options = this.classes.all.map(({ id, name }) => {
      const count = open.get(id) ?? 0;
      const option = make("option", { value: id }, `${name}  (${number.format(count)})`);
      option.disabled = !count && id !== classId;
      return option;
    });
    this.believed.replaceChildren(...options);
    this.believed.value = String(classId);
    const more = Math.max(0, (open.get(classId) ?? 0) - tiles.length);
    this.ahead.textContent = `Most doubtful first · ${more ? `about ${number.format(more)} more` : "the last of them"}`;
  }

  #able(on) {
    const set = (button) => button.setAttribute("aria-disabled", String(!on));
    for (const button of [this.confirm, ...this.deeds.children]) set(button);
    this.classes.enable(on);
  }

  // The words for a mark: on the tile, and in full.
  #wordsFor({ verdict, class_id }) {
    const believed = this.classes.nameOf(this.screen?.classId) ?? "this";
    if (verdict === "out") return { short: `not ${believed}`, long: "Left for later." };
    if (verdict === "skip") return { short: "skip", long: "Skipped." };
    if (verdict === "unsure") return { short: "unsure", long: "Unsure." };
    const { name = "?", colour } = this.classes.all.find(({ id }) => id === class_id) ?? {};
    return { short: name, long: `As “${name}”.`, colour };
  }
}

// What to do for a key that goes down, or null: then it is nobody's here.
function strokeFor(event, grid) {
  const { tiles, classes } = grid.board;
  const once = (action) => (event.repeat ? () => {} : action);
  if (event.ctrlKey || event.metaKey || event.altKey) {
    const undo = !event.altKey && !event.shiftKey && event.key.toLowerCase() === "z";
    return undo ? once(() => grid.undo()) : null;
  }
  if (event.key === "Backspace") return once(() => grid.undo());
  if (event.key === "Enter") return once(() => (grid.isOpen ? grid.confirm(event) : grid.board.goOn()));
  if (!grid.isOpen) return null;
  if (/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return () => tiles.walk(event.key, event.shiftKey);
  if (event.key === " ") return once(() => tiles.toggle());
  if (event.key === "/") return classes.many ? once(() => classes.search.focus()) : null;
  // Where digits need Shift (a French keyboard), the key in the digit's place will do.
  const digit = event.shiftKey ? null : /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  const classId = classes.of(event.key.toLowerCase()) ?? classes.of(digit);
  if (classId !== undefined) return once(() => grid.give({ verdict: "label", class_id: classId }));
  const deed = DEEDS.find(({ sign }) => sign === event.key.toLowerCase());
  return deed ? once(() => grid.give({ verdict: deed.name })) : null;
}
