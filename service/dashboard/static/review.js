// Keys of the review, and the name of who decides, which this browser remembers. Without this file the buttons do the same.
(() => {
  "use strict";
  const switchName = "review-keys";
  const ignoredMs = 150; // a second stroke of the same key must not answer a question that was not seen yet

  document.querySelectorAll("[data-remember]").forEach((input) => {
    input.value = localStorage.getItem(input.dataset.remember) || "";
    input.addEventListener("change", () => localStorage.setItem(input.dataset.remember, input.value.trim()));
  });

  const help = document.querySelector("[data-keys]");
  if (!help) return;
  const button = help.querySelector("[data-keys-switch]");
  const targets = [...document.querySelectorAll("[data-key]")];
  const shortcuts = new Map(targets.map((target) => [target.dataset.key, target]));
  let isSent = false;

  const isOn = () => localStorage.getItem(switchName) !== "off";

  const show = () => {
    document.querySelectorAll("[data-key-hint]").forEach((hint) => (hint.hidden = !isOn()));
    for (const target of targets) {
      if (isOn()) target.setAttribute("aria-keyshortcuts", target.dataset.key);
      else target.removeAttribute("aria-keyshortcuts");
    }
    button.textContent = isOn() ? "Turn the keys off" : "Turn the keys on";
  };

  button.addEventListener("click", () => {
    localStorage.setItem(switchName, isOn() ? "off" : "on");
    show();
  });

  const isTyped = (element) => element.matches("input, textarea, select") || element.isContentEditable;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return;
    if (isTyped(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const target = isOn() && shortcuts.get(event.key.toLowerCase());
    if (!target || isSent || !document.documentElement.dataset.keysReady) return;
    event.preventDefault();
    isSent = target.closest("a, form") !== null;
    target.click();
  });

  // A page that the browser kept is shown again by its Back button.
  addEventListener("pageshow", () => (isSent = false));
  help.hidden = false;
  show();
  setTimeout(() => (document.documentElement.dataset.keysReady = "true"), ignoredMs);
})();
