// A closer look at a picture: zoom, pan, brightness, contrast. A zoomed picture is larger than its frame, which scrolls,
// so that wheel, touch, keys and a screen magnifier move it as they move anything else.

const ZOOM_STEP = 1.25;
const STOP = 0.25; // a step of brightness or contrast; a stop doubles it
const MOST_STOPS = 2;
const LARGEST = 16_384; // pixels of a zoomed side: browsers draw no more
const BLOCKS_FROM = 3; // times: from here on the pixels are shown as they are, and not smoothed

class Viewer {
  #frame;
  #changed;
  #image = null;
  #scale = null; // screen pixels for a pixel of the picture; null: it fits the frame
  #stops = { brightness: 0, contrast: 0 }; // 0: as it is
  #keep = false;
  #sliders = {};
  #drag = null;
  #pinch = null;

  // changed(): called when it zooms.
  constructor(frame, changed) {
    this.#frame = frame;
    this.#changed = changed;
    const button = (name, label, onclick, ...inside) =>
      make("button", { class: `tool ${name}`, type: "button", title: label, "aria-label": label, onclick }, ...inside);
    this.level = button("level", "Zoom: fit, 100 %, 200 %", () => this.cycle(), "Fit");
    this.kept = button("keep", "Keep brightness and contrast for the next pictures", () => this.keep(), "Keep");
    this.kept.setAttribute("aria-pressed", "false");
    this.tools = make(
      "div",
      { class: "tools", role: "group", "aria-label": "Look at the picture", hidden: true },
      make("span", { class: "tool-set" },
        button("", "Zoom out", () => this.zoom(1 / ZOOM_STEP), "−"),
        this.level,
        button("", "Zoom in", () => this.zoom(ZOOM_STEP), "+"),
      ),
      this.#slider("brightness", "Brightness", "[ ]"),
      this.#slider("contrast", "Contrast", "{ }"),
      make("span", { class: "tool-set" }, this.kept, button("reset", "Show it as it is", () => this.reset(), "Reset")),
    ); // prettier-ignore
    this.#listen();
  }

  // A picture to look at; null: there is none now.
  show(image) {
    this.#image = image;
    this.tools.hidden = !image;
    this.#drag = this.#pinch = null;
    if (!this.#keep) this.#stops = { brightness: 0, contrast: 0 };
    this.#scale = null;
    this.#frame.classList.remove("zoomed", "blocks");
    if (!image) return;
    this.#showTone();
    this.#fit();
  }

  get isZoomed() {
    return this.#scale !== null;
  }

  get isAltered() {
    return this.#image !== null && (this.isZoomed || this.#stops.brightness !== 0 || this.#stops.contrast !== 0);
  }

  zoom(times, at = null) {
    if (this.#image) this.#zoomTo((this.#scale ?? this.#fitting()) * times, at);
  }

  // Fit, then 100 %, then 200 %; what is drawn larger than that already: twice and four times as large.
  cycle(at = null) {
    if (!this.#image) return;
    const fit = this.#fitting();
    const stages = fit < 0.95 ? [1, 2] : [2 * fit, 4 * fit];
    const next = stages.find((scale) => scale > 1.01 * (this.#scale ?? fit));
    if (next) this.#zoomTo(next, at);
    else this.#toFit();
  }

  brighten(steps, name = "brightness") {
    if (!this.#image) return;
    this.#stops[name] = Math.min(MOST_STOPS, Math.max(-MOST_STOPS, this.#stops[name] + steps * STOP));
    this.#showTone();
  }

  keep() {
    this.#keep = !this.#keep;
    this.kept.setAttribute("aria-pressed", String(this.#keep));
  }

  reset() {
    if (!this.#image) return;
    this.#stops = { brightness: 0, contrast: 0 };
    this.#showTone();
    this.#toFit();
  }

  #slider(name, label, keys) {
    const range = { type: "range", min: -MOST_STOPS, max: MOST_STOPS, step: STOP, value: 0 };
    const slider = make("input", { ...range, "aria-label": label });
    slider.addEventListener("input", () => {
      this.#stops[name] = Number(slider.value);
      this.#showTone();
    });
    slider.addEventListener("pointerup", () => slider.blur()); // or it would keep the keys
    this.#sliders[name] = slider;
    return make("label", { class: "tool-set", title: `${label}: ${keys}` }, label, slider);
  }

  #showTone() {
    const { brightness, contrast } = this.#stops;
    const times = (stops) => (2 ** stops).toFixed(2);
    const changed = brightness !== 0 || contrast !== 0;
    this.#image.style.filter = changed ? `brightness(${times(brightness)}) contrast(${times(contrast)})` : "";
    for (const [name, slider] of Object.entries(this.#sliders)) {
      slider.value = this.#stops[name];
      slider.setAttribute("aria-valuetext", percent(2 ** this.#stops[name]));
    }
  }

  // Tiny pictures are drawn large, middling ones up to twice their size; all fit the frame.
  #drawn() {
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    return Math.max(2, 340 / Math.max(width, height));
  }

  #fitting() {
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    const { paddingLeft, paddingTop } = getComputedStyle(this.#frame);
    const across = this.#frame.offsetWidth - 2 * parseFloat(paddingLeft);
    const down = this.#frame.offsetHeight - 2 * parseFloat(paddingTop);
    return Math.min(this.#drawn(), across / width, down / height);
  }

  #fit() {
    const { naturalWidth: width, naturalHeight: height, style } = this.#image;
    this.#scale = null;
    this.#frame.classList.remove("zoomed", "blocks");
    style.width = `min(${width * this.#drawn()}px, 100cqw, ${width / height} * 100cqh)`;
    style.height = "auto";
    this.level.textContent = "Fit";
  }

  #toFit() {
    this.#fit();
    this.#changed();
  }

  // `at`: the point of the window that stays where it is; the middle of the frame where none is given.
  #zoomTo(scale, at) {
    const fit = this.#fitting();
    const { naturalWidth: width, naturalHeight: height, style } = this.#image;
    const before = this.#scale ?? fit;
    const after = Math.min(scale, Math.max(fit, LARGEST / Math.max(width, height)));
    if (after <= 1.01 * fit) return this.#toFit();
    const frame = this.#frame.getBoundingClientRect();
    const [x, y] = at ?? [frame.left + frame.width / 2, frame.top + frame.height / 2];
    const [left, top] = this.#middle();
    this.#scale = after;
    this.#frame.classList.add("zoomed");
    this.#frame.classList.toggle("blocks", after >= BLOCKS_FROM);
    style.width = `${width * after}px`;
    style.height = `${height * after}px`;
    const [newLeft, newTop] = this.#middle();
    const grown = after / before;
    this.#frame.scrollLeft += newLeft + (x - left) * grown - x;
    this.#frame.scrollTop += newTop + (y - top) * grown - y;
    this.level.textContent = percent(after);
    this.#changed();
  }

  #middle() {
    const { left, top, width, height } = this.#image.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  }

  #listen() {
    const frame = this.#frame;
    frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    frame.addEventListener("dblclick", (event) => this.#image && this.cycle([event.clientX, event.clientY]));
    frame.addEventListener("pointerdown", (event) => {
      if (!this.isZoomed || event.pointerType === "touch" || event.button !== 0) return;
      const { left, top } = frame.getBoundingClientRect();
      if (event.clientX - left > frame.clientWidth || event.clientY - top > frame.clientHeight) return; // a scrollbar
      event.preventDefault();
      frame.setPointerCapture(event.pointerId);
      this.#drag = [event.clientX, event.clientY];
    });
    frame.addEventListener("pointermove", (event) => {
      if (!this.#drag) return;
      const [x, y] = this.#drag;
      frame.scrollBy(x - event.clientX, y - event.clientY);
      this.#drag = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => (this.#drag = null));
    frame.addEventListener("touchmove", (event) => this.#touches(event), { passive: false });
    for (const end of ["touchend", "touchcancel"]) frame.addEventListener(end, () => (this.#pinch = null));
  }

  // A picture that fits already lets the page scroll on. Two fingers on a touchpad arrive as a wheel with Ctrl.
  #wheel(event) {
    if (!this.#image || (event.deltaY > 0 && !this.isZoomed && !event.ctrlKey)) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
    this.zoom(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), [event.clientX, event.clientY]);
  }

  #touches(event) {
    if (!this.#image || event.touches.length !== 2) return;
    event.preventDefault();
    const [a, b] = event.touches;
    const apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    if (this.#pinch) this.zoom(apart / this.#pinch, [(a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2]);
    this.#pinch = apart;
  }
}
