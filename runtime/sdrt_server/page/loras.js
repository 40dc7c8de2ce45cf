// The rows of LoRAs, each with a weight.

import { button, byId, element } from "./dom.js";

let known = [];

export function setKnownLoras(names) {
  known = names;
  byId("loras").hidden = known.length === 0;
}

/** The chosen LoRAs as the server takes them. */
export function loras() {
  return [...byId("lora-rows").children].map((row) => {
    const weight = row.querySelector("input").value;
    return { name: row.querySelector("select").value, ...(weight && { weight: Number(weight) }) };
  });
}

/** Show these LoRAs; returns the names of those that the server does not have. */
export function setLoras(wanted) {
  byId("lora-rows").replaceChildren();
  for (const { name, weight } of wanted) if (known.includes(name)) addLora(name, weight);
  return wanted.map(({ name }) => name).filter((name) => !known.includes(name));
}

/** Add a row, for a LoRA that is not chosen yet if there is one. */
export function addLora(name = null, weight = null) {
  const taken = loras().map((lora) => lora.name);
  const choice = name ?? known.find((each) => !taken.includes(each)) ?? known[0];
  const options = known.map((each) => new Option(each, each, false, each === choice));
  const row = element(
    "li",
    { className: "lora" },
    element("select", { "aria-label": "LoRA" }, ...options),
    element("input", {
      type: "number",
      step: "0.05",
      inputMode: "decimal",
      placeholder: "1",
      value: weight ?? "",
      "aria-label": "Weight",
    }),
    button("Remove", () => {
      row.remove();
      byId("add-lora").focus();
      byId("form").dispatchEvent(new Event("input"));
    }),
  );
  byId("lora-rows").append(row);
  return row;
}
