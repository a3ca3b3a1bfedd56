// What review looks like: the lists above, the item and its answers on the left, the classes that contend on the right.

// `letter` where no class has it, else `sign`; both work.
const DEEDS = [
  { name: "unsure", label: "Cannot tell", letter: "u", sign: "↓", title: "Say that it cannot be told what it is" },
  { name: "later", label: "Later", letter: null, sign: "→", title: "Leave it for later" },
  { name: "gold", label: "Gold", letter: "g", sign: "*", title: "Check people by this item from now on" },
  { name: "comment", label: "Comment", letter: "c", sign: ".", title: "Write into the discussion of this item" },
  { name: "back", label: "Send back", letter: "b", sign: "←", title: "Ask those who answered to look again" },
  { name: "undo", label: "Undo", letter: null, sign: "⌫", title: "Take the last decision back" },
];
const REVIEW_KEYS = {
  Decide: [
    ["Enter", "Take the leading answer"],
    ["↓ u", "It cannot be told"],
    ["→", "Leave it for later"],
    ["⌫", "Undo the last decision (also Ctrl Z)"],
    ["* g", "Keep as gold: people are checked by it"],
    ["/", "Find a class, where there are many"],
  ],
  Discuss: [
    [". c", "Write a comment"],
    ["← b", "Send it back to those who answered"],
    [";", "Guidelines and classes, open until you close them"],
    ["?", "Keys, guidelines and classes"],
  ],
  "Look closer": [
    ["Space", "Zoom a picture; read on in a text"],
    ["+ −", "Larger and smaller"],
    ["[ ]", "Darker and brighter"],
    [",", "Show everything: the whole text, all columns"],
    ["Esc", "As it was"],
  ],
};
const TILE = 64; // pixels of the pictures in the list
const GUIDE_OPEN = "askwise:guide"; // where the browser remembers it, as beside the labeller
const MEANWHILE =
  "Somebody changed the guidelines meanwhile, and their text stands above yours: take over what is right, then save again.";
const WAITING_FOR = {
  all: "Items come here when answers disagree, when somebody is unsure or flags one, and when a label looks wrong.",
  disagreement: "Items come here when people who answered them chose different classes.",
  unsure: "Items come here that somebody could not tell.",
  flagged: "Items come here that somebody flagged for a second look.",
  likely_error: "Items come here whose label is probably wrong, by all that people and the model say.",
  against: "Items are listed here of which people say one class and the model, which has not learned them, another.",
  sent_back: "Items are listed here while people look at them again.",
  decided: "What experts decide is listed here, to be changed or taken back.",
};

class ReviewView {
  #on;
  #letters = 1;
  #chips = new Map(); // name of a filter -> { chip, count }
  #deeds = new Map(); // name -> button
  #project = { classes: [], guidelines: "" };
  #schema = 0; // counts the projects shown
  #shown = null; // the case on screen, and what was told of it: { item, told }

  // on: { decide(class id, event), deed(name, event), open(filter), goTo(case), retry(), say(text, answers),
  //   guided(guidelines, schema version), takeBack(case) }
  constructor(root, { api, project, on }) {
    this.#on = on;
    this.status = new Status();
    this.filters = make("div", { class: "filters", role: "group", "aria-label": "What to review" });
    for (const { name, label, apart } of FILTERS) {
      const count = make("span", { class: "number" });
      const attributes = { class: apart ? "chip apart" : "chip", type: "button", "data-filter": name };
      const chip = make("button", { ...attributes, onclick: () => on.open(name) }, label, count);
      this.#chips.set(name, { chip, count });
      this.filters.append(chip);
    }
    this.list = make("nav", { class: "list", "aria-label": "Items of this list" });
    this.frame = make("div", { class: "frame", tabindex: "0", role: "group", "aria-label": "The item itself" });
    this.frame.addEventListener("click", () => this.settle()); // something was unfolded
    new ResizeObserver(() => this.settle()).observe(this.frame);
    this.viewer = new Viewer(this.frame, () => this.settle());
    this.caption = make("div", { class: "caption" });
    const stage = make("section", { class: "stage", "aria-label": "Item to decide on" });
    stage.append(this.frame, this.viewer.tools, this.caption);
    this.opinions = make("ul", { class: "opinions" });
    const answers = make("section", { class: "answers", "aria-label": "Answers" });
    answers.append(make("h3", {}, "Answers"), this.opinions);

    this.why = make("p", { class: "why-waiting" });
    this.present = make("p", { class: "present" });
    this.contenders = make("ul", { class: "contenders", "aria-label": "Classes that contend" });
    this.classes = new Classes({ answer: (id, event) => on.decide(id, event), find: () => {} });
    this.deeds = make("div", { class: "commands", role: "group", "aria-label": "Other decisions" });
    for (const { name, label, title } of DEEDS) {
      const attributes = { class: "command", type: "button", title, "data-command": name };
      const button = make("button", attributes, cap(""), make("span", {}, label));
      button.addEventListener("click", (event) => on.deed(name, event));
      this.#deeds.set(name, button);
      this.deeds.append(button);
    }
    this.takeBack = make("button", { class: "again take-back", type: "button" }, "Undo this decision");
    this.talk = new Talk({
      say: (text, answers) => on.say(text, answers),
      closed: () => this.frame.focus({ preventScroll: true }),
      again: (returns) => on.deed(returns ? "back" : "comment"),
    });
    const media = (item) => `${api}/items/${item}/media`;
    this.guide = new Guide({ url: `${api}/projects/${project}`, media, saved: on.guided });
    this.help = new Help(media, REVIEW_KEYS);
    const help = make("button", { class: "ask", type: "button", "aria-keyshortcuts": "?" }, "Keys and guidelines");
    help.addEventListener("click", () => this.toggleHelp());
    help.append(cap("?"));
    const panel = make(
      "section",
      { class: "panel", "aria-label": "Your decision" },
      make("div", { class: "case" }, this.why, this.present, this.takeBack),
      this.contenders,
      this.classes.search.input,
      this.classes.search.list,
      this.classes.grid,
      this.deeds,
      this.status.trouble,
      this.status.notice,
      this.talk.root,
      this.guide.root,
      help,
    );
    this.work = make("div", { class: "work" }, make("div", { class: "left" }, stage, answers), panel);
    this.nothing = make("div", { class: "nothing", hidden: true });
    const top = make("header", { class: "top" }, this.filters, make("div", { class: "facts" }, this.status.saving));
    const { message, speech } = this.status;
    this.root = make("div", { class: "askwise review" }, top, this.list, message, this.nothing, this.work, speech);
    this.root.append(this.help.dialog);
    // A click must not leave the focus on a button, or the next Enter would press it again.
    this.root.addEventListener("mousedown", (event) => event.target.closest("button") && event.preventDefault());
    root.append(this.root);
  }

  showProject({ classes, guidelines }) {
    this.classes.show(classes, []);
    this.#project = { classes: this.classes.all, guidelines };
    this.#schema += 1;
    this.guide.show(this.#project);
    for (const { name, letter, sign } of DEEDS) {
      const free = letter !== null && this.classes.of(letter) === undefined;
      const button = this.#deeds.get(name);
      button.querySelector("kbd").textContent = free ? letter : sign;
      button.classList.toggle("by-sign", !free);
      button.setAttribute("aria-keyshortcuts", [free ? letter : null, SIGNS[sign] ?? sign].filter(Boolean).join(" "));
    }
    if (this.help.isOpen) this.help.show(this.#project);
  }

  showList(docket) {
    for (const filter of FILTERS) {
      const { chip, count } = this.#chips.get(filter.name);
      const many = docket.countOf(filter);
      count.textContent = many === null ? "" : number.format(many);
      chip.setAttribute("aria-pressed", String(filter === docket.filter));
      chip.classList.toggle("none", many === 0);
    }
    const shown = docket.cases;
    this.list.hidden = shown.length < 2;
    const known = new Map([...this.list.children].map((tile) => [tile.dataset.item, tile]));
    const tiles = shown.map((each) => known.get(String(each.item_id)) ?? this.#tile(each));
    // Moved one by one: a list that is made anew forgets where it was scrolled to.
    tiles.forEach((tile, at) => {
      const there = this.list.children[at] ?? null;
      if (there !== tile) this.list.insertBefore(tile, there);
    });
    while (this.list.children.length > tiles.length) this.list.lastChild.remove();
    tiles.forEach((tile, at) => {
      const current = at === docket.at;
      if (current === (tile.getAttribute("aria-current") === "true")) return;
      tile.setAttribute("aria-current", String(current));
      if (current) this.list.scrollTo({ left: tile.offsetLeft - this.list.clientWidth / 3 });
    });
  }

  // Somebody is typing what belongs to the case on screen.
  get isWriting() {
    return this.talk.isOpen || !this.classes.search.list.hidden;
  }

  // The case. `leading`: the class that Enter takes; `gold`: it is, or becomes, a gold item. What is on screen already
  // stays as it is, with its zoom and the focus on it.
  show(item, { gold, leading, contenders }) {
    const { ask, fetched, brought, text, fields, ...facts } = item;
    const told = JSON.stringify([facts, gold, leading, this.#schema]);
    const same = this.#shown?.item === item;
    if (same && this.#shown.told === told) return;
    this.#shown = { item, told };
    this.nothing.hidden = true;
    this.work.hidden = false;
    if (!same) this.showPicture(item);
    const held = this.root.getRootNode().activeElement;
    const within = this.work.contains(held);
    const nameOf = (id) => this.classes.nameOf(id) ?? "a class that is gone";
    const colourOf = (id) => this.classes.all.find((each) => each.id === id)?.colour;
    this.opinions.replaceChildren(...item.opinions.map((each) => opinionRow(each, nameOf, colourOf)));
    if (!item.opinions.length) this.opinions.append(make("li", { class: "none" }, "Nobody has answered yet."));
    this.why.replaceChildren(...whyItWaits(item));
    this.why.hidden = !item.causes.length && !item.why;
    this.present.replaceChildren(...presentLabel(item, nameOf, colourOf));
    this.takeBack.hidden = !item.decision?.mine;
    this.takeBack.onclick = () => this.#on.takeBack(item);
    const cards = contenders.map((each) => {
      const of = this.classes.all.find(({ id }) => id === each.classId);
      if (!of) return null;
      const choose = (id, event) => this.#on.decide(id, event);
      return contenderCard(each, { ...of, leads: each.classId === leading, choose });
    });
    this.contenders.replaceChildren(...cards.filter(Boolean));
    this.contenders.hidden = !this.contenders.children.length;
    this.classes.mark(leading, item.decision?.class_id ?? null);
    this.#deeds.get("unsure").classList.toggle("earlier", item.decision !== null && item.decision.class_id === null);
    this.showGold(gold);
    this.talk.show(item);
    this.#enable(true);
    if (within && (!held.isConnected || held.closest("[hidden]"))) this.#refocus(same ? held : null);
  }

  // Whoever works by keys stays at the item: on the class of the card that was `held`, where that still contends.
  #refocus(held) {
    const of = held?.closest(".contender")?.dataset.class;
    const card = of && this.contenders.querySelector(`[data-class="${of}"] .choose`);
    (card || this.frame).focus({ preventScroll: true });
  }

  showPicture(item) {
    this.frame.replaceChildren(...content(item.ask, [], () => this.#on.retry()));
    this.frame.scrollTo(0, 0);
    this.viewer.show(item.ask.image);
    this.caption.replaceChildren(make("span", { class: "external", title: item.external_id }, item.external_id));
  }

  showGold(gold) {
    this.#deeds.get("gold").setAttribute("aria-pressed", String(gold));
  }

  // Nothing to decide on: why, and what will come here.
  showNothing({ filter, isLoading, failure }, hint) {
    this.work.hidden = true;
    this.nothing.hidden = false;
    this.list.hidden = true;
    this.#shown = null;
    this.viewer.show(null);
    this.talk.leave();
    this.#enable(false);
    if (isLoading) return this.nothing.replaceChildren(skeleton());
    const look = make("button", { class: "again", type: "button", onclick: () => this.#on.retry() }, "Look again");
    const none = filter.apart ? "Nothing here yet" : "Nothing waits for you";
    const title = failure ? "Waiting for the server" : none;
    const sentence = failure ? `${failure.message} Askwise keeps trying.` : `${WAITING_FOR[filter.name]} ${hint}`;
    this.nothing.replaceChildren(make("div", { class: "empty" }, make("h3", {}, title), make("p", {}, sentence), look));
  }

  settle() {
    this.root.classList.toggle("zoomed-in", this.viewer.isZoomed);
    this.root.classList.toggle("scrolls", this.viewer.isZoomed || overflows(this.frame));
  }

  magnify(step) {
    if (!this.viewer.tools.hidden) return this.viewer.zoom(ZOOM_STEP ** step);
    this.#letters = Math.round(10 * Math.min(2.5, Math.max(0.7, this.#letters + step / 10))) / 10;
    this.frame.style.setProperty("--letters", this.#letters);
    this.settle();
  }

  unfold() {
    unfold(this.frame);
    this.settle();
  }

  toggleHelp() {
    this.help.toggle(this.#project);
  }

  pressed(classId) {
    this.classes.pressed(classId);
  }

  #tile(item) {
    const { item_id: id, external_id: name, media_url: url, text, fields } = item;
    const words = text ?? Object.values(fields ?? {}).slice(0, 2).map(plain).join(" · ");
    const picture = () => make("img", { src: thumbnailOf(url, TILE), alt: "", loading: "lazy" });
    const face = url ? picture() : make("span", {}, words.slice(0, 60));
    const tile = make("button", { class: "in-list", type: "button", "aria-label": name, title: name }, face);
    tile.dataset.item = id;
    tile.addEventListener("click", () => this.#on.goTo(item));
    return tile;
  }

  #enable(on) {
    this.classes.enable(on);
    for (const [name, button] of this.#deeds) button.setAttribute("aria-disabled", String(!on && name !== "undo"));
  }
}

const SIGNS = { "→": "ArrowRight", "↓": "ArrowDown", "←": "ArrowLeft", "⌫": "Backspace" };

// The guidelines, and the classes with how they look: folded out when asked for, and changed where they are read.
class Guide {
  #url;
  #media;
  #saved;
  #project = { classes: [], guidelines: "" };
  #opened = ""; // the text that is being changed

  // url: of the project; media: item id -> address of its picture; saved(guidelines, schema version)
  constructor({ url, media, saved }) {
    this.#url = url;
    this.#media = media;
    this.#saved = saved;
    this.words = make("p", { dir: "auto" });
    const attributes = { class: "note", rows: "7", maxlength: "20000", "aria-label": "Guidelines", dir: "auto" };
    this.input = make("textarea", attributes);
    this.state = make("span", { class: "state", role: "status" });
    this.edit = make("button", { class: "again", type: "button", onclick: () => this.#open(true) }, "Edit");
    const submit = make("button", { class: "again", type: "submit" }, "Save");
    const cancel = make("button", { class: "ask", type: "button", onclick: () => this.#open(false) }, "Cancel");
    const buttons = make("div", { class: "buttons" }, submit, cancel, this.state);
    this.form = make("form", { class: "write", hidden: true }, this.input, buttons);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.classes = make("ul", { class: "meanings" });
    const summary = make("summary", { "aria-keyshortcuts": ";" }, "Guidelines and classes ", cap(";"));
    this.root = make("details", { class: "guide" }, summary, this.words, this.edit, this.form, this.classes);
    this.root.open = attempt(() => localStorage.getItem(GUIDE_OPEN)) === "open";
    this.root.addEventListener("toggle", () => this.#folded());
  }

  // project: { guidelines, classes }
  show(project) {
    this.#project = project;
    this.#tell(project.guidelines);
    this.#fill();
  }

  toggle() {
    this.root.open = !this.root.open;
    if (this.root.open) this.root.scrollIntoView({ block: "nearest" });
  }

  #folded() {
    attempt(() => (this.root.open ? localStorage.setItem(GUIDE_OPEN, "open") : localStorage.removeItem(GUIDE_OPEN)));
    this.#fill();
  }

  // Pictures are not loaded for nobody.
  #fill() {
    this.classes.replaceChildren(...(this.root.open ? meanings(this.#project.classes, this.#media) : []));
  }

  #tell(guidelines) {
    this.words.textContent = guidelines || "There are none yet: say here what counts as what, and what to do in doubt.";
    this.words.classList.toggle("none", !guidelines);
  }

  #open(on) {
    this.form.hidden = !on;
    this.words.hidden = this.edit.hidden = on;
    this.state.textContent = "";
    if (!on) return this.input.blur(); // hidden, it would have the next key
    this.input.value = this.#opened = this.#project.guidelines;
    this.input.focus();
  }

  async #submit() {
    const text = this.input.value.trim();
    this.state.textContent = "Saving…";
    try {
      // The server takes whatever comes, so that what somebody else wrote would be gone unread.
      const { guidelines: now } = await lookUp(this.#url);
      if (now !== this.#opened && now !== text) return this.#collide(now);
      const { schema_version: version } = await call(`${this.#url}/guidelines`, { guidelines: text, before: now });
      this.#saved(text, version);
      this.#open(false);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.state.textContent = failure.message; // what was written stays
    }
  }

  #collide(now) {
    this.#opened = now;
    this.show({ ...this.#project, guidelines: now });
    this.words.hidden = false;
    this.state.textContent = MEANWHILE;
  }
}
