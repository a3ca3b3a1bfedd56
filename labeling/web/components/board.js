// What the grid looks like: the question above, the tiles, and beside them what to do with them.

const SCREEN_SIZES = [24, 40, 60];
const DEEDS = [
  { name: "out", label: "Not this", sign: "x", title: "Leave it for later" },
  { name: "skip", label: "Skip", sign: "-", title: "Leave it to others" },
  { name: "unsure", label: "Unsure", sign: ".", title: "Say that it cannot be told" },
];
const KEYS = [
  ["← ↑ → ↓", "walk over the tiles; with Shift, mark on the way"],
  ["Space", "mark a tile as not this, or take the mark back"],
  ["a class's key", "give the marked tile that class; of what was found, first say what all are"],
  ["x", "not this"],
  ["Enter", "confirm the rest"],
  ["*", "find items like the one that the arrows are on"],
  [":", "describe what you are looking for"],
  ["⌫", "take the last screen back"],
];

const LONGEST_LOOK = 120_000; // ms that count for one screen: the rest is a pause
const MOST_TILES = 200; // that searching on may bring to a screen

class Board {
  #on;
  #looks = []; // of the last screens: { answers, ms }

  // on: { confirm(event), undo(), give(mark), choose(class id), resize(count), recall(), find(aim), more(), back(),
  //   leave() }
  constructor(root, on) {
    this.#on = on;
    this.status = new Status();
    this.look = new Look({ find: (text) => on.find({ text }) });

    this.believed = make("select", { class: "choice", "aria-label": "The class of the screen" });
    this.believed.addEventListener("change", () => this.believed.value && on.choose(Number(this.believed.value)));
    this.ahead = make("span", { class: "ahead" });
    const sizes = SCREEN_SIZES.map((size) => make("option", { value: size }, `${size} a screen`));
    this.size = make("select", { class: "choice small", "aria-label": "Tiles on a screen" }, ...sizes);
    this.size.addEventListener("change", () => on.resize(Number(this.size.value)));
    this.lead = make("span", { class: "lead" });
    this.away = make("button", { class: "again away", type: "button", onclick: () => on.back() });
    this.question = make("div", { class: "question" }, this.lead, this.believed, this.ahead, this.away, this.size);

    const like = ({ item }) => on.find({ itemId: item.id, name: item.external_id });
    this.tiles = new Tiles({ on: { marked: () => this.showMarks(), like }, describe: (mark) => this.#wordsFor(mark) });
    this.more = make("button", { class: "again more", type: "button", onclick: () => on.more() }, "Show more");
    this.place = make("div", { class: "place" }, this.tiles.root);

    this.confirm = make("button", { class: "confirm", type: "button", "aria-keyshortcuts": "Enter" }, "Confirm");
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
    this.likeThis = make("button", { class: "ask", type: "button", "aria-keyshortcuts": "*", onclick: () => this.findLike() });
    this.likeThis.append("Find like this", cap("*"));
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
      this.likeThis,
      this.status.trouble,
      this.status.notice,
      make("details", { class: "guide" }, make("summary", {}, "Keys"), keys),
      this.guide,
    );
    const work = make("div", { class: "board" }, this.look.root, this.question, this.place, decide, panel);
    const { top, message, speech } = this.status;
    this.root = make("div", { class: "askwise grid" }, top, message, work, speech);
    // A click must not leave the focus on a button, or the next Enter would press it again.
    this.root.addEventListener("mousedown", (event) => event.target.closest("button") && event.preventDefault());
    root.append(this.root);
  }

  showProject({ classes, guidelines, recent, suggestions }) {
    this.away.textContent = suggestions ? "Back to the model's screens" : "Back";
    this.classes.show(classes, recent);
    this.classes.enable(true);
    this.guidelines.textContent = guidelines;
    this.guide.hidden = !guidelines;
  }

  // `locked`: a word on why it cannot be confirmed now; `at`: the tile to begin with.
  showScreen(screen, { locked = "", at = 0 } = {}) {
    this.screen = screen;
    const found = isFound(screen.aim);
    // First: tiles are laid out by the room there is.
    this.place.replaceChildren(this.tiles.root, ...(found && screen.tiles.length < MOST_TILES ? [this.more] : []));
    this.tiles.show(screen, found ? `Nearest to ${screen.like}` : `Believed to be ${this.classes.nameOf(screen.classId) ?? ""}`, at);
    this.root.classList.toggle("locked", Boolean(locked));
    this.root.classList.remove("nothing");
    this.#ask(screen);
    this.showMarks();
    if (locked) this.ahead.textContent = locked;
    else this.tiles.takeFocus();
  }

  // The class of the screen was chosen.
  showClass() {
    this.believed.value = String(this.screen.classId ?? "");
    this.tiles.redraw();
    this.showMarks();
  }

  findLike() {
    if (this.screen && !this.root.classList.contains("locked")) this.tiles.like();
  }

  // Answers a minute over the last screens, one more of which took so long.
  showPace(answers, ms) {
    this.#looks = [...this.#looks, { answers, ms: Math.min(LONGEST_LOOK, ms) }].slice(-5);
    const total = this.#looks.reduce((sum, look) => ({ answers: sum.answers + look.answers, ms: sum.ms + look.ms }));
    this.status.showSpeed(total.ms ? Math.round((60_000 * total.answers) / total.ms) : null);
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

  // Nothing of the class that was aimed at, or nothing else to be found: why, and what to do next.
  showDone({ modelVersion, believed, why }, aim) {
    const { choose, back, leave } = this.#on;
    const oneByOne = ["Label one by one", leave];
    if (isFound(aim)) return this.showEmpty("Nothing else is left", why, ["Back", back], oneByOne);
    if (modelVersion === null) {
      const sentence = `${why} Or find some: describe them above, or press * on one of them while labeling one by one.`;
      return this.showEmpty("The model has nothing to say yet", sentence, oneByOne);
    }
    const others = believed.filter(({ class_id }) => class_id !== aim.classId).sort((a, b) => b.items - a.items);
    const best = others.find(({ class_id }) => this.classes.nameOf(class_id) !== undefined);
    const name = this.classes.nameOf(aim.classId);
    if (aim.classId !== null && best) {
      const on = `Go on with “${this.classes.nameOf(best.class_id)}” (${number.format(best.items)})`;
      const sentence = `No other item that is open to you looks like “${name}” now.`;
      return this.showEmpty(`“${name}” is done`, sentence, [on, () => choose(best.class_id)], oneByOne);
    }
    const sentence = "No item that is open to you is left for a screen. What was left out is asked one by one.";
    this.showEmpty("All screens are done", sentence, oneByOne, ["Look again", back]);
  }

  // A project without screens of the model's.
  showHidden() {
    const sentence = "What the model believes is not shown in this project. Describe above what you are looking for.";
    this.showEmpty("Find something", sentence, ["Label one by one", this.#on.leave]);
  }

  // In words: what became of a screen.
  reportOf(screen) {
    const { classId, tiles } = screen;
    const answers = tiles.filter((tile) => answerOf(tile, screen)).length;
    const out = tiles.length - answers;
    const marked = tiles.filter((tile) => tile.mark && answerOf(tile, screen)).length;
    const parts = classId === null ? [`Saved ${number.format(answers)}`] : [];
    if (classId !== null) parts.push(`Confirmed ${number.format(answers - marked)} as “${this.classes.nameOf(classId)}”`);
    if (classId !== null && marked) parts.push(`${number.format(marked)} answered otherwise`);
    if (out) parts.push(`${number.format(out)} left for later`);
    return `${parts.join(", ")}.`;
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
    const answers = tiles.filter((tile) => answerOf(tile, this.screen)).length;
    const some = answers ? `Save ${number.format(answers)}, leave ${number.format(tiles.length - answers)}` : "Choose what these are";
    const all = rest ? `Confirm ${number.format(rest)} as “${this.classes.nameOf(classId) ?? ""}”` : "On with the next";
    const label = classId === null ? some : all;
    this.confirm.replaceChildren(make("span", {}, label), cap("Enter"));
    const counted = new Map();
    for (const mark of marks) {
      const { long } = this.#wordsFor(mark);
      counted.set(long, (counted.get(long) ?? 0) + 1);
    }
    const parts = [...counted].map(([words, count]) => `${number.format(count)} ${words.toLowerCase().replace(/\.$/, "")}`);
    const hint = classId === null
      ? "What are these? A class's key says it of all; or mark some first, and it says it of them alone."
      : "Mark what does not belong: click, drag over several, or arrows and Space.";
    const unsaid = classId === null && marks.some(({ verdict }) => verdict === "out");
    const then = unsaid ? " A class's key says what they are." : "";
    this.marks.textContent = parts.length ? `Marked: ${parts.join(", ")}.${then}` : hint;
    this.#able(!this.root.classList.contains("locked"), classId !== null || answers > 0);
  }

  showLast(sentence, undoable) {
    this.last.textContent = sentence;
    this.undo.setAttribute("aria-disabled", String(!undoable));
  }

  // What is asked of the screen, and the classes to choose: of the model's screens those that have any, with how many.
  #ask({ aim, classId, believed, like, tiles }) {
    const found = isFound(aim);
    this.lead.textContent = found ? `Nearest to “${like}”. These are` : "The model believes these are";
    this.believed.setAttribute("aria-label", found ? "The class that these are" : "The class that the model believes these are");
    this.away.hidden = !found;
    if (found) {
      const options = this.classes.all.map(({ id, name }) => make("option", { value: id }, name));
      this.believed.replaceChildren(make("option", { value: "" }, "Choose a class"), ...options);
      this.believed.value = String(classId ?? "");
      this.ahead.textContent = "";
      return;
    }
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

  #able(on, confirmable = on) {
    const set = (button, may = on) => button.setAttribute("aria-disabled", String(!may));
    set(this.confirm, on && confirmable);
    for (const button of [...this.deeds.children, this.likeThis, this.more]) set(button);
    this.classes.enable(on);
  }

  // The words for a mark: on the tile, and in full.
  #wordsFor({ verdict, class_id }) {
    const believed = this.classes.nameOf(this.screen?.classId) ?? "this";
    if (verdict === "out" && this.screen?.classId === null) return { short: "?", long: "Without a class." };
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
  if (event.key === ":") return once(() => grid.board.look.input.focus());
  if (event.key === "Enter") return once(() => (grid.isOpen ? grid.confirm(event) : grid.board.goOn()));
  if (!grid.isOpen) return null;
  if (/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return () => tiles.walk(event.key, event.shiftKey);
  if (event.key === " ") return once(() => tiles.toggle());
  if (event.key === "*") return once(() => tiles.like());
  if (event.key === "/") return classes.many ? once(() => classes.search.focus()) : null;
  // Where digits need Shift (a French keyboard), the key in the digit's place will do.
  const digit = event.shiftKey ? null : /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  const classId = classes.of(event.key.toLowerCase()) ?? classes.of(digit);
  if (classId !== undefined) return once(() => grid.give({ verdict: "label", class_id: classId }));
  const deed = DEEDS.find(({ sign }) => sign === event.key.toLowerCase());
  return deed ? once(() => grid.give({ verdict: deed.name })) : null;
}
