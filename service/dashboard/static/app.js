// Theme switch, copy buttons, relative times, and a warning where the dashboard does not answer. Every page works without
// this file.
(() => {
  "use strict";
  const root = document.documentElement;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  const name = (button) => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use the light theme" : "Use the dark theme");
  };

  const dress = (within) => {
    within.querySelectorAll("[data-copy]").forEach((button) => {
      button.hidden = !navigator.clipboard;
    });
  };

  document.querySelectorAll("[data-theme-switch]").forEach((button) => {
    name(button);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => name(button));
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
      name(button);
    });
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });

  dress(document);
  new MutationObserver(() => dress(document)).observe(document.body, { childList: true, subtree: true });

  // ---------------------------------------------------------------------------------------- relative times

  // In the words of formats.ago. The server's clock counts, as it does in the page.
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const ahead = root.dataset.now ? Date.parse(root.dataset.now) - Date.now() : 0;

  const ago = (then) => {
    const seconds = (Date.now() + ahead - then) / 1000;
    const [length, unit] = units.find(([length]) => Math.abs(seconds) >= length) || [];
    if (!unit) return "just now";
    const count = Math.floor(Math.abs(seconds) / length);
    const words = `${count.toLocaleString("en-US")} ${unit}${count === 1 ? "" : "s"}`;
    return seconds > 0 ? `${words} ago` : `in ${words}`;
  };

  const tick = () => {
    // Only the overview refreshes the time of the last scan; on other pages it stays as it was when the page was made.
    const isLive = document.querySelector("#live[hx-get]");
    document.querySelectorAll("time.relative").forEach((time) => {
      if (!isLive && time.closest("#scan")) return;
      const words = ago(Date.parse(time.dateTime));
      if (time.textContent !== words) time.textContent = words;
    });
  };

  // ------------------------------------------------------------------------- a dashboard that does not answer

  const mostSilentMs = 10000;
  const isPoll = (element) => element?.matches?.('[hx-trigger^="every"]');
  let answeredAt = Date.now();
  let watchedFrom = answeredAt;
  let banner = null;

  const warn = () => {
    if (banner) return;
    banner = document.createElement("p");
    banner.className = "note fail on-top";
    banner.setAttribute("role", "alert");
    const since = new Date(answeredAt + ahead).toLocaleTimeString("en-GB");
    banner.textContent = `No answer from the dashboard since ${since}. Is it running?`;
    document.getElementById("content").prepend(banner);
    document.body.classList.add("silent");
  };

  const noteAnswer = () => {
    answeredAt = watchedFrom = Date.now();
    banner?.remove();
    banner = null;
    document.body.classList.remove("silent");
  };

  const isFailure = (event) => event.detail?.ctx?.response?.status >= 400;
  document.addEventListener("htmx:after:request", (event) => isFailure(event) || noteAnswer());
  document.addEventListener("htmx:error", (event) => isPoll(event.target) && event.detail?.ctx && warn());
  document.addEventListener("htmx:response:error", (event) => isPoll(event.target) && warn());
  // An error is no part of a page: what is shown stays, below the banner.
  document.addEventListener("htmx:before:swap", (event) => isFailure(event) && event.preventDefault());
  // A page in the background polls late or not at all.
  document.addEventListener("visibilitychange", () => (watchedFrom = Date.now()));

  setInterval(() => {
    tick();
    const isWatched = !document.hidden && document.querySelector('[hx-trigger^="every"]');
    if (isWatched && Date.now() - Math.max(answeredAt, watchedFrom) > mostSilentMs) warn();
  }, 1000);
})();
