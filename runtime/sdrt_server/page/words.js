// How numbers and states are said.

/** Seconds as people say them: "0.2 s", "12 s", "3 min 5 s". */
export function seconds(value) {
  if (value < 0.0995) return `${value.toFixed(3)} s`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 59.5) return `${Math.round(value)} s`;
  const whole = Math.round(value);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export const size = (width, height) => `${width} × ${height}`;

export const plural = (count, word) => `${count} ${word}${Number(count) === 1 ? "" : "s"}`;

/** A sentence begins with a capital and ends with a full stop. */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const end = /[.!?]$/.test(trimmed) ? "" : ".";
  return trimmed[0].toUpperCase() + trimmed.slice(1) + end;
}

/** What a job is doing, for people. */
export function activity(job) {
  if (job.state === "queued") {
    return job.ahead ? `Waiting: ${plural(job.ahead, "job")} ahead` : "Waiting: next in line";
  }
  if (job.stage === "decoding") return "Decoding the picture";
  if (job.stage !== "denoising") return "Preparing the model";
  const left = job.seconds_left === null ? "" : ` · ${seconds(job.seconds_left)} left`;
  return `Step ${job.step} of ${job.steps}${left}`;
}
