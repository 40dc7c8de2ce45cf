// What the browser remembers between visits, where it is allowed to.

// Several servers may share an address behind one proxy, each with its own path.
export const PLACE = location.pathname.replace(/[^/]*$/, "");
const PREFIX = `sdrt:${PLACE}:`;

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Storage is full or forbidden: the page works without.
  }
}

export function remembered(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? fallback;
  } catch {
    return fallback;
  }
}
