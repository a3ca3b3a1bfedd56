// From a key to what it does. Letters and digits are the classes'; everything else has a sign or a key with a name.

// Where keys belong to something else: somebody is typing, or a dialog or menu has the focus.
const ELSEWHERE =
  "input:not([type=checkbox]), textarea, select, dialog[open], [contenteditable]:not([contenteditable=false])," +
  "[role=dialog], [role=menu], [role=listbox], [role=combobox], [role=slider], [role=textbox]";
const COMMAND_KEYS = { ArrowRight: "skip", ArrowDown: "unsure", Backspace: "undo", ".": "note", "!": "flag" };
const LINE = 60; // pixels that an arrow scrolls
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// What to do for a key that goes down, or null: then it is nobody's here.
function actionFor(event, labeller) {
  const { view } = labeller;
  // Signs may need a third key on some keyboards, which is Alt or Ctrl to the browser.
  const third = event.getModifierState("AltGraph") || (event.altKey && !/^[\p{L}\p{N}]$/u.test(event.key));
  if ((event.ctrlKey || event.metaKey || event.altKey) && !third) {
    const undo = !event.altKey && !event.shiftKey && event.key.toLowerCase() === "z";
    return undo ? once(event, () => labeller.undo()) : null;
  }
  if (event.key === "?") return once(event, () => view.toggleHelp());
  if (event.key === ";") return once(event, () => view.guide.toggle());
  if (event.key === "/") return view.classes.many ? once(event, () => view.classes.search.focus()) : null;
  const move = event.shiftKey || third ? null : movement(event.key, view);
  if (move) return move; // a held key goes on moving
  const command = COMMAND_KEYS[event.key];
  if (command) return once(event, () => labeller.command(command, event));
  if (event.key === "Enter") return once(event, () => labeller.accept(event));
  if (event.key === "*") return once(event, () => labeller.findLike());
  // Where digits need Shift (a French keyboard), the key in the digit's place will do.
  const digit = event.shiftKey || third ? null : /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  const classId = view.classes.of(event.key.toLowerCase()) ?? view.classes.of(digit);
  if (classId !== undefined) return once(event, () => labeller.answer("label", classId, event));
  return look(event, view);
}

function once(event, action) {
  return event.repeat ? () => {} : action;
}

// Arrows move what is larger than its frame: a zoomed picture, a long text.
function movement(key, { frame, viewer }) {
  const [across, down] = ARROWS[key] ?? [0, 0];
  const moves = (across && viewer.isZoomed) || (down && (viewer.isZoomed || overflows(frame)));
  return moves ? () => frame.scrollBy(across * LINE, down * LINE) : null;
}

function look(event, view) {
  const { frame, viewer } = view;
  const page = (pages) => () => frame.scrollBy(0, pages * 0.9 * frame.clientHeight);
  const plain = { "+": 1, "=": 1, "-": -1, "[": -1, "]": 1, "{": -1, "}": 1 };
  switch (event.key) {
    case ",":
      return once(event, () => view.unfold());
    case "+":
    case "=":
    case "-":
      return () => view.magnify(plain[event.key]);
    case "[":
    case "]":
      return viewer.tools.hidden ? null : () => viewer.brighten(plain[event.key]);
    case "{":
    case "}":
      return viewer.tools.hidden ? null : () => viewer.brighten(plain[event.key], "contrast");
    case "Escape":
      return viewer.isAltered ? once(event, () => viewer.reset()) : null;
    case " ":
      if (!viewer.tools.hidden) return once(event, () => viewer.cycle());
      return overflows(frame) ? page(event.shiftKey ? -1 : 1) : null;
    case "PageDown":
    case "PageUp":
      return overflows(frame) ? page(event.key === "PageDown" ? 1 : -1) : null;
    case "Home":
    case "End":
      return overflows(frame) ? () => frame.scrollTo(0, event.key === "Home" ? 0 : frame.scrollHeight) : null;
    default:
      return null;
  }
}

function overflows(frame) {
  return frame.scrollHeight > frame.clientHeight + 1;
}
