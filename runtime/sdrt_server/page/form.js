// The form: what is entered, as the server takes it, and what is remembered of it.

import { chosenSpeed, describeSpeed, offer, offerForModel } from "./choices.js";
import { button, byId, element } from "./dom.js";
import { clearErrors, showFieldError } from "./field_errors.js";
import { addLora, loras, setKnownLoras, setLoras } from "./loras.js";
import { remember, remembered } from "./memory.js";
import { drawShapes, markShape } from "./shapes.js";

const form = byId("form");

/** Options that a preset of speed stands for, and that are therefore blanked by choosing one. */
const OF_SPEED = ["num_inference_steps", "sampler", "scheduler"];

export class Form {
  #offered = null; // the server's capabilities, once they are known
  #extras = {}; // options of a picture that the page has no field for
  #start; // the start picture
  /** Called with a sentence that belongs to a field which is not shown. */
  onunknown = () => {};

  constructor(start) {
    this.#start = start;
    start.onchange = () => this.#changed();
    form.addEventListener("input", ({ target }) => this.#entered(target));
    byId("random-seed").addEventListener("click", () => this.#set("seed", ""));
    byId("add-lora").addEventListener("click", () => {
      addLora().querySelector("select").focus();
      this.#changed();
    });
    byId("reset").addEventListener("click", () => this.setOptions({ prompt: byId("prompt").value }));
  }

  get model() {
    return this.#offered.models.find(({ name }) => name === byId("model").value);
  }

  /** Offer what the server has, with what was entered the last time. */
  offer(capabilities) {
    this.#offered = capabilities;
    offer(capabilities);
    setKnownLoras(capabilities.loras);
    this.#offerForModel();
    const typed = byId("prompt").value; // before the server had answered
    this.#fill({ ...remembered("form", {}), ...(typed && { prompt: typed }) });
  }

  /** Everything that is entered, as the server takes it. Null if a field holds no number. */
  body() {
    clearErrors();
    const entered = this.#values();
    const body = { ...this.#extras, ...entered };
    if (this.#offered.models.length < 2) delete body.model;
    if (body.speed === this.model.speeds[0]?.name) delete body.speed;
    if (!this.#start.files.image) delete body.strength;
    if (!body.hires) delete body.hires_strength;
    const isHidden = (name) => byId(name)?.closest("[hidden]");
    for (const name of Object.keys(entered)) if (isHidden(name)) delete body[name];
    let isWhole = true;
    for (const field of form.elements) {
      const isSeed = field.id === "seed" && !/^\d*$/.test(field.value.trim());
      if (!isSeed && !field.validity?.badInput) continue;
      const expected = isSeed ? "Expected a whole number, or nothing" : "Expected a number";
      showFieldError(field.name || "loras", expected);
      isWhole = false;
    }
    return isWhole ? body : null;
  }

  /** Show the options of a picture, and nothing besides; says what this server does not have. */
  setOptions(options) {
    clearErrors();
    const isHere = this.#offered.models.some(({ name }) => name === options.model);
    const model = isHere ? options.model : byId("model").value;
    this.#fill({ speed: this.model.speeds[0]?.name, ...options, model });
    this.#changed();
    const unknown = options.model && !isHere;
    if (unknown) this.sayUnknown("model", options.model);
  }

  /** Say beside the field, or in place of it, that the server lacks what a picture was made with. */
  sayUnknown(kind, name) {
    const message = `This server has no ${kind === "model" ? "model" : "LoRA"} “${name}”`;
    const isSaid = showFieldError(kind === "model" ? "model" : "loras", message);
    if (!isSaid) this.onunknown(`${message}.`);
  }

  setSeed(seed) {
    this.#set("seed", String(seed));
    byId("seed").focus();
  }

  /** The size that a picture would get now, as far as it can be known. */
  get size() {
    const own = this.#start.size ?? this.model;
    const size = (side) => Number(byId(side).value) || own[side];
    return { width: size("width"), height: size("height") };
  }

  #entered(target) {
    if (target?.id === "model") this.#offerForModel();
    if (target?.name === "speed") for (const name of OF_SPEED) byId(name).value = "";
    if (target?.closest) clearErrors(target);
    this.#changed();
  }

  #changed() {
    if (!this.#offered) return;
    this.#show();
    remember("form", { ...this.#extras, ...this.#values() });
  }

  #set(name, value) {
    byId(name).value = value;
    this.#entered(byId(name));
  }

  /** What is entered, without what is empty. */
  #values() {
    const values = { prompt: byId("prompt").value };
    for (const field of form.elements) {
      if (!field.name || field.type === "radio" || field.value === "") continue;
      values[field.name] = field.type === "number" ? Number(field.value) : field.value;
    }
    if ("seed" in values) values.seed = seedValue(values.seed.trim());
    if (chosenSpeed()) values.speed = chosenSpeed();
    if (loras().length) values.loras = loras();
    return values;
  }

  #fill(options) {
    const { loras: wanted = [], speed, ...others } = options;
    if (others.model) byId("model").value = others.model;
    if (!byId("model").value) byId("model").selectedIndex = 0;
    this.#offerForModel();
    for (const field of form.elements) {
      if (field.type === "radio") field.checked = field.value === (speed ?? this.model.speeds[0]?.name);
      else if (field.name && field.name !== "model") field.value = others[field.name] ?? "";
    }
    const hasNoField = ([name]) => form.elements[name] === undefined;
    this.#extras = Object.fromEntries(Object.entries(others).filter(hasNoField));
    for (const name of setLoras(wanted)) this.sayUnknown("lora", name);
    this.#show();
  }

  #offerForModel() {
    const { model } = this;
    offerForModel(model, this.#offered);
    drawShapes(model, ({ width, height }) => {
      // The model's own size is what it takes where nothing is entered.
      const isOwn = !this.#start.size && width === model.width && height === model.height;
      byId("width").value = isOwn ? "" : width;
      this.#set("height", isOwn ? "" : height);
      clearErrors(byId("width"));
    });
    this.#start.offer(model, this.#offered.limits);
  }

  /** Bring what follows from the entered options up to date. */
  #show() {
    const { model } = this;
    describeSpeed(model, this.#offered.samplers);
    const own = this.#start.size ?? model;
    byId("width").placeholder = own.width;
    byId("height").placeholder = own.height;
    markShape(this.size.width, this.size.height);
    const style = this.#offered.styles.find(({ name }) => name === byId("style").value);
    byId("style-hint").hidden = !style;
    byId("style-hint").textContent = style?.prompt.replace("{prompt}", "…") ?? "";
    this.#showExtras();
    const inside = [...byId("more").querySelectorAll(":is(input, select)[name]")];
    const entered = inside.filter(({ value }) => value !== "");
    const count = entered.length + loras().length + Object.keys(this.#extras).length;
    byId("more-count").textContent = count ? `(${count} set)` : "";
  }

  #showExtras() {
    const rows = Object.entries(this.#extras).map(([name, value]) => {
      const text = `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`;
      const remove = button("Remove", () => {
        delete this.#extras[name];
        this.#changed();
      }, { "aria-label": `Remove ${name}` });
      return element("li", { className: "extra" }, text, remove);
    });
    byId("extras").hidden = rows.length === 0;
    byId("extras-rows").replaceChildren(...rows);
  }
}

/** A number, or the digits where they are too many for one (see `write` in api.js). */
function seedValue(text) {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text;
}
