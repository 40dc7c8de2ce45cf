// The jobs that this page has sent and that are not over, in the order of sending.
//
// A browser opens only about six connections to one server, so only one job has a stream of events:
// the one that runs, or else the first. The others are asked for when that one has changed.

import { cancelJob, getJob, listJobs, sendJob } from "./api.js";
import { follow, isOver } from "./events.js";
import { remember, remembered } from "./memory.js";

export class JobLine {
  #jobs = [];
  #known = new Set(); // ids of jobs that this page has, or had
  #followed = null;
  #on;

  /** `on` has the functions `changed(jobs)`, `over(job)`, `trouble(text)` and `lost(error)`. */
  constructor(on) {
    this.#on = on;
  }

  /** The job that is shown large: the one that runs, or else the first in line. */
  get shown() {
    return this.#jobs.find((job) => job.state === "running") ?? this.#jobs[0] ?? null;
  }

  get waiting() {
    return this.#jobs.filter((job) => job !== this.shown);
  }

  /** Go on with the jobs of an earlier visit; those that are over by now are reported as such. */
  async takeUp() {
    const found = await Promise.all(
      remembered("jobs", []).map((id) => getJob(id).catch(() => null)), // null: forgotten
    );
    this.#jobs.unshift(...found.filter((job) => job));
    remember("jobs", []);
    for (const job of this.#jobs.filter(isOver)) this.#take(job);
    this.#changed();
  }

  async send(body, files) {
    this.#jobs.push(await sendJob(body, files));
    this.#changed();
  }

  async cancel(id) {
    this.#take(await cancelJob(id));
    this.#changed();
    await this.#askForOthers(); // they have moved up
  }

  /** Put a job's new state in the place of its old one. */
  #take(job) {
    const at = this.#jobs.findIndex(({ id }) => id === job.id);
    if (at < 0) return;
    if (isOver(job)) {
      this.#jobs.splice(at, 1);
      this.#on.over(job);
    } else {
      // The preview stays until there is a newer one.
      this.#jobs[at] = { ...job, preview: job.preview ?? this.#jobs[at].preview };
    }
  }

  #changed() {
    // Another tab may have sent jobs too.
    const own = this.#jobs.map(({ id }) => id);
    for (const id of own) this.#known.add(id);
    remember("jobs", [...remembered("jobs", []).filter((id) => !this.#known.has(id)), ...own]);
    this.#on.changed();
    this.#followShown();
  }

  #followShown() {
    const id = this.shown?.id ?? null;
    if (id === (this.#followed?.id ?? null)) return;
    this.#followed?.controller.abort();
    this.#followed = id && { id, controller: new AbortController() };
    if (!id) return this.#on.trouble(null);
    const onJob = (job) => this.#heard(job);
    const { signal } = this.#followed.controller;
    follow(id, { onJob, onTrouble: this.#on.trouble, signal }).catch((error) => {
      this.#jobs = this.#jobs.filter((job) => job.id !== id);
      this.#on.lost(error);
      this.#changed();
    });
  }

  #heard(job) {
    const before = this.#jobs.find(({ id }) => id === job.id);
    const hasMoved = before?.state !== job.state || before?.ahead !== job.ahead;
    this.#take(job);
    this.#changed();
    if (hasMoved) this.#askForOthers();
  }

  async #askForOthers() {
    const ids = new Set(this.waiting.map(({ id }) => id));
    if (!ids.size) return;
    try {
      for (const job of (await listJobs()).filter(({ id }) => ids.has(id))) {
        this.#take(isOver(job) ? await getJob(job.id) : job); // the list has no parameters
      }
    } catch {
      return; // the stream of the job that is followed will say what is wrong
    }
    this.#changed();
  }
}
