// The classes as buttons, each with its key and colour; with many of them, a search.

const SEARCH_FROM = 13; // classes; fewer are seen at a glance

class Classes {
  #on;
  #classes = [];
  #buttons = new Map(); // class id -> button
  #keys = new Map(); // key -> class id
  #marked = { suggested: null, earlier: null }; // class ids
  #enabled = false;

  // on: { answer(class id, event), find() }
  constructor(on) {
    this.#on = on;
    this.grid = make("div", { class: "classes", role: "group", "aria-label": "Classes" });
    this.search = new Search({
      choose: (id, event) => on.answer(id, event),
      toggled: (open) => {
        this.grid.hidden = open;
        if (open) on.find();
      },
    });
  }

  show(classes, recent) {
    this.#classes = withKeys(classes);
    this.#keys = new Map(this.#classes.filter(({ key }) => key !== null).map(({ key, id }) => [key, id]));
    this.#buttons = new Map(this.#classes.map((each) => [each.id, this.#button(each)]));
    this.grid.replaceChildren(...this.#buttons.values());
    this.grid.classList.toggle("short", classes.every((each) => each.name.length <= 4));
    this.search.input.hidden = !this.many;
    this.search.show(this.#classes, recent);
    const { suggested, earlier } = this.#marked;
    this.#marked = { suggested: null, earlier: null };
    this.mark(suggested, earlier);
  }

  get all() {
    return this.#classes;
  }

  get many() {
    return this.#classes.length >= SEARCH_FROM;
  }

  // Ids of those chosen lately, the last one first.
  recall(recent) {
    this.search.show(this.#classes, recent);
  }

  of(key) {
    return this.#keys.get(key);
  }

  nameOf(id) {
    return this.#classes.find((each) => each.id === id)?.name;
  }

  // Which one the model suggests and which one was the person's earlier answer: ids, or null.
  mark(suggested, earlier) {
    const before = this.#marked;
    this.#marked = { suggested, earlier };
    for (const id of new Set([before.suggested, before.earlier, suggested, earlier])) {
      const button = this.#buttons.get(id);
      if (!button) continue;
      button.classList.toggle("suggested", id === suggested);
      button.classList.toggle("earlier", id === earlier);
      button.querySelector(".mark").textContent = id === earlier ? "✓" : "";
      if (id === earlier) button.setAttribute("aria-description", "Your earlier answer");
      else button.removeAttribute("aria-description");
    }
  }

  // Not `disabled`: that would throw the focus of somebody who works by keyboard off the button.
  enable(on) {
    if (on === this.#enabled) return;
    this.#enabled = on;
    for (const button of this.#buttons.values()) button.setAttribute("aria-disabled", String(!on));
  }

  pressed(id) {
    const button = this.#buttons.get(id);
    if (!button) return;
    button.classList.remove("pressed");
    requestAnimationFrame(() => button.classList.add("pressed"));
  }

  #button({ id, name, key, description, colour }) {
    const button = make(
      "button",
      { class: "class", type: "button", title: description || name, "aria-keyshortcuts": key, "data-class": id },
      cap(key),
      swatch(colour),
      make("span", { class: "name" }, name),
      make("span", { class: "mark", "aria-hidden": "true" }),
    );
    button.setAttribute("aria-disabled", String(!this.#enabled));
    button.addEventListener("click", (event) => this.#on.answer(id, event));
    return button;
  }
}

// Each class's own key; else the first free one by position: 1 to 9, 0, a to z.
function withKeys(classes) {
  const own = classes.map(({ key }) => (/^[\p{L}\p{N}]$/u.test(key ?? "") ? key.toLowerCase() : null));
  const spare = [..."1234567890abcdefghijklmnopqrstuvwxyz"].filter((key) => !own.includes(key));
  const first = (i) => (own.indexOf(own[i]) === i ? own[i] : null); // of two classes with one key, the first has it
  return classes.map((each, i) => ({ ...each, key: first(i) ?? spare.shift() ?? null }));
}

// What became of the classes, in one sentence; empty where nothing did that somebody who labels would notice.
function whatChanged(before, after) {
  const then = new Map(before.map((each) => [each.id, each]));
  const now = new Map(after.map((each) => [each.id, each]));
  const quoted = (classes) => classes.map(({ name }) => `“${name}”`).join(", ");
  const added = after.filter(({ id }) => !then.has(id));
  const gone = before.filter(({ id }) => !now.has(id));
  const renamed = after.filter(({ id, name }) => then.has(id) && then.get(id).name !== name);
  const parts = [
    added.length ? `${quoted(added)} came` : "",
    gone.length ? `${quoted(gone)} went` : "",
    ...renamed.map(({ id, name }) => `“${then.get(id).name}” is now “${name}”`),
  ].filter(Boolean);
  return parts.length ? `The classes were changed: ${parts.join("; ")}.` : "";
}
