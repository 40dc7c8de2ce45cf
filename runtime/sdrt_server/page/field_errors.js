// Errors are said beside the field that they are about.

import { byId, element } from "./dom.js";
import { sentence } from "./words.js";

// What stands for options that have no single field of their name; a list of fields, as `speed`
// and `loras` are, is marked as a whole.
const GROUPS = { image: "start", mask: "start", loras: "loras", speed: "speeds" };

/** The element that an option is entered in, if the page shows one. */
function fieldOf(param) {
  const name = (param ?? "").split(/[.[]/)[0]; // "loras[0].name" is about the LoRAs
  const found = byId(GROUPS[name] ?? name);
  const isField = found?.closest("#form") && (found.name === name || name in GROUPS);
  return isField && !found.closest("[hidden]") ? found : null;
}

/** Say an error beside its field; false if the page has no such field, or does not show it. */
export function showFieldError(param, message) {
  const field = fieldOf(param);
  if (!field) return false;
  clearFieldError(field);
  const id = `${field.id}-error`;
  const place = field.closest(".field");
  place.append(element("p", { id, className: "error", role: "alert" }, sentence(message)));
  field.setAttribute("aria-invalid", "true");
  const described = field.getAttribute("aria-describedby");
  field.setAttribute("aria-describedby", described ? `${described} ${id}` : id);
  const details = field.closest("details");
  if (details) details.open = true;
  return true;
}

/** Put the focus on the first field with an error, after the user has sent the form. */
export function focusFirstError() {
  const field = document.querySelector("#form [aria-invalid=true]");
  const isOne = field?.matches("input, select, textarea");
  const target = isOne ? field : field?.querySelector("input, select, button");
  target?.focus();
}

function clearFieldError(field) {
  byId(`${field.id}-error`)?.remove();
  field.removeAttribute("aria-invalid");
  const ids = (field.getAttribute("aria-describedby") ?? "").split(" ");
  const kept = ids.filter((id) => id && id !== `${field.id}-error`).join(" ");
  if (kept) field.setAttribute("aria-describedby", kept);
  else field.removeAttribute("aria-describedby");
}

/** Forget the errors of all fields, or of the ones that `target` lies in. */
export function clearErrors(target = null) {
  for (const field of document.querySelectorAll("#form [aria-invalid=true]")) {
    if (!target || field.contains(target)) clearFieldError(field);
  }
}

/** Say an error above the Generate button, with a button for what can be done, if anything. */
export function showFormError(message, action = null) {
  const said = element("span", {}, sentence(message));
  byId("form-error").replaceChildren(said, ...(action ? [action] : []));
}

export function clearFormError() {
  byId("form-error").replaceChildren();
}
