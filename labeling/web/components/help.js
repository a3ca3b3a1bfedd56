// Every key, the guidelines, and the classes with what they mean and how they look.

const EXAMPLE_SIZE = 64; // pixels of the pictures that show a class

// What the keys do beside the classes' own, in groups: [key, what it does].
const KEYS = {
  Answer: [
    ["Enter", "Take the model's suggestion"],
    ["→", "Skip: leave the item to others"],
    ["↓", "Unsure: say that it cannot be told"],
    ["⌫", "Undo the last answer (also Ctrl Z)"],
    [".", "Write a note"],
    ["!", "Flag for a second look"],
    ["/", "Find a class, where there are many"],
    ["*", "Find items like this one, in the grid"],
    [";", "The guide beside the item, open until you close it"],
    ["?", "This page of help"],
  ],
  "Texts and rows": [
    ["Space", "Read on (with Shift: back); also Page Down and Page Up"],
    ["↑ ↓", "Scroll a text longer than its frame; Shift ↓ is unsure then, Shift → skips"],
    ["+ −", "Larger and smaller letters"],
    [",", "Show everything: the whole text, all columns"],
  ],
  Pictures: [
    ["Space", "Zoom: fit, 100 %, 200 %"],
    ["+ −", "Zoom in and out; the wheel and two fingers do too"],
    ["← ↑ → ↓", "Move a zoomed picture, as dragging does; Shift → skips, Shift ↓ is unsure"],
    ["[ ]", "Darker and brighter"],
    ["{ }", "Less and more contrast"],
    ["Esc", "As it was"],
  ],
};

class Help {
  #keys;

  // media: item id -> address of its picture; keys: as KEYS
  constructor(media, keys = KEYS) {
    this.media = media;
    this.#keys = keys;
    this.body = make("div", { class: "help-body" });
    const close = make("button", { class: "close", type: "button", "aria-label": "Close" }, "×");
    close.addEventListener("click", () => this.dialog.close());
    const head = make("header", {}, make("h2", { id: "help-title" }, "Keys and guidelines"), close);
    this.dialog = make("dialog", { class: "help", "aria-labelledby": "help-title", tabindex: "-1" }, head, this.body);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close()); // beside it
    this.dialog.addEventListener("keydown", (event) => event.key === "?" && this.dialog.close());
    this.dialog.addEventListener("close", () => this.body.replaceChildren());
  }

  get isOpen() {
    return this.dialog.open;
  }

  toggle(project) {
    if (this.isOpen) return this.dialog.close();
    this.show(project);
    this.dialog.showModal();
  }

  // project: { guidelines, classes }; shown anew while open when it changes.
  show({ guidelines, classes }) {
    const groups = Object.entries(this.#keys).map(([name, keys]) => make("div", {}, make("h4", {}, name), keyList(keys)));
    const sections = [section("Keys", make("div", { class: "key-groups" }, ...groups))];
    if (guidelines) sections.push(section("Guidelines", make("p", { class: "guidelines", dir: "auto" }, guidelines)));
    sections.push(section("Classes", make("ul", { class: "meanings" }, ...meanings(classes, this.media))));
    this.body.replaceChildren(...sections);
  }
}

// What the classes mean and how they look, as entries of a list. media: item id -> address of its picture.
function meanings(classes, media) {
  return classes.map(({ name, key, colour, description, examples = [] }) => {
    const pictures = examples.map((item) => {
      const src = `${media(item)}?size=${EXAMPLE_SIZE}`;
      const picture = make("img", { src, alt: `Example of ${name}`, loading: "lazy", width: EXAMPLE_SIZE });
      picture.addEventListener("error", () => picture.remove()); // an example may be a text
      return picture;
    });
    const about = description ? [make("span", { class: "about", dir: "auto" }, description)] : [];
    const title = make("span", { class: "title" }, cap(key), swatch(colour), make("strong", { dir: "auto" }, name));
    const shown = pictures.length ? [make("span", { class: "examples" }, ...pictures)] : [];
    return make("li", {}, title, ...about, ...shown);
  });
}

function section(heading, ...inside) {
  return make("section", {}, make("h3", {}, heading), ...inside);
}

function keyList(keys) {
  const rows = keys.map(([key, does]) => {
    const caps = key.split(" ").map((each) => make("kbd", {}, each));
    return make("div", {}, make("dt", {}, ...caps), make("dd", {}, does));
  });
  return make("dl", { class: "keys" }, ...rows);
}
