// The start picture and its mask.

import { byId } from "./dom.js";
import { clearErrors, showFieldError } from "./field_errors.js";
import { paintMask } from "./mask_dialog.js";
import { MaskPainting } from "./mask_painting.js";

export class StartPicture {
  /** What is sent: the picture and the mask as PNG files. */
  files = {};
  /** The size of the picture in pixels, null without one. */
  size = null;
  onchange = () => {};
  #url = null;
  #painted = []; // what was painted of the mask, see MaskPainting
  #mostPixels = Infinity;

  constructor() {
    byId("image").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.set(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
    byId("remove-start").addEventListener("click", () => {
      this.remove();
      byId("image").focus();
    });
    byId("mask").addEventListener("click", () => this.#paint());
    byId("remove-mask").addEventListener("click", () => {
      this.#setPainted([]);
      byId("mask").focus();
    });
  }

  /** Show what a model can start from. */
  offer({ starts_from: kinds, name }, { max_pixels: most }) {
    this.#mostPixels = most;
    const [image, mask] = [kinds.includes("image"), kinds.includes("mask")];
    byId("start").hidden = !image && !mask;
    byId("mask").hidden = !mask;
    byId("strength").closest(".field").hidden = !kinds.includes("noise") && !mask; // it edits
    byId("start-note").hidden = kinds.includes("noise");
    byId("start-note").textContent = image
      ? `${name} changes a picture, so it needs one.`
      : `${name} needs a picture, and a mask of what to repaint.`;
    this.#show();
  }

  /** Start from a picture, without a mask. A very large one is made smaller first. */
  async set(blob) {
    clearErrors(byId("start"));
    try {
      const picture = await createImageBitmap(blob);
      const scale = Math.min(1, Math.sqrt(this.#mostPixels / (picture.width * picture.height)));
      const fitted = (side) => Math.max(1, Math.floor(side * scale));
      this.size = { width: fitted(picture.width), height: fitted(picture.height) };
      // Others are drawn anew, so that a camera's turned pictures are upright for the mask too.
      const isFit = scale === 1 && blob.type === "image/png";
      this.files = { image: isFit ? blob : await redrawn(picture, this.size) };
    } catch {
      showFieldError("image", "This file is no picture that the browser can open");
      return;
    }
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(this.files.image);
    byId("start-picture").src = this.#url;
    await this.#setPainted([]);
  }

  remove() {
    clearErrors(byId("start"));
    this.files = {};
    this.size = null;
    this.#setPainted([]);
  }

  async #paint() {
    const painted = await paintMask(this.#url, this.size, this.#painted);
    if (painted) await this.#setPainted(painted);
  }

  async #setPainted(painted) {
    this.#painted = painted;
    const { image } = this.files;
    this.files = { image };
    if (image && painted.length) {
      const mask = new MaskPainting(byId("start-mask"), this.size, painted);
      if (mask.share > 0) this.files.mask = await mask.file();
    }
    this.#show();
    this.onchange();
  }

  #show() {
    const hasMask = Boolean(this.files.mask);
    byId("start-empty").hidden = this.size !== null;
    byId("start-chosen").hidden = this.size === null;
    byId("start-mask").hidden = !hasMask;
    byId("remove-mask").hidden = !hasMask;
    byId("mask").textContent = hasMask ? "Change the mask" : "Paint a mask";
    byId("strength").placeholder = hasMask ? "1" : "0.8";
  }
}

async function redrawn(picture, { width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/png" });
}
