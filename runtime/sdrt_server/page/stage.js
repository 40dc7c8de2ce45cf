// Where the picture appears: progress, preview, the result, and what waits in line.

import { button, byId, element } from "./dom.js";
import { activity, plural, seconds, sentence, size } from "./words.js";

const TITLE = "sdrt";

export class Stage {
  /** Called with a picture of the result that is to be shown large. */
  onopen = () => {};
  /** Called with the id of a job in line that is to be cancelled. */
  oncancel = () => {};
  #spoken = "";
  #line = "";

  /** Show the job that runs or is next, or null. */
  showJob(job) {
    const hadFocus = document.activeElement === byId("stop");
    byId("progress").hidden = job === null;
    byId("stage").setAttribute("aria-busy", String(job !== null));
    if (!job) {
      if (hadFocus) byId("generate").focus({ preventScroll: true });
      document.title = TITLE;
      this.#speak("");
      return;
    }
    const percent = job.steps ? Math.floor((100 * job.step) / job.steps) : 0;
    const isMoving = job.state === "running" && job.stage !== "preparing" && job.step > 0;
    const bar = byId("progress-bar");
    bar.max = 100;
    if (isMoving) bar.value = percent;
    else bar.removeAttribute("value"); // shown as busy, without an amount
    byId("progress-text").textContent = activity(job);
    document.title = job.state === "queued" ? `Waiting - ${TITLE}` : `${percent} % - ${TITLE}`;
    // Every step would be too much to listen to.
    const quarter = 25 * Math.floor(percent / 25);
    this.#speak(job.stage === "denoising" ? `${quarter} percent` : activity(job));
    if (job.state === "running") this.#showPreview(job.preview);
  }

  /** Show the jobs that wait, each with a button that takes it out of the line. */
  showLine(jobs) {
    const state = JSON.stringify(jobs.map(({ id, ahead }) => [id, ahead]));
    if (state === this.#line) return; // drawing anew would take the focus off a button
    this.#line = state;
    byId("line").hidden = jobs.length === 0;
    byId("line").replaceChildren(
      ...jobs.map((job) => {
        const words = `${activity(job)} · ${job.prompt || "no prompt"}`;
        const label = `Cancel: ${job.prompt}`;
        const cancel = button("Cancel", () => this.oncancel(job.id), { "aria-label": label });
        return element("li", {}, element("span", { className: "words", title: job.prompt }, words), cancel);
      }),
    );
  }

  /** Show the pictures of a job that is done; `url` gives the address of each. */
  showPictures(job, pictures, url) {
    const shown = pictures.map((picture) => {
      const alt = picture.parameters.prompt || `Seed ${picture.seed}`;
      const image = element("img", { src: url(picture), alt });
      const title = "Show it large, with its parameters";
      const open = button("", () => this.onopen(picture), { className: "picture", title });
      open.append(image);
      return open;
    });
    this.#put(shown);
    const [first] = pictures;
    const facts = [
      pictures.length > 1 && plural(pictures.length, "picture"),
      `seed ${first.seed}`,
      size(first.width, first.height),
      job.elapsed !== null && seconds(job.elapsed),
    ];
    this.say([facts.filter(Boolean).join(" · "), ...job.warnings.map(sentence)].join("\n"));
  }

  /** Take a preview away that nothing came of. */
  clearPreview() {
    if (byId("pictures").querySelector(".preview")) {
      this.#put([element("p", { className: "empty" }, "Your picture will appear here.")]);
    }
  }

  /** Scroll to it, unless it is in view. */
  reveal() {
    const { top, bottom } = byId("stage").getBoundingClientRect();
    if (top < 0 || bottom > window.innerHeight) byId("stage").scrollIntoView({ block: "start" });
  }

  say(text, isBad = false) {
    byId("outcome").textContent = text;
    byId("outcome").classList.toggle("bad", isBad);
  }

  #showPreview(address) {
    if (!address) return;
    const shown = byId("pictures").querySelector(".preview img");
    if (shown) {
      shown.src = address;
      return;
    }
    this.say("");
    const image = element("img", { src: address, alt: "Preview of the picture that is being made" });
    this.#put([element("div", { className: "picture preview" }, image)]);
  }

  #put(items) {
    byId("pictures").classList.toggle("many", items.length > 1);
    byId("pictures").dataset.count = items.length;
    byId("pictures").replaceChildren(...items);
  }

  #speak(text) {
    if (text === this.#spoken) return;
    this.#spoken = text;
    byId("progress-spoken").textContent = text;
  }
}
