// The server's API: requests, errors, and the API key where the server wants one.

import { remember, remembered } from "./memory.js";

/** A request that failed: `status` is 0 where the server could not be reached. */
export class ApiError extends Error {
  constructor(message, { status = 0, param = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.param = param;
    this.retryAfter = retryAfter;
  }
}

let askForKey = async () => null;
let pendingKey = null;

/** `ask` is called when the server wants another key; it gives the key, or null. */
export function setKeyDialog(ask) {
  askForKey = ask;
}

/** All requests that are refused at the same time wait for one dialog. */
async function newKey() {
  pendingKey ??= askForKey().finally(() => (pendingKey = null));
  const key = await pendingKey;
  if (key !== null) remember("key", key);
  return key !== null;
}

/** Fetch, with the key; asks for one and tries again as long as the server refuses. */
export async function request(path, options = {}) {
  for (;;) {
    const key = remembered("key", "");
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    const response = await reach(path, { ...options, headers });
    if (response.ok) return response;
    // Another request may have got a new key in the meantime; then it is worth a try.
    const isStale = remembered("key", "") !== key;
    if (response.status !== 401 || !(isStale || (await newKey()))) throw await failure(response);
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached.");
  }
}

async function failure(response) {
  const after = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const details = { status: response.status, retryAfter: Number.isNaN(after) ? null : after };
  try {
    const { error } = await response.json();
    return new ApiError(error.message, { ...details, param: error.param });
  } catch {
    return new ApiError(`The server answered with status ${response.status}.`, details);
  }
}

// Seeds have up to 63 bits, of which JavaScript's numbers hold 53: longer ones are kept as text.
// Inside of a JSON string the quotes would have backslashes, so this finds the key only.

export const parse = (text) => JSON.parse(text.replace(/"seed":(\s*)(\d{16,})/g, '"seed":$1"$2"'));

export const write = (value) => JSON.stringify(value).replace(/"seed":"(\d+)"/g, '"seed":$1');

const answer = async (path, options) => parse(await (await request(path, options)).text());

export const capabilities = () => answer("v1/capabilities");
export const listJobs = async () => (await answer("v1/jobs")).jobs;
export const getJob = (id) => answer(`v1/jobs/${id}`);
export const cancelJob = (id) => answer(`v1/jobs/${id}`, { method: "DELETE" });
export const getPicture = async (url) => (await request(url)).blob();

/** Send a job; `files` are the start picture and the mask, as blobs, where there are any. */
export function sendJob(body, files = {}) {
  if (!files.image) {
    const headers = { "Content-Type": "application/json" };
    return answer("v1/jobs", { method: "POST", headers, body: write(body) });
  }
  const data = new FormData();
  data.append("request", write(body));
  for (const [name, blob] of Object.entries(files)) {
    if (blob) data.append(name, blob, `${name}.png`);
  }
  return answer("v1/jobs", { method: "POST", body: data });
}

/** The parameters that a PNG holds. */
export function readParameters(blob) {
  const data = new FormData();
  data.append("image", blob, "picture.png");
  return answer("v1/parameters", { method: "POST", body: data });
}
