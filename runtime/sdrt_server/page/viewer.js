// One picture of the gallery, large, with its parameters and what can be done with it.

import { byId } from "./dom.js";
import { tables } from "./parameters_table.js";

const dialog = byId("viewer");

export class Viewer {
  #gallery;
  #picture = null;

  /** `act` has the functions `use(picture)` and `start(picture)`. */
  constructor(gallery, act) {
    this.#gallery = gallery;
    gallery.onopen = (picture) => this.open(picture);
    byId("viewer-newer").addEventListener("click", () => this.#walk(-1));
    byId("viewer-older").addEventListener("click", () => this.#walk(1));
    byId("viewer-close").addEventListener("click", () => dialog.close());
    byId("viewer-delete").addEventListener("click", () => this.#delete());
    for (const name of ["use", "start"]) {
      byId(`viewer-${name}`).addEventListener("click", () => {
        dialog.close();
        act[name](this.#picture);
      });
    }
    dialog.addEventListener("keydown", ({ key }) => {
      if (key === "ArrowLeft") this.#walk(-1);
      if (key === "ArrowRight") this.#walk(1);
    });
  }

  open(picture) {
    this.#show(picture);
    dialog.showModal();
  }

  get #at() {
    return this.#gallery.pictures.findIndex(({ key }) => key === this.#picture.key);
  }

  #walk(step) {
    const next = this.#gallery.pictures[this.#at + step];
    if (next) this.#show(next);
  }

  #show(picture) {
    this.#picture = picture;
    const { pictures } = this.#gallery;
    const url = this.#gallery.url(picture);
    byId("viewer-image").src = url;
    byId("viewer-image").alt = picture.parameters.prompt || `Seed ${picture.seed}`;
    byId("viewer-position").textContent = `${this.#at + 1} of ${pictures.length}`;
    // A disabled button would lose the focus while walking by it.
    byId("viewer-newer").setAttribute("aria-disabled", String(this.#at === 0));
    byId("viewer-older").setAttribute("aria-disabled", String(this.#at === pictures.length - 1));
    Object.assign(byId("viewer-download"), { href: url, download: `sdrt-${picture.seed}.png` });
    byId("viewer-details").replaceChildren(...tables(picture));
    byId("viewer-details").scrollTop = 0;
  }

  async #delete() {
    const { pictures } = this.#gallery;
    const next = pictures[this.#at + 1] ?? pictures[this.#at - 1];
    const { key } = this.#picture;
    if (next) this.#show(next);
    else dialog.close();
    await this.#gallery.remove(key);
    if (next) this.#show(next); // its place has changed
  }
}
