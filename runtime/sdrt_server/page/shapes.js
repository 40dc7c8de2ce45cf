// Quick choices of a picture's shape: each with as many pixels as the model's own size.

import { byId } from "./dom.js";
import { size } from "./words.js";

const SHAPES = [
  ["Square", 1],
  ["Landscape", 4 / 3],
  ["Portrait", 3 / 4],
  ["Wide", 16 / 9],
  ["Tall", 9 / 16],
];

/** The size of a shape for a model: its sides are multiples of what the model takes. */
function fitted(model, ratio) {
  const square = Math.sqrt(model.width * model.height);
  const side = (length) => {
    const rounded = Math.round(length / model.multiple) * model.multiple;
    return Math.min(Math.max(rounded, model.smallest), model.largest);
  };
  return { width: side(square * Math.sqrt(ratio)), height: side(square / Math.sqrt(ratio)) };
}

/** Draw the buttons for a model; `choose` gets the size of the one that is pressed. */
export function drawShapes(model, choose) {
  const buttons = SHAPES.map(([name, ratio]) => {
    const { width, height } = fitted(model, ratio);
    const made = document.createElement("button");
    made.type = "button";
    made.className = "shape";
    made.dataset.size = size(width, height);
    made.title = size(width, height);
    made.append(drawing(ratio), name);
    made.addEventListener("click", () => choose({ width, height }));
    return made;
  });
  byId("shapes").replaceChildren(...buttons);
}

/** Show which of the shapes a size is, if any. */
export function markShape(width, height) {
  for (const button of byId("shapes").children) {
    button.setAttribute("aria-pressed", String(button.dataset.size === size(width, height)));
  }
}

/** A small rectangle of a ratio. */
function drawing(ratio) {
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  const rectangle = document.createElementNS(name, "rect");
  const width = ratio > 1 ? 20 : 20 * ratio;
  const height = ratio > 1 ? 20 / ratio : 20;
  const attributes = { x: 12 - width / 2, y: 12 - height / 2, width, height, rx: 2 };
  for (const [key, value] of Object.entries(attributes)) rectangle.setAttribute(key, value);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(rectangle);
  return svg;
}
