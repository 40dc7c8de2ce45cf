// Puts the parts of the page together.

import { ApiError, capabilities, readParameters, setKeyDialog } from "./api.js";
import { button, byId, dialogIsOpen } from "./dom.js";
import { takeDropped } from "./dropping.js";
import { clearFormError, focusFirstError, showFieldError, showFormError } from "./field_errors.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { JobLine } from "./job_line.js";
import { askForKey } from "./key_dialog.js";
import { remember, remembered } from "./memory.js";
import { clearNotice, notice } from "./notice.js";
import { Stage } from "./stage.js";
import { StartPicture } from "./start_picture.js";
import { Viewer } from "./viewer.js";
import { plural, sentence } from "./words.js";

const start = new StartPicture();
const form = new Form(start);
const gallery = new Gallery();
const stage = new Stage();
const viewer = new Viewer(gallery, { use: ({ blob }) => takeParameters(blob), start: startFrom });
const line = new JobLine({ changed: showLine, over, lost, trouble });
let sending = Promise.resolve(); // jobs are sent in the order in which they were asked for

form.onunknown = notice;
stage.onopen = (picture) => viewer.open(picture);
stage.oncancel = cancel;
setKeyDialog(askForKey);

// What is asked for

/** Whether the server has said what it offers. */
const isReady = () => !byId("generate").disabled;

function generate() {
  if (!isReady()) return;
  const body = form.body();
  if (!body) return focusFirstError();
  clearFormError();
  clearNotice();
  const { files } = start;
  sending = sending.then(() => send(body, files));
}

async function send(body, files) {
  try {
    await line.send(body, files);
    stage.reveal();
  } catch (error) {
    sayError(error);
    focusFirstError();
  }
}

async function cancel(id) {
  try {
    await line.cancel(id);
  } catch (error) {
    sayError(error, () => cancel(id));
  }
}

/** Say an error where it belongs: beside its field, or else above the button. */
function sayError({ message, status, param, retryAfter }, again = generate) {
  if (showFieldError(param, message)) return;
  const isTemporary = [0, 429, 503].includes(status);
  const wait = retryAfter && status === 429 ? ` There may be room in ${plural(retryAfter, "second")}.` : "";
  showFormError(sentence(message) + wait, isTemporary ? button("Try again", again) : null);
}

// What becomes of it

function showLine() {
  stage.showJob(line.shown);
  stage.showLine(line.waiting);
}

async function over(job) {
  if (job.state === "done") {
    try {
      const pictures = await gallery.add(job);
      remember("seed", pictures[0].seed);
      byId("same-seed").disabled = false;
      stage.showPictures(job, pictures, (picture) => gallery.url(picture));
      return;
    } catch (error) {
      stage.say(`The picture could not be fetched. ${sentence(error.message)}`, true);
    }
  } else if (job.state === "failed") {
    showFieldError(job.error?.param, job.error?.message ?? "");
    stage.say(`No picture: ${sentence(job.error?.message ?? "the job failed")}`, true);
  } else stage.say("Stopped.");
  stage.clearPreview();
}

/** The server has forgotten a job, or does not tell about it. */
function lost(error) {
  const isForgotten = error.status === 404;
  const text = "The server no longer knows the job; it may have been restarted.";
  stage.say(isForgotten ? text : sentence(error.message), true);
  stage.clearPreview();
}

function trouble(text) {
  byId("connection").textContent = text ?? "";
}

// Pictures as a source

function startFrom({ blob }) {
  start.set(blob);
  byId("start").scrollIntoView({ block: "nearest" });
}

/** Show the parameters that made a picture in the form; without any, offer to start from it. */
async function takeParameters(blob) {
  if (!isReady()) return;
  let found;
  try {
    found = await readParameters(blob);
  } catch (error) {
    const hasNone = error instanceof ApiError && error.status === 400;
    if (!hasNone) return sayError(error, () => takeParameters(blob));
    found = { options: {}, record: null, text: null };
  }
  const { options, record, text } = found;
  if (!record && !text) {
    notice("This picture holds no parameters.", ["Start from it", () => startFrom({ blob })]);
    return;
  }
  clearFormError();
  notice(record?.init_image?.image
    ? "The parameters are in the form. The picture was made from another one, which it does not contain."
    : "The picture's parameters are in the form.");
  form.setOptions(options);
  if (record?.model && !options.model) form.sayUnknown("model", record.model);
  byId("prompt").focus();
}

// Keys, buttons and files

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
document.addEventListener("keydown", (event) => {
  if (dialogIsOpen()) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    byId("form").requestSubmit();
  } else if (event.key === "Escape" && line.shown) cancel(line.shown.id);
});
byId("stop").addEventListener("click", () => line.shown && cancel(line.shown.id));
byId("same-seed").addEventListener("click", () => form.setSeed(remembered("seed", "")));
byId("parameters-file").addEventListener("change", ({ target }) => {
  if (target.files[0]) takeParameters(target.files[0]);
  target.value = "";
});
takeDropped({ start: (blob) => startFrom({ blob }), parameters: takeParameters });

// The beginning

/** Wait for the server, which may still be starting. */
async function connected() {
  for (;;) {
    try {
      const found = await capabilities();
      trouble(null);
      return found;
    } catch (error) {
      if (error.status === 401) {
        await new Promise((resolve) => notice(sentence(error.message), ["Enter the key", resolve]));
        continue;
      }
      trouble(`${sentence(error.message)} Trying again …`);
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

async function begin() {
  byId("same-seed").disabled = remembered("seed", null) === null;
  await gallery.load();
  const found = await connected();
  form.offer(found);
  byId("generate").disabled = false;
  const { version, machine, backend, threads } = found;
  byId("about").textContent = `sdrt ${version} · ${machine} · ${backend} · ${plural(threads, "thread")}`;
  await line.takeUp();
}

begin();
