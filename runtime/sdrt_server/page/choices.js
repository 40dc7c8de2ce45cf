// What the page offers follows from what the server has, and from the model that is chosen.

import { byId, element } from "./dom.js";
import { plural } from "./words.js";

const PREVIEWS = { proj: "Rough", tae: "Fine", none: "Off" };
const DECODERS = { full: "Full", tiny: "Tiny: fast and rough" };

/** Replace the options of a list, [value, text] each; the choice stays if it is still there. */
function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.value = options.some(([value]) => value === before) ? before : options[0][0];
}

/** Offer what does not depend on the model. */
export function offer({ models, default_model, styles, limits }) {
  const first = models.find(({ name }) => name === default_model) ?? models[0];
  const sorted = [first, ...models.filter((model) => model !== first)];
  fill(byId("model"), sorted.map(({ name, precision }) => [name, `${name} (${precision})`]));
  byId("model-field").hidden = models.length < 2;
  fill(byId("style"), [["", "None"], ...styles.map(({ name }) => [name, name])]);
  byId("style-field").hidden = styles.length === 0;
  byId("num_inference_steps").max = limits.max_steps;
  byId("num_images_per_prompt").max = limits.max_images;
}

/** Offer what a model has; its own settings are shown where nothing is entered. */
export function offerForModel(model, { samplers, schedulers }) {
  byId("guidance_scale").placeholder = model.guidance_scale;
  byId("negative-hint").hidden = !model.guides_itself;
  for (const side of ["width", "height"]) {
    Object.assign(byId(side), { min: model.smallest, max: model.largest, step: model.multiple });
  }
  offerSpeeds(model.speeds);
  fill(byId("sampler"), [["", ""], ...samplers.map(({ name, label }) => [name, label])]);
  const others = schedulers.filter((name) => name !== "default");
  fill(byId("scheduler"), [["", ""], ["default", "the model's own"], ...others.map((name) => [name, name])]);
  fill(byId("decoder"), [["", "As usual"], ...model.decoders.map((name) => [name, DECODERS[name] ?? name])]);
  byId("decoder-field").hidden = model.decoders.length < 2;
  const previews = [...model.previews, "none"];
  fill(byId("preview"), [["", "As usual"], ...previews.map((name) => [name, PREVIEWS[name] ?? name])]);
  byId("preview-field").hidden = previews.length < 2;
  describeSpeed(model, samplers);
}

function offerSpeeds(speeds) {
  const before = chosenSpeed();
  const choice = speeds.some(({ name }) => name === before) ? before : speeds[0]?.name;
  const labels = speeds.map(({ name }) => {
    const input = element("input", { type: "radio", name: "speed", value: name, checked: name === choice });
    return element("label", {}, input, name[0].toUpperCase() + name.slice(1));
  });
  byId("speeds").replaceChildren(...labels);
  byId("speeds").closest("fieldset").hidden = speeds.length < 2;
}

export const chosenSpeed = () => byId("speeds").querySelector(":checked")?.value ?? null;

/** Show what the chosen preset of speed takes where nothing is entered. */
export function describeSpeed(model, samplers) {
  const speed = model.speeds.find(({ name }) => name === chosenSpeed());
  const isModels = !speed || speed === model.speeds[0];
  const own = isModels ? model : speed.options;
  const label = samplers.find(({ name }) => name === own.sampler)?.label ?? own.sampler;
  const steps = own.num_inference_steps;
  const facts = [steps && plural(steps, "step"), label, own.scheduler !== "default" && own.scheduler];
  byId("speed-hint").textContent = facts.filter(Boolean).join(", ") || speed?.summary || "";
  const whose = isModels ? "default" : "preset";
  byId("num_inference_steps").placeholder = steps ?? whose;
  byId("sampler").options[0].text = label ? `${label} (${whose})` : whose;
  const hasOwn = own.scheduler && own.scheduler !== "default";
  byId("scheduler").options[0].text = hasOwn ? `${own.scheduler} (${whose})` : "default";
}
