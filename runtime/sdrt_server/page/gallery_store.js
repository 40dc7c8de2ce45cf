// The pictures that this browser keeps: PNG files as the server gave them, and what is known of them.

import { PLACE } from "./memory.js";

// As with what is remembered, several servers may share an address.
const DATABASE = `sdrt:${PLACE}`;
const STORE = "pictures";
const MOST = 200;

let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const opened = indexedDB.open(DATABASE, 1);
    opened.onupgradeneeded = () => opened.result.createObjectStore(STORE, { keyPath: "key" });
    opened.onsuccess = () => resolve(opened.result);
    opened.onerror = () => reject(opened.error);
  });
  return opening;
}

/** Do something with the store in one transaction; resolves to its result once that is written. */
async function inStore(mode, action) {
  const transaction = (await open()).transaction(STORE, mode);
  const wanted = action(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(wanted.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** All pictures, the newest first; none where the browser keeps nothing, as in private windows. */
export async function keptPictures() {
  try {
    const pictures = await inStore("readonly", (store) => store.getAll());
    return pictures.sort((a, b) => b.made - a.made || a.index - b.index);
  } catch {
    return [];
  }
}

/**
 * Keep a picture; one with the same key is replaced, so that two tabs do not keep it twice.
 *
 * Gives whether it is kept: the disk may be full, or the browser may keep nothing.
 */
export const keep = (picture) => quietly((store) => store.put(picture));
export const forget = (key) => quietly((store) => store.delete(key));
export const forgetAll = () => quietly((store) => store.clear());

/** The pictures beyond the most that are kept. */
export const tooMany = (pictures) => pictures.slice(MOST);

async function quietly(action) {
  try {
    await inStore("readwrite", action);
    return true;
  } catch {
    return false;
  }
}
