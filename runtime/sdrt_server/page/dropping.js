// Pictures that are dropped or pasted on the page.

import { byId } from "./dom.js";

const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
const isPicture = ({ type }) => type.startsWith("image/");

/** `take` has the functions `start(blob)` and `parameters(blob)`. */
export function takeDropped(take) {
  let leaving = 0;

  function show(isOver) {
    document.body.classList.toggle("dropping", isOver);
    byId("drop-hint").hidden = !isOver;
  }

  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    clearTimeout(leaving);
    // Leaving the window is reported unreliably; while over the page, this event keeps coming.
    leaving = setTimeout(() => show(false), 400);
    show(true);
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // the browser would leave the page for the file
    show(false);
    const file = [...event.dataTransfer.files].find(isPicture);
    if (!file) return;
    // Only PNG files hold parameters.
    const isStart = file.type !== "image/png" || event.target.closest?.("#start");
    (isStart ? take.start : take.parameters)(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(isPicture);
    if (!file || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    take.start(file);
  });
}
