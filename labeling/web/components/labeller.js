// The labeller: one item, one press, the next item. labeller.py joins this file and those before it into one module.
// The server's answers steer nothing here but what is asked next, and which classes there are.

const HEARTBEAT = 20_000; // ms between renewals of the leases
const HIDDEN_FOR = 300_000; // ms after which a hidden tab lets its leases lapse
const UNDO_PATIENCE = 4_000; // ms that an undo may keep the next item waiting
const FLUSH_FIRST = 2_000; // ms that answers of an earlier page may hold up the first claim
const STEPS_BACK = 30;
const RECENT = 8; // classes chosen last, found first

// Leases given back by a labeller that has just gone: the next one claims after that.
let givenBack = Promise.resolve();

class Labeller {
  #given; // what the page handed over last
  #find;
  #data; // the same with the classes as they are now
  #refreshing = null; // the classes are being fetched
  #current = null; // the item on screen that may be answered
  #painted = null; // when it was really on screen; null: not yet
  #turn = 0; // counts what was put on screen
  #clock = 0; // the same, moved on by the time that the tab was hidden
  #presence;
  #flagged = false;
  #past; // what can be taken back, oldest first: { event_id, verdict, class_id, ask }
  #undos = new Map(); // event id -> step, while its undo is under way
  #undoing = null; // the event id among them that the screen waits for
  #saved = 0; // answers of this page that stand at the server
  #intervals = []; // ms between the last presses
  #lastPress = null;
  #timers = [];
  #undoTimer = null;
  #listening = new AbortController();

  // find({ item_id, name, assignment_id }): leaves for items like that one
  constructor(root, data, find) {
    const { api, project, batch } = data;
    this.#find = find;
    this.scope = `${data.person ?? ""}:${project.id}`;
    this.#past = tab.past[this.scope] ??= [];
    this.view = new View(root, {
      api,
      on: {
        answer: (verdict, classId, event) => this.answer(verdict, classId, event),
        accept: (event) => this.accept(event),
        command: (name, event) => this.command(name, event),
        find: () => this.view.classes.recall(this.#recent()),
        like: () => this.findLike(),
        retry: () => this.retry(),
      },
    });
    this.outbox = new Outbox({
      api,
      scope: this.scope,
      settled: (entry, result) => this.#settled(entry, result),
      changed: () => this.#showSaving(),
    });
    this.supply = new Supply({
      api,
      project: project.id,
      client: tab.client,
      batch,
      on: {
        ready: () => this.#current || this.#undoing || this.#next(),
        changed: () => this.#supplied(),
        knows: (id) => this.#current?.claim.assignment_id === id || this.outbox.holds(id),
      },
    });
    this.update(data);
    leaveSwitch();
    this.#presence = new Presence(this.#listening.signal, {
      root: this.view.root,
      stroke: (event) => (this.view.help.isOpen ? null : actionFor(event, this)),
      online: () => this.retry(),
      unsaved: () => this.outbox.entries.length > 0,
      hidden: park,
      seen: (away) => this.#seen(away),
      left: () => this.#leave(),
      restored: () => this.#renew(),
    });
    this.#begin();
  }

  update(data) {
    const same = this.#given && JSON.stringify(this.#given) === JSON.stringify(data);
    this.#given = data;
    if (same) return;
    const first = !this.#data;
    const stale = !first && (data.schema_version ?? 0) < (this.#data.schema_version ?? 0);
    const { classes, schema_version } = stale ? this.#data : data;
    this.#take({ ...data, classes, schema_version });
    if (first) this.view.showWaiting();
  }

  isOf(data) {
    const { api, project, person } = this.#data;
    return data.api === api && data.project.id === project.id && data.person === person;
  }

  stop() {
    this.#listening.abort();
    this.#timers.forEach(clearInterval);
    clearTimeout(this.#undoTimer);
    this.outbox.farewell();
    this.outbox.stop();
    this.supply.stop();
    givenBack = this.supply.giveBack(this.#leases());
    this.view.root.remove();
  }

  // An answer counts only if its item was on screen when the key went down.
  answer(verdict, classId, event) {
    const ask = this.#current;
    if (!ask || this.#painted === null || event.timeStamp < this.#painted) return;
    if (ask.broken && verdict === "label") return;
    const eventId = newId();
    this.outbox.addAnswer({
      event_id: eventId,
      assignment_id: ask.claim.assignment_id,
      token: ask.claim.token,
      verdict,
      class_id: classId,
      seconds: Math.max(0, Math.round(event.timeStamp - this.#clock) / 1000),
      note: this.view.note.value.trim(),
      flagged: this.#flagged,
    });
    this.#past.push({ event_id: eventId, verdict, class_id: classId, ask });
    if (this.#past.length > STEPS_BACK) this.#past.shift();
    this.#next(event.timeStamp);
    this.view.classes.pressed(classId);
    const name = this.view.classes.nameOf(classId);
    this.#announce({ label: `Labeled ${name}.`, skip: "Skipped.", unsure: "Marked as unsure." }[verdict]);
    this.#countPress(event.timeStamp);
  }

  accept(event) {
    const suggested = this.#current && this.#suggestion(this.#current);
    if (suggested) this.answer("label", suggested.class_id, event);
  }

  findLike() {
    const claim = this.#current?.claim;
    if (claim) this.#find({ item_id: claim.item.id, name: claim.item.external_id, assignment_id: claim.assignment_id });
  }

  command(name, event) {
    if (name === "undo") return this.undo();
    if (!this.#current) return;
    if (name === "note") return this.view.openNote();
    if (name === "flag") {
      this.#flagged = !this.#flagged;
      this.view.flag(this.#flagged);
      return this.view.status.announce(this.#flagged ? "Flagged." : "Flag removed.");
    }
    this.answer(name, null, event);
  }

  // Takes the last standing answer back and puts its item on screen again, the earlier choice marked.
  undo() {
    if (this.#undoing) return;
    const step = this.#past.pop();
    if (!step) return this.view.status.say("There is nothing to take back.");
    if (this.#current) this.supply.putFirst(this.#current);
    this.#current = null;
    if (this.outbox.withdraw(step.event_id)) {
      return this.#again(step, this.supply.prepare(step.ask.claim, step.ask.image));
    }
    this.#undoing = step.event_id;
    this.#undos.set(step.event_id, step);
    this.outbox.addUndo(step.event_id, { event_id: newId(), client: tab.client });
    this.view.showItem(step.ask, { suggested: null, earlier: step, locked: true });
    this.outbox.flush();
    this.#undoTimer = setTimeout(() => {
      this.#undoing = null;
      this.view.status.say("That answer will be taken back as soon as the server can be reached; its item comes next.");
      this.#next();
    }, UNDO_PATIENCE);
  }

  retry() {
    const ask = this.#current;
    this.outbox.flush();
    if (!ask?.broken) return this.supply.refill();
    this.#current = null;
    this.supply.putFirst(ask);
    this.view.showWaiting();
    this.supply.reload(ask);
  }

  async #begin() {
    this.#timers.push(setInterval(() => this.#renew(), HEARTBEAT));
    this.outbox.adopt();
    const limit = new Promise((resolve) => setTimeout(resolve, FLUSH_FIRST));
    await Promise.race([Promise.all([this.outbox.flush(), givenBack]), limit]);
    this.supply.refill();
  }

  #next(pressedAt = null) {
    const ask = this.supply.take();
    if (ask) return this.#show(ask, pressedAt);
    this.#current = null;
    this.#afterwards();
    this.#idle();
  }

  #show(ask, pressedAt = null) {
    this.#current = ask;
    this.#painted = null;
    this.#flagged = false;
    const turn = (this.#turn += 1);
    this.view.showItem(ask, { suggested: this.#suggestion(ask), earlier: ask.earlier });
    whenPainted((now) => {
      if (this.#current !== ask || this.#turn !== turn) return;
      this.#painted = this.#clock = now;
      this.view.settle();
      const detail = { item: ask.claim.item.id, pressed: pressedAt, painted: now };
      document.dispatchEvent(new CustomEvent("askwise:painted", { detail }));
      this.#afterwards();
    });
  }

  // What can wait until the next item is on screen.
  #afterwards() {
    this.outbox.flush();
    this.supply.refill();
  }

  // Nothing to show: say why.
  #idle() {
    const { failure, remaining, asks, asking } = this.supply;
    if (asks.length || (asking && !failure) || (remaining === null && !failure)) return this.view.showWaiting();
    if (failure) {
      const way = failure.status === 0 ? " Check that Askwise is still running." : "";
      return this.view.showEmpty("Waiting for the server", `${failure.message}${way} Askwise keeps trying.`);
    }
    if (remaining > 0) {
      const rest = remaining === 1 ? "The last item is" : `The last ${remaining} items are`;
      const sentence = `${rest} with other people now. What they give back comes here by itself.`;
      return this.view.showEmpty("Nearly done", sentence);
    }
    this.view.showEmpty("Everything here is labeled", "Export the result, or add more items to go on.");
  }

  #supplied() {
    if (!this.#current && !this.#undoing) {
      const ask = this.supply.take();
      if (ask) this.#show(ask);
      else this.#idle(); // and not #next(), which would ask the server again at once
    }
    this.#showLive();
    this.#showSaving();
  }

  #settled(entry, result) {
    if (result.live) this.#news(result.live);
    if (entry.undoes) return this.#undone(entry, result);
    if (result.status === "refused") return this.#refused(entry, result.why);
    this.#saved += 1;
  }

  async #refused({ body }, why) {
    const at = this.#past.findIndex((step) => step.event_id === body.event_id);
    const [step] = at >= 0 ? this.#past.splice(at, 1) : [this.#undos.get(body.event_id)];
    this.view.status.say(`An answer was not taken. ${why}`);
    if (!step || body.verdict !== "label") return;
    await this.#refreshClasses();
    if (this.#listening.signal.aborted || this.view.classes.nameOf(body.class_id) !== undefined) return;
    // The class went while the answer was on its way: its item is asked again, after the one on screen.
    const ask = this.supply.prepare(step.ask.claim, step.ask.image);
    ask.earlier = earlierOf(step);
    this.supply.putFirst(ask);
    this.view.status.say(`An answer was not taken. ${why} Its item comes again next.`);
    if (!this.#current && !this.#undoing) this.#next();
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
      this.view.status.say(`That answer could not be taken back. ${result.why}`);
      return awaited && this.#next();
    }
    if (result.status === "void") return awaited && this.#next(); // its item is seen to where the answer was refused
    this.#saved = Math.max(0, this.#saved - 1);
    if (!result.claim) {
      this.supply.resume(); // it may be among this tab's leases
      return awaited && this.#next();
    }
    const ask = this.supply.prepare(result.claim, step?.ask.image ?? null);
    if (awaited) return this.#again(step, ask);
    if (step) ask.earlier = earlierOf(step);
    this.supply.putFirst(ask);
    if (!this.#current && !this.#undoing) this.#next();
  }

  #again(step, ask) {
    ask.earlier = earlierOf(step);
    this.supply.putFirst(ask);
    this.#next();
    this.#announce("Your answer was taken back.");
  }

  #announce(sentence) {
    const item = this.#current?.claim.item;
    this.view.status.announce(item ? `${sentence} Next: ${(item.text ?? item.external_id).slice(0, 500)}` : sentence);
  }

  async #renew() {
    if (this.#presence.hiddenFor > HIDDEN_FOR) return;
    const leases = [...this.#leases(), ...this.outbox.assignments];
    if (!leases.length) return;
    try {
      const { lost, live } = await this.supply.renew(leases);
      this.supply.drop(lost);
      if (lost.length) this.supply.refill();
      if (this.#current && lost.includes(this.#current.claim.assignment_id)) {
        this.#current = null;
        this.view.status.say("That item has gone to somebody else in the meantime; here is the next.");
        this.#next();
      }
      this.#news(live);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure; // the next beat tries again
    }
  }

  #news(live) {
    this.supply.freshen(live);
    this.#showLive();
  }

  #showLive() {
    const { live } = this.supply;
    this.view.status.showLive(live);
    if (live?.schema_version > this.#data.schema_version) this.#refreshClasses();
  }

  // Somebody changed the classes: buttons and keys follow; the item, a note half written and unsaved answers stay.
  #refreshClasses() {
    this.#refreshing ??= this.#fetchClasses().finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #fetchClasses() {
    const { api, project } = this.#data;
    const now = await glimpse(`${api}/projects/${project.id}`);
    if (!now || this.#listening.signal.aborted) return; // the next news of the project tries again
    const before = this.#data.classes;
    const { classes, guidelines, live } = now;
    this.#take({ ...this.#data, classes, schema_version: live.schema_version, project: { ...project, guidelines } });
    const sentence = whatChanged(before, classes);
    if (sentence) this.view.status.say(sentence);
  }

  #take(data) {
    this.#data = data;
    const { classes, project, show_suggestion: suggestions } = data;
    this.view.showProject({ classes, guidelines: project.guidelines, suggestions, recent: this.#recent() });
    if (this.#current) this.view.mark(this.#suggestion(this.#current), this.#current.earlier);
  }

  #recent() {
    const chosen = this.#past.filter(({ verdict }) => verdict === "label").map(({ class_id }) => class_id);
    return [...new Set(chosen.reverse())].slice(0, RECENT);
  }

  #leases() {
    return [this.#current, ...this.supply.asks].filter(Boolean).map((ask) => ask.claim.assignment_id);
  }

  #suggestion(ask) {
    const { suggestion } = ask.claim;
    if (!this.#data.show_suggestion || !suggestion) return null;
    const name = this.view.classes.nameOf(suggestion.class_id);
    return name === undefined ? null : { ...suggestion, name };
  }

  #showSaving() {
    const unsaved = this.outbox.entries.length;
    const failure = this.outbox.failure ?? (this.#current ? this.supply.failure : null);
    this.view.status.showSaving({ saved: this.#saved, unsaved, trouble: failure?.message ?? "" });
  }

  // Answers a minute over the last twenty, a pause counting as half a minute at most.
  #countPress(now) {
    if (this.#lastPress !== null) this.#intervals.push(Math.min(30_000, now - this.#lastPress));
    this.#lastPress = now;
    this.#intervals = this.#intervals.slice(-20);
    const total = this.#intervals.reduce((sum, each) => sum + each, 0);
    this.view.status.showSpeed(this.#intervals.length < 3 ? null : Math.round((60_000 * this.#intervals.length) / total));
  }

  #seen(away) {
    this.#clock += away;
    unpark();
    this.#renew();
    this.outbox.flush();
  }

  #leave() {
    park();
    this.outbox.farewell();
    this.supply.giveBack(this.#leases());
  }
}

function earlierOf({ verdict, class_id }) {
  return { verdict, class_id };
}

const labellers = new WeakMap(); // parentElement -> Labeller

// Streamlit calls this on every change of the data or the theme, and what it returned last when the component goes.
export default function ({ data, parentElement, setTriggerValue }) {
  let labeller = labellers.get(parentElement);
  if (labeller && !labeller.isOf(data)) {
    labeller.stop();
    labeller = null;
  }
  if (labeller) labeller.update(data);
  else labellers.set(parentElement, new Labeller(parentElement, data, (item) => setTriggerValue("find", item)));
  return () => {
    labellers.get(parentElement)?.stop();
    labellers.delete(parentElement);
  };
}
