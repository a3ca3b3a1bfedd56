// Finding: what a screen is for, what becomes of its tiles, and the field in which to describe what is looked for.
// A screen is for one of these:
//   { classId }                     what the model believes is a class; null: the one with the most
//   { text } or { itemId, name }    what is nearest to a description, or to an item

const MODEL = { classId: null };
const LOOKING = "Looking…";
const LONGEST_TEXT = 300; // characters of a description

function isFound(aim) {
  return aim.text !== undefined || aim.itemId !== undefined;
}

function sameAim(a, b) {
  return a?.classId === b?.classId && a?.text === b?.text && a?.itemId === b?.itemId;
}

// The answer that a tile gets when its screen is confirmed; null: none, it is left for later. What was found is of no
// class until the person says so: then only what was given an answer of its own is answered.
function answerOf({ mark }, { classId }) {
  if (mark) return mark.verdict === "out" ? null : mark;
  return classId === null ? null : { verdict: "label", class_id: classId };
}

class Look {
  // on: { find(text) }
  constructor(on) {
    this.input = make("input", {
      class: "search",
      type: "text",
      placeholder: "Describe what you are looking for   :",
      "aria-label": "Describe what you are looking for",
      "aria-keyshortcuts": ":",
      maxlength: LONGEST_TEXT,
      enterkeyhint: "search",
      autocomplete: "off",
      onkeydown: (event) => event.key === "Escape" && this.input.blur(),
    });
    this.state = make("p", { class: "looked", role: "status" });
    const find = make("button", { class: "again", type: "submit" }, "Find");
    this.root = make("form", { class: "look", role: "search", "aria-label": "The pool" }, this.input, find, this.state);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.input.value.trim();
      if (text) on.find(text);
      else this.input.focus();
    });
  }

  // It is being looked for, or `sentence` says why it is not there; what was typed stays.
  show(sentence = "", busy = false) {
    this.state.textContent = sentence;
    this.root.classList.toggle("looking", busy);
  }

  // What is on the screen now: its words stay in the field.
  settle(aim) {
    this.show();
    this.input.value = aim.text ?? "";
    this.input.blur();
  }
}
