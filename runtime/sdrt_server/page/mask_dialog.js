// The dialog in which a mask is painted, by mouse, pen, finger or keyboard.

import { byId } from "./dom.js";
import { MaskPainting } from "./mask_painting.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const dialog = byId("mask-dialog");
const stage = byId("mask-stage");
const canvas = byId("mask-canvas");
const frame = canvas.parentElement;
const cursor = byId("mask-cursor");

let painting = null;
let brush = { x: 0, y: 0 }; // where the brush is, in pixels of the picture
let isPainting = false;
let settle = null; // ends the promise of `paintMask`

/** Paint on a picture; gives what was painted (see MaskPainting), or null if that was cancelled. */
export function paintMask(url, size, done) {
  painting = new MaskPainting(canvas, size, done);
  brush = { x: size.width / 2, y: size.height / 2 };
  byId("mask-picture").src = url;
  dialog.showModal();
  fit();
  stage.focus();
  return new Promise((resolve) => (settle = resolve));
}

function finish(result) {
  isPainting = false;
  cursor.hidden = true;
  settle?.(result);
  settle = null;
  if (dialog.open) dialog.close();
}

/** Make the picture as large as the dialog has room for. */
function fit() {
  if (!dialog.open) return;
  const { width, height } = canvas;
  const room = { width: stage.clientWidth - 16, height: Math.max(window.innerHeight - 300, 160) };
  const scale = Math.min(room.width / width, room.height / height);
  frame.style.width = `${Math.round(width * scale)}px`;
  frame.style.height = `${Math.round(height * scale)}px`;
  drawCursor();
}

const erases = () => byId("mask-erase").checked;

/** The brush's diameter in pixels of the picture, up to half of its shorter side. */
function diameter() {
  const share = Number(byId("mask-size").value) / 200;
  return Math.max(1, Math.min(canvas.width, canvas.height) * share);
}

function drawCursor() {
  const scale = frame.clientWidth / canvas.width;
  cursor.style.left = `${brush.x * scale}px`;
  cursor.style.top = `${brush.y * scale}px`;
  cursor.style.width = cursor.style.height = `${diameter() * scale}px`;
}

function moveTo({ x, y }) {
  brush = { x: Math.min(Math.max(x, 0), canvas.width), y: Math.min(Math.max(y, 0), canvas.height) };
  cursor.hidden = false;
  drawCursor();
  if (isPainting) painting.extend(brush);
}

function beginStroke() {
  isPainting = true;
  painting.begin(brush, diameter(), erases());
}

function endStroke() {
  if (isPainting) say();
  isPainting = false;
}

function say() {
  const percent = Math.ceil(100 * painting.share);
  byId("mask-spoken").textContent = `${percent} percent of the picture will be repainted.`;
}

function pointOf(event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * canvas.width,
    y: ((event.clientY - box.top) / box.height) * canvas.height,
  };
}

frame.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  frame.setPointerCapture(event.pointerId);
  moveTo(pointOf(event));
  beginStroke();
});
frame.addEventListener("pointermove", (event) => {
  // A fast pen reports several points at once.
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) moveTo(pointOf(each));
});
for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, endStroke);
frame.addEventListener("pointerleave", () => (cursor.hidden = true));

stage.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  if (arrow) {
    const step = Math.max(1, diameter() / 4) * (event.shiftKey ? 4 : 1);
    moveTo({ x: brush.x + arrow[0] * step, y: brush.y + arrow[1] * step });
  } else if (event.key === " ") {
    if (!event.repeat) beginStroke(); // the space bar held and arrows: a line
  } else if (event.key === "[" || event.key === "]") {
    byId("mask-size").valueAsNumber += event.key === "[" ? -5 : 5;
    drawCursor();
  } else if (event.key === "e" || event.key === "E") {
    byId(erases() ? "mask-paint" : "mask-erase").checked = true;
  } else return;
  event.preventDefault();
});
stage.addEventListener("keyup", ({ key }) => key === " " && endStroke());
stage.addEventListener("focus", () => {
  cursor.hidden = false;
  drawCursor();
});
stage.addEventListener("blur", endStroke);

dialog.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") {
    painting.undo();
    event.preventDefault();
  }
});

for (const name of ["undo", "clear", "invert"]) {
  byId(`mask-${name}`).addEventListener("click", () => {
    painting[name]();
    say();
  });
}
byId("mask-size").addEventListener("input", drawCursor);
byId("mask-done").addEventListener("click", () => finish(painting.done));
byId("mask-cancel").addEventListener("click", () => finish(null));
dialog.addEventListener("close", () => finish(null)); // Escape
window.addEventListener("resize", fit);
