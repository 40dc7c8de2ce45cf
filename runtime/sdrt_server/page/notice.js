// A sentence at the top of the form, with what can be done about it.

import { button, byId, element } from "./dom.js";

const place = byId("notice");

/** Say something; `action` is [text, function] of a button, if there is anything to do. */
export function notice(text, action = null) {
  const buttons = [button("Dismiss", clearNotice, { className: "button quiet" })];
  if (action) {
    const [name, act] = action;
    buttons.unshift(button(name, () => (clearNotice(), act())));
  }
  place.hidden = false;
  place.replaceChildren(element("span", {}, text), element("span", { className: "buttons" }, ...buttons));
}

export function clearNotice() {
  place.hidden = true;
  place.replaceChildren();
}
