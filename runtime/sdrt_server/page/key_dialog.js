// Asks for the API key.

import { byId } from "./dom.js";
import { remembered } from "./memory.js";

const dialog = byId("key-dialog");

/** The key that was entered, or null. */
export function askForKey() {
  const hadOne = remembered("key", "") !== "";
  byId("key-text").textContent = hadOne
    ? "The server does not take this API key. Enter another one."
    : "This server wants an API key. It is kept in this browser.";
  byId("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const key = () => (dialog.returnValue === "given" ? byId("key").value : null);
    dialog.addEventListener("close", () => resolve(key()), { once: true });
  });
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  dialog.close("given");
});
byId("key-cancel").addEventListener("click", () => dialog.close());
