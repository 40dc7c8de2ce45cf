// The gallery: pictures of this and earlier visits, the newest first.

import { getPicture } from "./api.js";
import { button, byId, confirmed, element } from "./dom.js";
import { forget, forgetAll, keep, keptPictures, tooMany } from "./gallery_store.js";
import { plural } from "./words.js";

export class Gallery {
  pictures = [];
  /** Called with a picture to be shown large. */
  onopen = () => {};
  #urls = new Map();

  constructor() {
    byId("clear-gallery").addEventListener("click", () => this.#clear());
  }

  async load() {
    this.pictures = await keptPictures();
    this.#draw();
  }

  /** Fetch the pictures of a job that is done, and keep them. */
  async add(job) {
    const added = await Promise.all(
      job.images.map(async ({ url, ...image }, index) => ({
        ...image,
        key: `${job.id}/${index}`,
        index,
        made: job.created,
        blob: await getPicture(url),
        timings: job.timings,
        warnings: job.warnings,
      })),
    );
    const keys = new Set(added.map(({ key }) => key));
    this.pictures = [...added, ...this.pictures.filter(({ key }) => !keys.has(key))];
    const kept = await Promise.all(added.map(keep));
    for (const { key } of tooMany(this.pictures)) await this.remove(key);
    this.#draw();
    byId("gallery-note").hidden = kept.every(Boolean);
    return added;
  }

  async remove(key) {
    this.pictures = this.pictures.filter((picture) => picture.key !== key);
    this.#release(key);
    this.#draw();
    await forget(key);
  }

  /** An address of a picture for this visit. */
  url({ key, blob }) {
    if (!this.#urls.has(key)) this.#urls.set(key, URL.createObjectURL(blob));
    return this.#urls.get(key);
  }

  #release(key) {
    URL.revokeObjectURL(this.#urls.get(key));
    this.#urls.delete(key);
  }

  async #clear() {
    const count = plural(this.pictures.length, "picture");
    if (!(await confirmed(`Delete ${count} from this browser?`, "Delete all"))) return;
    for (const { key } of this.pictures) this.#release(key);
    this.pictures = [];
    this.#draw();
    await forgetAll();
  }

  #draw() {
    const list = byId("gallery-list");
    const shown = new Map([...list.children].map((item) => [item.dataset.key, item]));
    list.replaceChildren(...this.pictures.map((picture) => shown.get(picture.key) ?? this.#thumbnail(picture)));
    byId("gallery-empty").hidden = this.pictures.length > 0;
    byId("clear-gallery").hidden = this.pictures.length === 0;
  }

  #thumbnail(picture) {
    const { prompt } = picture.parameters;
    const image = element("img", {
      src: this.url(picture), alt: prompt || `Seed ${picture.seed}`, loading: "lazy", decoding: "async",
    });
    const open = button("", () => this.onopen(picture), { className: "thumbnail", title: prompt });
    open.append(image);
    const item = element("li", {}, open);
    item.dataset.key = picture.key;
    return item;
  }
}
