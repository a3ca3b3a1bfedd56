// What is to be told apart, beside the item for as long as the person wants it there: guidelines, and the classes with
// what they mean and how they look.

const GUIDE_OPEN = "askwise:guide"; // where the browser remembers it

class Guide {
  #media;
  #toggled;
  #project = { classes: [], guidelines: "" };

  // media: item id -> address of its picture; toggled(): it was opened or closed
  constructor(media, toggled) {
    this.#media = media;
    this.#toggled = toggled;
    this.body = make("div", { class: "guide-body" });
    const close = make("button", { class: "close", type: "button", "aria-label": "Close the guide" }, "×");
    close.addEventListener("click", () => this.toggle());
    const head = make("header", {}, make("h2", {}, "Guide"), close);
    const attributes = { class: "beside", role: "region", "aria-label": "Guide", tabindex: "0", hidden: true };
    this.root = make("div", attributes, head, this.body);
    this.button = make("button", { class: "ask", type: "button", "aria-keyshortcuts": ";", "aria-expanded": "false" });
    this.button.append("Guide beside the item", cap(";"));
    this.button.addEventListener("click", () => this.toggle());
    this.#set(attempt(() => localStorage.getItem(GUIDE_OPEN)) === "open");
  }

  get isOpen() {
    return !this.root.hidden;
  }

  toggle() {
    this.#set(!this.isOpen);
    attempt(() => (this.isOpen ? localStorage.setItem(GUIDE_OPEN, "open") : localStorage.removeItem(GUIDE_OPEN)));
    this.#toggled();
  }

  // project: { guidelines, classes }
  show(project) {
    this.#project = project;
    if (this.isOpen) this.#fill();
  }

  #set(open) {
    this.root.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.#fill();
    else this.body.replaceChildren(); // pictures are not loaded for nobody
  }

  #fill() {
    const { guidelines, classes } = this.#project;
    const told = guidelines ? [make("p", { class: "guidelines", dir: "auto" }, guidelines)] : [];
    this.body.replaceChildren(...told, make("ul", { class: "meanings" }, ...meanings(classes, this.#media)));
  }
}
