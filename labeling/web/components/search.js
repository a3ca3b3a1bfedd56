// Finding a class among many: a box to type in and the classes that fit, best first, before any word the recent ones.

const MOST_FOUND = 60;

class Search {
  #on;
  #classes = [];
  #recent = [];
  #found = [];
  #active = 0;

  // on: { choose(class id, event), toggled(open) }
  constructor(on) {
    this.#on = on;
    this.list = make("div", { class: "found", role: "listbox", id: "found", "aria-label": "Classes found", hidden: true });
    this.input = make("input", {
      class: "search",
      type: "text",
      role: "combobox",
      placeholder: "Find a class   /",
      "aria-label": "Find a class",
      "aria-controls": "found",
      "aria-expanded": "false",
      "aria-autocomplete": "list",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#show(),
      onfocus: () => this.#open(true),
      onblur: () => this.#open(false),
      onkeydown: (event) => this.#key(event),
    });
  }

  // Classes to find, and the ids of those chosen lately, the last one first. What is typed stays.
  show(classes, recent) {
    this.#classes = classes;
    this.#recent = recent;
    if (!this.list.hidden) this.#show();
  }

  focus() {
    this.input.focus();
  }

  #open(open) {
    if (!open) this.input.value = "";
    this.#on.toggled(open);
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (open) this.#show();
    else this.input.removeAttribute("aria-activedescendant");
  }

  #show() {
    this.#found = findClasses(this.#classes, this.input.value, this.#recent).slice(0, MOST_FOUND);
    const options = this.#found.map(({ id, name, key, colour, description }, at) => {
      const option = make("div", { class: "option", role: "option", id: `found-${at}` }, swatch(colour));
      const about = description ? [make("span", { class: "about" }, description)] : [];
      option.append(make("span", { class: "name" }, name), ...about, cap(key));
      option.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the box
      option.addEventListener("click", (event) => this.#choose(id, event));
      return option;
    });
    const none = make("div", { class: "none" }, "No class is called that.");
    this.list.replaceChildren(...(options.length ? options : [none]));
    this.#activate(0);
  }

  #activate(at) {
    this.#active = Math.max(0, Math.min(at, this.#found.length - 1));
    const options = this.list.querySelectorAll(".option");
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === this.#active)));
    options[this.#active]?.scrollIntoView({ block: "nearest" });
    if (options.length) this.input.setAttribute("aria-activedescendant", `found-${this.#active}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) this.#activate(this.#active + step);
    else if (event.key === "Escape") this.input.blur();
    else if (event.key === "Enter") {
      const chosen = this.#found[this.#active];
      if (chosen && !event.repeat) this.#choose(chosen.id, event);
    } else return;
    event.preventDefault();
  }

  #choose(id, event) {
    this.input.blur();
    this.#on.choose(id, event);
  }
}

// The classes that fit what was typed, best first: those that begin so, those with a word that does, whose words all
// do in any order, whose first letters these are, that hold it, that have its letters in this order. Of equals, those
// chosen lately come first, then the order of the project.
function findClasses(classes, typed, recent) {
  const query = folded(typed);
  const lately = (id) => (recent.includes(id) ? recent.indexOf(id) : recent.length);
  return classes
    .map((each, at) => ({ each, at, rank: rankOf(folded(each.name), query), late: lately(each.id) }))
    .filter(({ rank }) => rank !== null)
    .sort((a, b) => a.rank - b.rank || a.late - b.late || a.at - b.at)
    .map(({ each }) => each);
}

// How well a name fits, 0 best; null where it does not.
function rankOf(name, query) {
  if (name.startsWith(query)) return 0;
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  if (words.some((word) => word.startsWith(query))) return 1;
  const parts = query.split(/\s+/u);
  if (parts.every((part) => words.some((word) => word.startsWith(part)))) return 2;
  if (words.map((word) => word[0]).join("").startsWith(query)) return 3;
  if (name.includes(query)) return 4;
  let at = -1;
  const inOrder = [...query.replace(/\s+/gu, "")].every((letter) => (at = name.indexOf(letter, at + 1)) >= 0);
  return inOrder ? 5 : null;
}

// Letters without case and accents, so that "cafe" finds “Café”.
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();
}
