// From a key to what it does in review. Letters and digits are the classes' first.

const DEED_KEYS = {
  ArrowRight: "later", ArrowDown: "unsure", ArrowLeft: "back", Backspace: "undo", ".": "comment", "*": "gold",
}; // prettier-ignore

// What to do for a key that goes down, or null: then it is nobody's here.
function strokeAt(event, review) {
  const { view } = review;
  if (view.help.isOpen) return null;
  if (view.talk.isOpen) return event.key === "Escape" ? () => view.talk.close() : null;
  // Signs may need a third key on some keyboards, which is Alt or Ctrl to the browser.
  const third = event.getModifierState("AltGraph") || (event.altKey && !/^[\p{L}\p{N}]$/u.test(event.key));
  if ((event.ctrlKey || event.metaKey || event.altKey) && !third) {
    const undo = !event.altKey && !event.shiftKey && event.key.toLowerCase() === "z";
    return undo ? once(event, () => review.undo()) : null;
  }
  if (event.key === "?") return once(event, () => view.toggleHelp());
  if (event.key === ";") return once(event, () => view.guide.toggle());
  if (event.key === "/") return view.classes.many ? once(event, () => view.classes.search.focus()) : null;
  const move = event.shiftKey || third ? null : movement(event.key, view);
  if (move) return move; // a held key goes on moving
  const deed = DEED_KEYS[event.key];
  if (deed) return once(event, () => review.deed(deed, event));
  if (event.key === "Enter") return once(event, () => review.accept(event));
  // Where digits need Shift (a French keyboard), the key in the digit's place will do.
  const digit = event.shiftKey || third ? null : /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  const key = event.key.toLowerCase();
  const classId = view.classes.of(key) ?? view.classes.of(digit);
  if (classId !== undefined) return once(event, () => review.decide("label", classId, event));
  const named = DEEDS.find(({ letter }) => letter === key);
  return named ? once(event, () => review.deed(named.name, event)) : look(event, view);
}
