// A job's stream of events. EventSource cannot send the API key, so the stream is read by hand.

import { ApiError, parse, request } from "./api.js";

const FIRST_WAIT = 1000; // milliseconds; doubled with each failure
const LONGEST_WAIT = 10_000;

export const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);

/**
 * Call `onJob` with each state of a job until it is over, connecting again when the stream breaks.
 *
 * `onTrouble` gets a sentence while there is no connection, and null once there is. Throws an
 * `ApiError` if the server refuses, for example with 404 for a job that it has forgotten.
 */
export async function follow(id, { onJob, onTrouble, signal }) {
  let wait = FIRST_WAIT;
  for (;;) {
    try {
      for await (const job of states(id, signal)) {
        wait = FIRST_WAIT;
        onTrouble(null);
        onJob(job);
        if (isOver(job)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      const isRefused = error instanceof ApiError && error.status >= 400 && error.status < 500;
      if (isRefused) throw error;
    }
    if (signal.aborted) return;
    onTrouble("The connection to the server is lost. Trying again …");
    await pause(wait, signal);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
}

async function* states(id, signal) {
  const response = await request(`v1/jobs/${id}/events`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (text + value).replaceAll("\r\n", "\n").split("\n\n");
    text = events.pop(); // the beginning of the next event
    for (const event of events) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
