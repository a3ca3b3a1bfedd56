// The grid: a screen of items that the model believes are one class; mark the exceptions, confirm the rest.
// grid.py joins this file and those before it into one module.

const HEARTBEAT = 20_000; // ms between renewals of the leases
const HIDDEN_FOR = 300_000; // ms after which a hidden tab lets its leases lapse
const LOOK_AGAIN = 5_000; // ms until the server is asked again when it had nothing to give
const NEWS_AFTER = 2_500; // ms after a screen: by then there is mostly a new model
const FLUSH_FIRST = 2_000; // ms that answers of an earlier page may hold up the first screen
const UNDO_PATIENCE = 4_000; // ms that an undo may keep the next screen waiting
const LEAST_LOOK = 300; // ms: who confirms sooner has pressed twice
const LONGEST_LOOK = 120_000; // ms that count for one screen: the rest is a pause
const STEPS_BACK = 10;
const SETTINGS = "askwise:grid"; // in localStorage: { size }
const TAB = "askwise:grid-tab"; // in sessionStorage: the id that this tab's leases name

// A hidden or closing tab leaves its id and takes it back when it is seen again, so that a reload finds its own leases,
// and a duplicate of a visible tab does not take it for its own.
const client = attempt(() => sessionStorage.getItem(TAB)) ?? newId();
unpark();

function unpark() {
  attempt(() => sessionStorage.removeItem(TAB));
}

function park() {
  attempt(() => sessionStorage.setItem(TAB, client));
}

// Leases given back by a grid that has just gone: the next one claims after that.
let givenBack = Promise.resolve();

class Grid {
  #data;
  #leave;
  #chosen = null; // the class that the person chose or goes on with; null: whichever has the most
  #screen = null; // what is shown and may be confirmed
  #painted = null; // when it was really on screen; null: not yet
  #clock = 0; // the same, moved on by the time that the tab was hidden
  #turn = 0; // counts what was put on screen
  #number = 0; // of screens shown
  #presence;
  #past = []; // what can be taken back, oldest first: { batch, events, screen }
  #undos = new Map(); // batch -> step, while its undo is under way
  #undoing = null; // the batch among them that the screen waits for
  #busy = false; // a screen is being fetched to be shown
  #failure = null;
  #saved = 0;
  #looks = []; // of the last screens: { answers, ms }
  #recent = []; // classes given lately, the last one first
  #patience = new Patience();
  #timers = new Set();
  #beat;
  #undoTimer = null;
  #lookTimer = null;
  #listening = new AbortController();

  constructor(root, data, leave) {
    const { api, project } = data;
    this.#leave = leave;
    this.board = new Board(root, {
      confirm: (event) => this.confirm(event),
      undo: () => this.undo(),
      give: (mark) => this.give(mark),
      choose: (classId) => this.choose(classId),
      resize: (size) => this.resize(size),
      recall: () => this.board.classes.recall(this.#recent),
      retry: () => this.#open(),
      leave: () => leave(),
    });
    this.outbox = new Outbox({
      api,
      scope: `${data.person ?? ""}:${project.id}`,
      settled: (entry, result) => this.#settled(entry, result),
      changed: () => this.#showSaving(),
    });
    const size = attempt(() => JSON.parse(localStorage.getItem(SETTINGS)))?.size;
    const known = SCREEN_SIZES.includes(size) ? size : data.count;
    this.board.size.value = String(known);
    const on = { changed: () => this.#showLive() };
    this.screens = new Screens({ api, project: project.id, client, size: known, on });
    this.update(data);
    this.board.showWaiting();
    this.board.showLast("", false);
    leaveSwitch();
    this.#presence = new Presence(this.#listening.signal, {
      root: this.board.root,
      stroke: (event) => strokeFor(event, this),
      online: () => this.outbox.flush(),
      unsaved: () => this.outbox.entries.length > 0,
      hidden: park,
      seen: (away) => this.#seen(away),
      left: () => this.#away(),
      restored: () => this.#open(),
    });
    this.#begin();
  }

  update(data) {
    const same = this.#data && JSON.stringify(this.#data) === JSON.stringify(data);
    const stale = (data.schema_version ?? 0) < (this.#data?.schema_version ?? 0);
    if (!same && !stale) this.#take(data);
  }

  isOf(data) {
    const { api, project, person } = this.#data;
    return data.api === api && data.project.id === project.id && data.person === person;
  }

  stop() {
    this.#listening.abort();
    clearInterval(this.#beat);
    for (const timer of [...this.#timers, this.#undoTimer, this.#lookTimer]) clearTimeout(timer);
    this.outbox.farewell();
    this.outbox.stop();
    givenBack = this.screens.stop(this.#screen);
    this.board.root.remove();
  }

  // A screen counts as confirmed only if it was there when the key went down, and for longer than a double press takes.
  confirm(event) {
    const screen = this.#screen;
    if (!screen || this.#painted === null || event.timeStamp < this.#painted + LEAST_LOOK) return;
    const batch = newId();
    const answers = screen.tiles.filter(({ mark }) => mark?.verdict !== "out");
    const took = Math.max(0, event.timeStamp - this.#clock);
    const seconds = Math.round(took / Math.max(1, answers.length)) / 1000;
    const events = answers.map(({ claim, mark }) => {
      const { verdict, class_id = null } = mark ?? { verdict: "label", class_id: screen.classId };
      const { assignment_id, token } = claim;
      const event_id = newId();
      this.outbox.addAnswer({ event_id, assignment_id, token, verdict, class_id, seconds, batch });
      return event_id;
    });
    this.screens.setAside(screen.tiles.filter(({ mark }) => mark?.verdict === "out"));
    this.#past = [...this.#past, { batch, events, screen }].slice(-STEPS_BACK);
    this.#chosen = screen.classId;
    this.#countLook(answers.length, took);
    const said = this.#report(screen);
    this.board.showLast(said, true);
    this.#screen = null;
    this.#next(event.timeStamp, said);
    this.#later(NEWS_AFTER, () => this.#renew());
  }

  get isOpen() {
    return this.#screen !== null;
  }

  // Gives the marked tiles, or the one that the arrows are on, an answer of their own.
  give(mark) {
    if (!this.#screen) return;
    const confirmed = mark.verdict === "label" && mark.class_id === this.#screen.classId;
    if (mark.verdict === "label") {
      this.#recent = [mark.class_id, ...this.#recent.filter((id) => id !== mark.class_id)].slice(0, 8);
    }
    this.board.tiles.mark(confirmed ? null : mark);
  }

  choose(classId) {
    this.#chosen = classId;
    this.#drop();
    this.board.believed.blur();
    this.#open();
  }

  resize(size) {
    this.screens.size = size;
    attempt(() => localStorage.setItem(SETTINGS, JSON.stringify({ size })));
    this.board.size.blur();
    this.#chosen = this.#screen?.classId ?? this.#chosen;
    this.#drop();
    this.#open();
  }

  // Takes the last screen back whole and puts it before the person again, its marks as they were.
  undo() {
    if (this.#undoing) return;
    const step = this.#past.pop();
    if (!step) return this.board.status.say("There is no screen to take back.");
    this.board.showLast("", this.#past.length > 0);
    const shown = this.#screen;
    this.#screen = null;
    this.#turn += 1;
    if (shown) this.screens.putNext(shown);
    if (step.events.every((event) => this.outbox.withdraw(event))) {
      const answered = step.screen.tiles.filter(({ mark }) => mark?.verdict !== "out");
      return this.#again(step, answered.map(({ claim }) => claim));
    }
    this.#undoing = step.batch;
    this.#undos.set(step.batch, step);
    this.outbox.addUndo(step.batch, { event_id: newId(), client }, { whole: true });
    this.board.showScreen(step.screen, { locked: true });
    this.outbox.flush();
    this.#undoTimer = setTimeout(() => {
      this.#undoing = null;
      this.board.status.say("That screen will be taken back as soon as the server can be reached.");
      this.#next();
    }, UNDO_PATIENCE);
  }

  async #begin() {
    this.#beat = setInterval(() => this.#renew(), HEARTBEAT);
    this.outbox.adopt();
    const limit = new Promise((resolve) => setTimeout(resolve, FLUSH_FIRST));
    await Promise.race([Promise.all([this.outbox.flush(), givenBack]), limit]);
    this.#open();
  }

  // Fetches a screen to show.
  async #open() {
    if (this.#busy || this.#stopped) return;
    this.#busy = true;
    clearTimeout(this.#lookTimer);
    this.board.showWaiting();
    const turn = (this.#turn += 1);
    try {
      const screen = await this.screens.open(this.#chosen);
      this.#failure = null;
      this.#patience.reset();
      this.#busy = false;
      if (this.#stopped) return;
      this.#showLive();
      if (turn !== this.#turn) return this.screens.giveUp(screen);
      if (screen.tiles.length) this.#show(screen);
      else this.#idle(screen);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.#failure = failure;
      this.#busy = false;
      if (this.#stopped) return;
      const again = ["Look again", () => this.#open()];
      if (failure.final) return this.board.showEmpty("No screens here", failure.message, ["One by one", this.#leave], again);
      this.board.showEmpty("Waiting for the server", `${failure.message} Askwise keeps trying.`, again);
      this.#lookAgain(this.#patience.next());
    }
    this.#showSaving();
  }

  async #next(pressedAt = null, said = "") {
    const turn = (this.#turn += 1);
    if (!this.screens.next) this.board.showWaiting();
    const screen = await this.screens.take(this.#chosen);
    if (this.#stopped) return;
    if (turn !== this.#turn) return this.screens.giveUp(screen);
    if (screen?.tiles.length) return this.#show(screen, pressedAt, said);
    this.outbox.flush();
    this.#open();
  }

  #show(screen, pressedAt = null, said = "") {
    const turn = (this.#turn += 1);
    this.#screen = screen;
    this.#painted = null;
    this.board.showScreen(screen);
    const name = this.board.classes.nameOf(screen.classId);
    this.board.status.announce(`${said} ${screen.tiles.length} items that may be ${name}.`.trim());
    whenPainted((now) => {
      if (turn !== this.#turn) return;
      this.#painted = this.#clock = now;
      this.#number += 1;
      const items = screen.tiles.map(({ claim }) => claim.item.id);
      const detail = { number: this.#number, items, class_id: screen.classId, pressed: pressedAt, painted: now };
      document.dispatchEvent(new CustomEvent("askwise:screen", { detail }));
      this.outbox.flush();
      this.screens.prepare(screen.classId);
    });
  }

  // Nothing of this class: say why, and what to do next.
  #idle({ modelVersion, believed, why }) {
    const oneByOne = ["Label one by one", () => this.#leave()];
    if (modelVersion === null) {
      this.#lookAgain(LOOK_AGAIN);
      return this.board.showEmpty("The model has nothing to say yet", why, oneByOne);
    }
    const others = believed.filter(({ class_id }) => class_id !== this.#chosen).sort((a, b) => b.items - a.items);
    const best = others.find(({ class_id }) => this.board.classes.nameOf(class_id) !== undefined);
    const name = this.board.classes.nameOf(this.#chosen);
    if (this.#chosen !== null && best) {
      const on = `Go on with “${this.board.classes.nameOf(best.class_id)}” (${number.format(best.items)})`;
      const sentence = `No other item that is open to you looks like “${name}” now.`;
      return this.board.showEmpty(`“${name}” is done`, sentence, [on, () => this.choose(best.class_id)], oneByOne);
    }
    const again = ["Look again", () => this.choose(null)];
    const sentence = "No item that is open to you is left for a screen. What was left out is asked one by one.";
    this.board.showEmpty("All screens are done", sentence, oneByOne, again);
  }

  #lookAgain(wait) {
    clearTimeout(this.#lookTimer);
    this.#lookTimer = setTimeout(() => {
      if (document.visibilityState === "visible") this.#open();
      else this.#lookAgain(LOOK_AGAIN);
    }, wait);
  }

  #drop() {
    this.screens.giveUp(this.#screen);
    this.#screen = null;
    this.#turn += 1;
  }

  #settled(entry, result) {
    if (result.live) this.#news(result.live);
    if (entry.undoes) return this.#undone(entry, result);
    if (result.status === "refused") return this.board.status.say(`An answer was not taken. ${result.why}`);
    this.#saved += 1;
  }

  #undone(entry, result) {
    const step = this.#undos.get(entry.undoes);
    const awaited = this.#undoing === entry.undoes;
    this.#undos.delete(entry.undoes);
    if (awaited) {
      this.#undoing = null;
      clearTimeout(this.#undoTimer);
    }
    if (result.status === "refused") {
      this.board.status.say(`That screen could not be taken back. ${result.why}`);
      return awaited && this.#next();
    }
    if (!step || !result.claims?.length) return awaited && this.#next();
    this.#saved = Math.max(0, this.#saved - result.claims.length);
    if (result.why) this.board.status.say(result.why);
    this.#again(step, result.claims);
  }

  // The screen of a step, under its old or new leases.
  #again(step, claims) {
    if (this.#screen) this.screens.putNext(this.#screen);
    // Of what was left out, that of the last screen is still on lease; the rest comes again by itself.
    const out = this.screens.takeBack(step.screen.tiles.filter(({ mark }) => mark?.verdict === "out"));
    const again = new Map([...claims, ...out].map((claim) => [claim.item.id, claim]));
    const tiles = step.screen.tiles.filter(({ claim }) => again.has(claim.item.id));
    this.#chosen = step.screen.classId;
    const screen = { ...step.screen, tiles: tiles.map((tile) => ({ ...tile, claim: again.get(tile.claim.item.id) })) };
    this.#show(screen, null, "Your screen was taken back.");
    this.board.showLast("Taken back: nothing of this screen is saved.", this.#past.length > 0);
  }

  async #renew() {
    if (this.#presence.hiddenFor > HIDDEN_FOR) return;
    try {
      const lost = new Set(await this.screens.renew([...leasesOf(this.#screen), ...this.outbox.assignments]));
      if (this.#stopped) return;
      this.#lose(lost);
      this.#news(this.screens.live);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure; // the next beat tries again
    }
  }

  #lose(lost) {
    const kept = (tiles) => tiles.filter(({ claim }) => !lost.has(claim.assignment_id));
    const { next } = this.screens;
    if (next) next.tiles = kept(next.tiles);
    const before = this.#screen?.tiles.length;
    if (!before || kept(this.#screen.tiles).length === before) return;
    this.#screen.tiles = kept(this.#screen.tiles);
    const gone = before - this.#screen.tiles.length;
    this.board.status.say(`${gone} of these went to somebody else in the meantime.`);
    if (this.#screen.tiles.length) this.board.showScreen(this.#screen);
    else this.#next();
  }

  #news(live) {
    this.screens.hear(live);
    this.#showLive();
    if (this.#screen) this.screens.prepare(this.#screen.classId);
    if (live?.schema_version > this.#data.schema_version) this.#refreshClasses();
  }

  // Somebody changed the classes: keys and names follow, marks stay.
  async #refreshClasses() {
    const { api, project, schema_version: known } = this.#data;
    this.#data.schema_version = this.screens.live.schema_version; // asked for once
    try {
      const { classes, guidelines, live } = await lookUp(`${api}/projects/${project.id}`);
      if (this.#stopped) return;
      const sentence = whatChanged(this.#data.classes, classes);
      this.#take({ ...this.#data, classes, schema_version: live.schema_version, project: { ...project, guidelines } });
      if (sentence) this.board.status.say(sentence);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.#data.schema_version = known; // the next news tries again
    }
  }

  #take(data) {
    this.#data = { ...data };
    this.board.showProject({ classes: data.classes, guidelines: data.project.guidelines, recent: this.#recent });
    if (!this.#screen) return;
    if (this.board.classes.nameOf(this.#screen.classId) === undefined) return this.choose(null);
    this.board.showScreen(this.#screen);
  }

  #showLive() {
    this.board.status.showLive(this.screens.live);
  }

  #showSaving() {
    const failure = this.outbox?.failure ?? (this.#screen ? this.#failure : null);
    this.board.status.showSaving({ saved: this.#saved, unsaved: this.outbox?.entries.length ?? 0, trouble: failure?.message ?? "" });
  }

  // In words: what became of a screen.
  #report({ classId, tiles }) {
    const name = this.board.classes.nameOf(classId);
    const marks = tiles.map(({ mark }) => mark).filter(Boolean);
    const out = marks.filter(({ verdict }) => verdict === "out").length;
    const others = marks.length - out;
    const parts = [`Confirmed ${number.format(tiles.length - marks.length)} as “${name}”`];
    if (others) parts.push(`${number.format(others)} answered otherwise`);
    if (out) parts.push(`${number.format(out)} left for later`);
    return `${parts.join(", ")}.`;
  }

  #countLook(answers, ms) {
    this.#looks = [...this.#looks, { answers, ms: Math.min(LONGEST_LOOK, ms) }].slice(-5);
    const total = this.#looks.reduce((sum, look) => ({ answers: sum.answers + look.answers, ms: sum.ms + look.ms }));
    this.board.status.showSpeed(total.ms ? Math.round((60_000 * total.answers) / total.ms) : null);
  }

  #later(wait, action) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, wait);
    this.#timers.add(timer);
  }

  get #stopped() {
    return this.#listening.signal.aborted;
  }

  #seen(away) {
    this.#clock += away;
    unpark();
    this.#renew();
    this.outbox.flush();
  }

  #away() {
    park();
    this.outbox.farewell();
    this.screens.giveBack(this.#screen);
  }
}

const grids = new WeakMap(); // parentElement -> Grid

// Streamlit calls this on every change of the data or the theme, and what it returned last when the component goes.
export default function ({ data, parentElement, setTriggerValue }) {
  let grid = grids.get(parentElement);
  if (grid && !grid.isOf(data)) {
    grid.stop();
    grid = null;
  }
  if (grid) grid.update(data);
  else grids.set(parentElement, new Grid(parentElement, data, () => setTriggerValue("leave", true)));
  return () => {
    grids.get(parentElement)?.stop();
    grids.delete(parentElement);
  };
}
