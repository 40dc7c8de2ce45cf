// A mask as the list of what was painted, which makes undoing simple: paint all but the last again.

// Visible on most pictures. What is sent is white; see `maskFile`.
const COLOUR = "rgb(255 45 120)";

/**
 * One thing that was done: `{ kind: "stroke", erases, diameter, points }`, `{ kind: "clear" }` or
 * `{ kind: "invert" }`. Lengths are in pixels of the picture.
 */
export class MaskPainting {
  #context;
  #done;

  constructor(canvas, { width, height }, done = []) {
    Object.assign(canvas, { width, height });
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    this.#done = [...done];
    this.#paintAll();
  }

  get done() {
    return this.#done;
  }

  begin(point, diameter, erases) {
    this.#add({ kind: "stroke", erases, diameter, points: [point] });
  }

  /** Go on with the stroke that was begun last. */
  extend(point) {
    const stroke = this.#done.at(-1);
    stroke.points.push(point);
    this.#line(stroke, stroke.points.slice(-2));
  }

  clear() {
    this.#add({ kind: "clear" });
  }

  invert() {
    this.#add({ kind: "invert" });
  }

  undo() {
    this.#done.pop();
    this.#paintAll();
  }

  /** The share of the picture that is painted, 0 to 1. */
  get share() {
    const { data } = this.#pixels();
    let count = 0;
    for (let at = 3; at < data.length; at += 4) if (data[at] >= 128) count += 1;
    return count / (data.length / 4);
  }

  /** The mask as a PNG file: white where painted, black elsewhere, nothing between. */
  async file() {
    const pixels = this.#pixels();
    const { data } = pixels;
    for (let at = 0; at < data.length; at += 4) {
      data.fill(data[at + 3] >= 128 ? 255 : 0, at, at + 3);
      data[at + 3] = 255;
    }
    const canvas = new OffscreenCanvas(pixels.width, pixels.height);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }

  #pixels() {
    const { width, height } = this.#context.canvas;
    return this.#context.getImageData(0, 0, width, height);
  }

  #add(thing) {
    this.#done.push(thing);
    this.#paint(thing);
  }

  #paintAll() {
    const { width, height } = this.#context.canvas;
    this.#context.clearRect(0, 0, width, height);
    for (const thing of this.#done) this.#paint(thing);
  }

  #paint(thing) {
    const { width, height } = this.#context.canvas;
    if (thing.kind === "stroke") this.#line(thing, thing.points);
    else if (thing.kind === "clear") this.#context.clearRect(0, 0, width, height);
    else {
      // "xor" with a full area leaves what was empty.
      this.#context.globalCompositeOperation = "xor";
      this.#context.fillStyle = COLOUR;
      this.#context.fillRect(0, 0, width, height);
    }
  }

  #line({ erases, diameter }, points) {
    const context = this.#context;
    context.globalCompositeOperation = erases ? "destination-out" : "source-over";
    context.strokeStyle = context.fillStyle = COLOUR;
    context.lineWidth = diameter;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    if (points.length === 1) {
      // A line of no length would not be drawn.
      context.arc(points[0].x, points[0].y, diameter / 2, 0, 2 * Math.PI);
      context.fill();
      return;
    }
    for (const { x, y } of points) context.lineTo(x, y);
    context.stroke();
  }
}
