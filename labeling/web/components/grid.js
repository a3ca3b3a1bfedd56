// The grid: a screen of items believed to be one class, or found; mark the exceptions, confirm the rest.
// grid.py joins this file and those before it into one module.

const HEARTBEAT = 20_000; // ms between renewals of the leases
const HIDDEN_FOR = 300_000; // ms after which a hidden tab lets its leases lapse
const LOOK_AGAIN = 5_000; // ms until the server is asked again when it had nothing to give
const NEWS_AFTER = 2_500; // ms after a screen: by then there is mostly a new model
const FLUSH_FIRST = 2_000; // ms that answers of an earlier page may hold up the first screen
const LEAST_LOOK = 300; // ms: who confirms sooner has pressed twice
const SETTINGS = "askwise:grid"; // in localStorage: { size }
const UNSAID = "Say what these are first: press a class's key, or mark some and press it for them alone.";

// Leases given back by a grid that has just gone: the next one claims after that.
let givenBack = Promise.resolve();

class Grid {
  #data;
  #leave;
  #aim = MODEL; // what the person chose to see or goes on with
  #screen = null; // what is shown and may be confirmed
  #held = null; // what is shown while something else is looked for
  #painted = null; // when it was really on screen; null: not yet
  #clock = 0; // the same, moved on by the time that the tab was hidden
  #turn = 0; // counts what was put on screen
  #number = 0; // of screens shown
  #presence;
  #past;
  #growing = false; // more is being fetched for what is shown
  #busy = false; // a screen is being fetched to be shown
  #reopen = false; // and another one after that
  #failure = null;
  #saved = 0;
  #recent = []; // classes given lately, the last one first
  #patience = new Patience();
  #beat;
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
      find: (aim) => this.find(aim),
      more: () => this.more(),
      back: () => this.back(),
      leave: () => leave(),
    });
    this.outbox = new Outbox({
      api,
      scope: `${data.person ?? ""}:${project.id}`,
      settled: (entry, result) => this.#settled(entry, result),
      changed: () => this.#showSaving(),
    });
    this.#past = new Past(this.outbox, { client, late: () => this.#late() });
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
    clearTimeout(this.#lookTimer);
    this.#past.stop();
    this.outbox.farewell();
    this.outbox.stop();
    givenBack = this.screens.stop(this.#screen ?? this.#held);
    this.board.root.remove();
  }

  // A screen counts as confirmed only if it was there when the key went down, and for longer than a double press takes.
  confirm(event) {
    const screen = this.#screen;
    if (!screen || this.#painted === null || event.timeStamp < this.#painted + LEAST_LOOK) return;
    const batch = newId();
    const answers = screen.tiles.filter((tile) => answerOf(tile, screen));
    if (screen.classId === null && !answers.length) return this.board.status.say(UNSAID);
    const took = Math.max(0, event.timeStamp - this.#clock);
    const seconds = Math.round(took / Math.max(1, answers.length)) / 1000;
    const events = answers.map((tile) => {
      const { verdict, class_id = null } = answerOf(tile, screen);
      const { assignment_id, token } = tile.claim;
      const event_id = newId();
      this.outbox.addAnswer({ event_id, assignment_id, token, verdict, class_id, seconds, batch });
      return event_id;
    });
    this.screens.setAside(screen.tiles.filter((tile) => !answerOf(tile, screen)), screen.aim);
    this.#past.add({ batch, events, screen });
    this.#aim = screen.aim;
    this.board.showPace(answers.length, took);
    this.board.look.show();
    const said = this.board.reportOf(screen);
    this.board.showLast(said, true);
    this.#screen = null;
    this.#next(event.timeStamp, said);
    setTimeout(() => this.#renew(), NEWS_AFTER);
  }

  get isOpen() {
    return this.#screen !== null;
  }

  // Gives the marked tiles, or the one that the arrows are on, an answer of their own. Where it is not said yet what a
  // screen is, a class is for all of it, or for those that are marked.
  give(mark) {
    const { tiles } = this.board;
    if (!this.#screen) return;
    if (mark.verdict !== "label") return tiles.mark(mark);
    this.#recent = [mark.class_id, ...this.#recent.filter((id) => id !== mark.class_id)].slice(0, 8);
    if (this.#screen.classId !== null) return tiles.mark(mark.class_id === this.#screen.classId ? null : mark);
    if (!tiles.fill(mark)) this.#call(mark.class_id);
  }

  // What was found is of this class; or another class of the model's is to be seen.
  choose(classId) {
    this.board.believed.blur();
    if (this.#screen && isFound(this.#screen.aim)) this.#call(classId);
    else this.#start({ classId });
  }

  // Looks for something. What is shown stays until it is there, and stays where it is not.
  async find(aim) {
    if (this.#past.isAwaited || this.#stopped) return;
    this.#held = this.#screen ?? this.#held;
    this.#screen = null;
    const turn = (this.#turn += 1);
    clearTimeout(this.#lookTimer);
    this.screens.setAside([]);
    if (this.#held) this.board.showScreen(this.#held, { locked: LOOKING });
    else this.board.showWaiting();
    this.board.look.show(LOOKING, true);
    try {
      const screen = await this.screens.open(aim, this.#held);
      if (this.#stopped) return;
      if (turn !== this.#turn) return this.screens.giveUp(screen);
      this.#held = null;
      this.#showLive();
      if (!screen.tiles.length) {
        this.board.look.show(screen.why);
        return this.#open();
      }
      this.#aim = aim;
      this.board.look.settle(aim);
      this.#show(screen);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (this.#stopped || turn !== this.#turn) return;
      this.board.look.show(failure.message);
      const shown = this.#held;
      this.#held = null;
      if (shown) this.#show(shown);
      else this.#open();
    }
  }

  // More of what was found, below what there is.
  async more() {
    const screen = this.#screen;
    if (!screen || this.#growing) return;
    this.#growing = true;
    this.board.look.show(LOOKING, true);
    try {
      const more = (await this.screens.take(screen.aim)) ?? (await this.screens.open(screen.aim));
      if (this.#stopped) return;
      if (screen !== this.#screen) return this.screens.giveUp(more);
      const at = screen.tiles.length;
      screen.tiles.push(...more.tiles);
      this.board.look.show(more.why);
      if (!more.tiles.length) return;
      this.board.showScreen(screen, { at });
      this.screens.prepare(screen.aim);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.board.look.show(failure.message);
    } finally {
      this.#growing = false;
    }
  }

  // From what was found to what the model believes.
  back() {
    this.board.look.settle(MODEL);
    this.#start(MODEL);
  }

  resize(size) {
    this.screens.size = size;
    attempt(() => localStorage.setItem(SETTINGS, JSON.stringify({ size })));
    this.board.size.blur();
    this.#start(this.#screen?.aim ?? this.#aim);
  }

  // Takes the last screen back whole and puts it before the person again, its marks as they were.
  undo() {
    if (this.#past.isAwaited || this.#held) return;
    const step = this.#past.pop();
    if (!step) return this.board.status.say("There is no screen to take back.");
    this.board.showLast("", this.#past.any);
    const shown = this.#screen;
    this.#screen = null;
    this.#turn += 1;
    if (shown) this.screens.putNext(shown);
    if (this.#past.withdraw(step)) {
      const answered = step.screen.tiles.filter((tile) => answerOf(tile, step.screen));
      return this.#again(step, answered.map(({ claim }) => claim));
    }
    this.board.showScreen(step.screen, { locked: "Taking your screen back…" });
    this.outbox.flush();
  }

  #late() {
    this.board.status.say("That screen will be taken back as soon as the server can be reached.");
    this.#next();
  }

  async #begin() {
    this.#beat = setInterval(() => this.#renew(), HEARTBEAT);
    this.outbox.adopt();
    const limit = new Promise((resolve) => setTimeout(resolve, FLUSH_FIRST));
    await Promise.race([Promise.all([this.outbox.flush(), givenBack]), limit]);
    const { look } = this.#data;
    if (!look) return this.#open();
    if (look.assignment_id) this.screens.giveUp({ tiles: [{ claim: look }] });
    this.find({ itemId: look.item_id, name: look.name });
  }

  #start(aim) {
    this.#aim = aim;
    this.#drop();
    this.#open();
  }

  // Says what all of a screen is.
  #call(classId) {
    this.#screen.classId = classId;
    this.board.showClass();
    this.board.status.announce(`All as ${this.board.classes.nameOf(classId)}.`);
  }

  // Fetches a screen to show.
  async #open() {
    if (this.#stopped) return;
    if (this.#busy) return void (this.#reopen = true);
    clearTimeout(this.#lookTimer);
    if (!isFound(this.#aim) && !this.#data.show_suggestion) return this.board.showHidden();
    this.#busy = true;
    this.board.showWaiting();
    const turn = (this.#turn += 1);
    try {
      const screen = await this.screens.open(this.#aim);
      this.#failure = null;
      this.#patience.reset();
      this.#busy = false;
      if (this.#stopped) return;
      this.#showLive();
      if (turn !== this.#turn) return this.#superseded(screen);
      if (screen.tiles.length) this.#show(screen);
      else this.board.showDone(screen, this.#aim);
      if (!screen.tiles.length && screen.modelVersion === null && !isFound(screen.aim)) this.#lookAgain(LOOK_AGAIN);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.#failure = failure;
      this.#busy = false;
      if (this.#stopped) return;
      if (turn !== this.#turn) return this.#superseded(null);
      const again = ["Look again", () => this.#open()];
      if (failure.final) return this.board.showEmpty("No screens here", failure.message, ["One by one", this.#leave], again);
      this.board.showEmpty("Waiting for the server", `${failure.message} Askwise keeps trying.`, again);
      this.#lookAgain(this.#patience.next());
    }
    this.#showSaving();
  }

  // Something else was asked for meanwhile.
  #superseded(screen) {
    this.screens.giveUp(screen);
    const reopen = this.#reopen;
    this.#reopen = false;
    if (reopen && !this.#screen && !this.#held) this.#open();
  }

  async #next(pressedAt = null, said = "") {
    const turn = (this.#turn += 1);
    if (!this.screens.next) this.board.showWaiting();
    const screen = await this.screens.take(this.#aim);
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
    const what = isFound(screen.aim) ? `nearest to ${screen.like}` : `that may be ${name}`;
    this.board.status.announce(`${said} ${screen.tiles.length} items ${what}.`.trim());
    whenPainted((now) => {
      if (turn !== this.#turn) return;
      this.#painted = this.#clock = now;
      this.#number += 1;
      const items = screen.tiles.map(({ claim }) => claim.item.id);
      const { classId: class_id, like } = screen;
      const detail = { number: this.#number, items, class_id, like, pressed: pressedAt, painted: now };
      document.dispatchEvent(new CustomEvent("askwise:screen", { detail }));
      this.outbox.flush();
      this.screens.prepare(screen.aim);
    });
  }

  #lookAgain(wait) {
    clearTimeout(this.#lookTimer);
    this.#lookTimer = setTimeout(() => {
      if (document.visibilityState === "visible") this.#open();
      else this.#lookAgain(LOOK_AGAIN);
    }, wait);
  }

  #drop() {
    this.screens.giveUp(this.#screen ?? this.#held);
    this.#screen = this.#held = null;
    this.#turn += 1;
  }

  #settled(entry, result) {
    if (result.live) this.#news(result.live);
    if (entry.undoes) return this.#undone(entry, result);
    if (result.status === "refused") return this.board.status.say(`An answer was not taken. ${result.why}`);
    this.#saved += 1;
  }

  #undone(entry, result) {
    const { step, awaited } = this.#past.settle(entry.undoes);
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
    const shown = this.#screen ?? this.#held;
    if (shown) this.screens.putNext(shown);
    this.#held = null;
    // Of what was left out, that of the last screen is still on lease; the rest comes again by itself.
    const out = this.screens.takeBack(step.screen.tiles.filter((tile) => !answerOf(tile, step.screen)));
    const again = new Map([...claims, ...out].map((claim) => [claim.item.id, claim]));
    const tiles = step.screen.tiles.filter(({ claim }) => again.has(claim.item.id));
    this.#aim = step.screen.aim;
    this.board.look.settle(this.#aim);
    const screen = { ...step.screen, tiles: tiles.map((tile) => ({ ...tile, claim: again.get(tile.claim.item.id) })) };
    this.#show(screen, null, "Your screen was taken back.");
    this.board.showLast("Taken back: nothing of this screen is saved.", this.#past.any);
  }

  async #renew() {
    if (this.#stopped || this.#presence.hiddenFor > HIDDEN_FOR) return;
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
    if (this.#screen) this.screens.prepare(this.#screen.aim);
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
    const { classes, project, show_suggestion: suggestions } = data;
    this.board.showProject({ classes, guidelines: project.guidelines, recent: this.#recent, suggestions });
    if (!this.#screen) return;
    const { aim, classId } = this.#screen;
    const gone = classId !== null && this.board.classes.nameOf(classId) === undefined;
    if (gone && !isFound(aim)) return this.#start(MODEL);
    if (gone) this.#screen.classId = null;
    this.board.showScreen(this.#screen);
  }

  #showLive() {
    this.board.status.showLive(this.screens.live);
  }

  #showSaving() {
    const failure = this.outbox?.failure ?? (this.#screen ? this.#failure : null);
    this.board.status.showSaving({ saved: this.#saved, unsaved: this.outbox?.entries.length ?? 0, trouble: failure?.message ?? "" });
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
    this.screens.giveBack(this.#screen ?? this.#held);
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
