// What all pages have around their content: brand, navigation, light and dark, and a voice for screen readers.
import { h } from "./dom.ts";

export type Page = "learn" | "classify" | "measure";

const PAGES: readonly (readonly [Page, string, string])[] = [
  ["learn", "Learn", "index.html"],
  ["classify", "Classify", "classify.html"],
  ["measure", "Measure", "measure.html"],
];

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = (): boolean =>
  (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
const listeners = new Set<() => void>();

/** Calls `listener` whenever light and dark change; for what is drawn on a canvas. */
export function onTheme(listener: () => void): void {
  listeners.add(listener);
}

function themeToggle(): HTMLButtonElement {
  const button = h("button", { type: "button", class: "quiet theme" });
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent} theme`);
    for (const listener of listeners) listener();
  };
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    show();
  });
  systemDark.addEventListener("change", show);
  show();
  return button;
}

/** Fills the page's `<header class="site">`. The page has a `<main id="main">`. */
export function shell(page: Page): void {
  const header = document.querySelector("header.site");
  if (!header) throw new Error("shell: the page has no <header class=site>");
  const links = PAGES.map(([name, label, href]) =>
    h("a", name === page ? { href, "aria-current": "page" } : { href }, label),
  );
  header.append(
    h("a", { class: "skip", href: "#main" }, "Skip to content"),
    h(
      "div",
      { class: "bar" },
      h("a", { class: "brand", href: "index.html" }, "nfgrad"),
      h("nav", { "aria-label": "Pages" }, ...links),
      themeToggle(),
    ),
  );
}

const voice = h("div", { class: "unseen", role: "status", "aria-live": "polite" });

/** Says something to a screen reader, without showing it. Not for what changes several times a second. */
export function announce(text: string): void {
  if (!voice.isConnected) (document.querySelector("main") ?? document.body).append(voice);
  voice.textContent = text;
}
