// Short names for what the page does with its elements.

export const byId = (id) => document.getElementById(id);

/** A new element with properties, `data-` and `aria-` attributes, and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** A button that does something. */
export function button(text, action, properties = {}) {
  const made = element("button", { type: "button", className: "button", ...properties }, text);
  made.addEventListener("click", action);
  return made;
}

/** Ask a question in a dialog; true if it was answered with `yes`. */
export function confirmed(question, yes) {
  const dialog = byId("confirm-dialog");
  byId("confirm-text").textContent = question;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Whether a dialog is open, which then has the keyboard to itself. */
export const dialogIsOpen = () => document.querySelector("dialog[open]") !== null;
