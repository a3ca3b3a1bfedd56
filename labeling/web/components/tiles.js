// The tiles of a screen: a grid to walk by arrows, and to mark by click, by dragging over several, or by key.

const WORDS = 280; // characters of a text on a tile
const CELLS = 4; // columns of a row on a tile
const LEAST_TILE = 56; // px
const GAP = 6; // px, as in grid.css

class Tiles {
  #on;
  #tiles = [];
  #nodes = []; // of the tiles, in their order
  #at = 0; // the one that arrows move from
  #picked = new Set(); // those that were marked or walked to last: a class key is for them
  #painting = null; // while dragging: whether tiles become marked
  #pressed = false; // a pointer has done already what its click would do
  #columns = 1;
  #describe;

  // on: { marked(), like(claim) }; describe(mark) -> the words for a mark
  constructor({ on, describe }) {
    this.#on = on;
    this.#describe = describe;
    this.root = make("div", { class: "tiles", role: "grid", "aria-multiselectable": "true" });
    this.root.addEventListener("pointerdown", (event) => this.#down(event));
    this.root.addEventListener("pointerover", (event) => this.#over(event));
    this.root.addEventListener("click", (event) => this.#click(event));
    this.root.addEventListener("focusin", (event) => this.#focused(event));
    new ResizeObserver(() => this.#fit()).observe(this.root);
  }

  // `at`: the tile that the arrows start from.
  show(screen, label, at = 0) {
    this.#tiles = screen?.tiles ?? [];
    this.#nodes = this.#tiles.map((tile) => this.#node(tile));
    this.#at = Math.max(0, Math.min(at, this.#tiles.length - 1));
    this.#picked = new Set();
    this.root.setAttribute("aria-label", label);
    this.#columns = 0;
    this.#fit();
    this.redraw();
  }

  // The marks in words that may have changed.
  redraw() {
    this.#tiles.forEach((_, at) => this.#draw(at));
  }

  // Puts the focus on a tile, unless somebody is busy elsewhere on the page.
  takeFocus() {
    const inside = this.root.getRootNode().activeElement;
    const free = inside ? !inside.matches("input") : document.activeElement === document.body;
    if (free && this.#nodes.length) this.#nodes[this.#at].focus({ preventScroll: true });
  }

  // Gives those picked an answer of their own; null: they are to be confirmed with the rest.
  mark(mark) {
    const picked = this.#picked.size ? this.#picked : new Set([this.#at]);
    for (const at of picked) this.#set(at, mark);
    this.#on.marked();
  }

  // Gives an answer to all that are marked and have none; false: there are none.
  fill(mark) {
    const open = [...this.#tiles.keys()].filter((at) => {
      const { mark: given, broken } = this.#tiles[at];
      return given?.verdict === "out" && !broken;
    });
    for (const at of open) this.#set(at, mark);
    if (open.length) this.#on.marked();
    return open.length > 0;
  }

  // Looks for others like the tile that the arrows are on.
  like() {
    const tile = this.#tiles[this.#at];
    if (tile) this.#on.like(tile.claim);
  }

  toggle() {
    this.#pick(this.#at);
    this.#set(this.#at, this.#tiles[this.#at]?.mark ? null : { verdict: "out" });
    this.#on.marked();
  }

  // By an arrow, Home or End; `marking` marks where it comes from and where it arrives.
  walk(key, marking) {
    const last = this.#tiles.length - 1;
    const across = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns };
    const to = key === "Home" ? 0 : key === "End" ? last : this.#at + across[key];
    if (last < 0 || to < 0 || to > last) return;
    const from = this.#at;
    this.#at = to;
    if (marking) {
      for (const at of [from, to]) {
        this.#picked.add(at);
        if (!this.#tiles[at].mark) this.#set(at, { verdict: "out" });
      }
      this.#on.marked();
    } else {
      this.#pick(to);
    }
    this.#nodes[to].focus();
  }

  #node(tile) {
    const node = make("div", { class: "tile", role: "gridcell", tabindex: "-1", "data-item": tile.claim.item.id });
    node.append(...face(tile), make("span", { class: "verdict", "aria-hidden": "true" }));
    const like = { class: "like", type: "button", tabindex: "-1", title: "Find like this   *" };
    const label = `Find like ${tile.claim.item.external_id}`;
    node.append(make("button", { ...like, "aria-label": label, onclick: () => this.#on.like(tile.claim) }, "≈"));
    node.title = hint(tile.claim.item);
    return node;
  }

  // As many columns as let the whole screen be seen without scrolling, where tiles do not get too small.
  #fit() {
    const width = this.root.clientWidth;
    if (!width || !this.#nodes.length) return;
    const pictures = this.#tiles.every(({ claim }) => claim.media_url && !claim.item.text);
    const height = Math.max(320, window.innerHeight - (width < 600 ? 330 : 250));
    const columns = pictures
      ? columnsFor(this.#nodes.length, width, height)
      : Math.max(1, Math.min(6, Math.floor(width / 190)));
    this.root.classList.toggle("pictures", pictures);
    if (columns === this.#columns) return;
    this.#columns = columns;
    this.root.style.setProperty("--columns", columns);
    const held = this.root.contains(this.root.getRootNode().activeElement);
    const rows = [];
    for (let at = 0; at < this.#nodes.length; at += columns) {
      rows.push(make("div", { class: "row", role: "row" }, ...this.#nodes.slice(at, at + columns)));
    }
    this.root.replaceChildren(...rows);
    if (held) this.#nodes[this.#at].focus({ preventScroll: true });
  }

  #set(at, mark) {
    const tile = this.#tiles[at];
    if (!tile) return;
    tile.mark = tile.broken && !mark ? { verdict: "out" } : mark; // nobody can confirm what was not to be seen
    this.#draw(at);
  }

  #draw(at) {
    const { claim, mark } = this.#tiles[at];
    const node = this.#nodes[at];
    const words = mark ? this.#describe(mark) : null;
    node.classList.toggle("marked", Boolean(mark));
    node.classList.toggle("picked", this.#picked.has(at));
    node.setAttribute("aria-selected", String(Boolean(mark)));
    node.tabIndex = at === this.#at ? 0 : -1;
    node.querySelector(".verdict").replaceChildren(...(words ? [swatch(words.colour), words.short] : []));
    const sure = claim.suggestion ? `, ${percent(claim.suggestion.confidence)} sure` : "";
    node.setAttribute("aria-label", `${hint(claim.item)}${sure}${words ? `. ${words.long}` : ""}`);
  }

  #pick(at) {
    this.#picked = new Set([at]);
    this.redraw();
  }

  // -1: of none, or of what does something else on it.
  #placeOf(event) {
    return event.target.closest?.(".like") ? -1 : this.#nodes.indexOf(event.target.closest?.(".tile"));
  }

  // Fingers scroll; only their taps mark.
  #down(event) {
    const at = this.#placeOf(event);
    if (at < 0 || event.button !== 0 || event.pointerType === "touch") return;
    event.preventDefault();
    this.#pressed = true;
    this.#painting = !this.#tiles[at].mark;
    this.#at = at;
    this.#pick(at);
    this.#set(at, this.#painting ? { verdict: "out" } : null);
    this.#nodes[at].focus({ preventScroll: true, focusVisible: false });
    const up = () => {
      this.#painting = null;
      setTimeout(() => (this.#pressed = false));
      this.#on.marked();
    };
    window.addEventListener("pointerup", up, { once: true });
    this.#on.marked();
  }

  #over(event) {
    const at = this.#placeOf(event);
    if (at < 0 || this.#painting === null || this.#picked.has(at)) return;
    this.#picked.add(at);
    this.#set(at, this.#painting ? { verdict: "out" } : null);
    this.#on.marked();
  }

  #click(event) {
    const at = this.#placeOf(event);
    if (at < 0 || this.#pressed) return;
    this.#at = at;
    this.toggle();
  }

  #focused(event) {
    const at = this.#placeOf(event);
    if (at < 0 || at === this.#at) return;
    this.#at = at;
    this.#pick(at);
  }
}

function columnsFor(count, width, height) {
  const fits = (columns) => {
    const side = (width - GAP * (columns - 1)) / columns;
    return Math.ceil(count / columns) * (side + GAP) <= height;
  };
  const most = Math.max(1, Math.floor((width + GAP) / (LEAST_TILE + GAP)));
  for (let columns = 3; columns < most; columns++) if (fits(columns)) return columns;
  return most;
}

function face({ claim, image, broken }) {
  const { text, fields, external_id: name } = claim.item;
  if (broken) return [make("span", { class: "words" }, "This picture could not be loaded.")];
  if (image) return [image];
  if (text) {
    const end = text.length > WORDS ? cut(text, 0, WORDS) : text.length;
    const words = marked(text.slice(0, end), wordsOf(claim.keywords ?? []));
    return [make("span", { class: "words", dir: "auto" }, ...words, end < text.length ? "…" : "")];
  }
  const cells = Object.entries(fields ?? {}).slice(0, CELLS).flatMap(([column, value]) => {
    return [make("span", { class: "column" }, column), make("span", { class: "cell", dir: "auto" }, plain(value).slice(0, 60))];
  });
  return [make("span", { class: "card" }, ...(cells.length ? cells : [name]))];
}

// What a tile is about, in a line: for who points at it, and for who hears it.
function hint({ text, fields, external_id: name }) {
  if (text) return text.length > 1000 ? `${text.slice(0, cut(text, 0, 1000))}…` : text;
  const cells = Object.entries(fields ?? {}).map(([column, value]) => `${column}: ${plain(value).slice(0, 200)}`);
  return cells.length ? cells.slice(0, 12).join("\n") : name;
}
