// What made a picture, as tables.

import { element } from "./dom.js";
import { plural, seconds, sentence, size } from "./words.js";

const NETWORKS = {
  text_encoder: "Text encoder",
  text_encoder_2: "Text encoder 2",
  unet: "U-Net",
  vae_encoder: "Image encoder",
  vae_decoder: "Decoder",
};
const networkName = (name) => NETWORKS[name] ?? name;

/** Tables of a kept picture's parameters: what was asked for, what ran, and how long it took. */
export function tables({ parameters, timings, warnings }) {
  const parts = [];
  if (warnings?.length) {
    const items = warnings.map((text) => element("li", {}, sentence(text)));
    parts.push(section("Warnings", element("ul", {}, ...items)));
  }
  parts.push(section("Picture", table(asked(parameters))));
  parts.push(section("Executed", table(executed(parameters))));
  if (timings) parts.push(section("Time", table(times(timings))));
  const record = element("pre", {}, JSON.stringify(parameters, null, 2));
  parts.push(element("details", {}, element("summary", {}, "Everything that is recorded"), record));
  return parts;
}

function section(title, content) {
  return element("section", {}, element("h3", {}, title), content);
}

/** A table of [name, value] rows; rows without a value are left out. */
function table(rows) {
  const given = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const lines = given.map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, String(value))),
  );
  return element("table", {}, element("tbody", {}, ...lines));
}

function asked(record) {
  return [
    ["Prompt", record.prompt],
    ["Negative prompt", record.negative_prompt],
    ["Style", record.style],
    ["Seed", record.seed],
    ["Size", size(record.width, record.height)],
    ["Model", record.model_hash ? `${record.model} (${record.model_hash.slice(0, 10)})` : record.model],
    ["LoRAs", record.loras?.map(({ file, weight }) => `${file} × ${weight}`).join(", ")],
    ["Steps", record.num_inference_steps],
    ["Sampler", record.sampler],
    ["Scheduler", record.scheduler],
    ["Guidance", record.guidance_scale],
    ["Speed", record.speed],
    ["Strength", record.strength],
    ["Start picture", startOf(record.init_image)],
    ["Second pass", record.hires && pairs(record.hires)],
    ["Clip skip", record.clip_skip > 1 ? record.clip_skip : null],
  ];
}

function startOf(digests) {
  if (!digests?.image) return null;
  return digests.mask ? "Another picture, under a mask" : "Another picture";
}

function executed(record) {
  const networks = Object.entries(record.networks ?? {});
  return [
    ["Precision", precision(record.stored_precision, record.executed_precision)],
    ...networks.map(([name, { stored, executed: ran }]) => [networkName(name), precision(stored, ran)]),
    ["Backend", record.backend],
    ["Threads", record.threads],
    ["Version", record.version && `sdrt ${record.version}`],
  ];
}

function precision(stored, ran) {
  if (!stored) return ran;
  return stored === ran ? `${ran}, as stored` : `stored ${stored}, executed ${ran}`;
}

function times({ load_s, text_encoder_s, vae_encoder_s, step_s = [], vae_decoder_s }) {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const steps = sum(step_s);
  const loads = Object.entries(load_s ?? {}).filter(([, value]) => value >= 0.0005);
  const load = sum(loads.map(([, value]) => value));
  const whole = load + steps + (text_encoder_s ?? 0) + (vae_encoder_s ?? 0) + (vae_decoder_s ?? 0);
  const each = loads.map(([name, value]) => `${networkName(name)} ${seconds(value)}`).join(", ");
  const count = plural(step_s.length, "step");
  return [
    ["Load", load ? `${seconds(load)} (${each})` : "already loaded"],
    ["Text", text_encoder_s ? seconds(text_encoder_s) : null],
    ["Image encoder", vae_encoder_s ? seconds(vae_encoder_s) : null],
    ["Steps", steps ? `${seconds(steps)} (${count} of ${seconds(steps / step_s.length)})` : null],
    ["Decoder", vae_decoder_s ? seconds(vae_decoder_s) : null],
    ["Together", seconds(whole)],
  ];
}

const pairs = (values) => Object.entries(values).map(([name, value]) => `${name} ${value}`).join(", ");
