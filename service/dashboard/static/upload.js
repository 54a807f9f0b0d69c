// Uploads with progress, by the file button or by drag and drop. Without this file the forms upload by themselves.
(() => {
  "use strict";
  const slots = [...document.querySelectorAll("form[data-upload]")];

  const say = (slot, text, tone) => {
    const result = slot.querySelector(".slot-result");
    result.textContent = text;
    result.className = `slot-result ${tone}`;
    if (tone !== "muted") result.scrollIntoView({ block: "nearest" });
  };

  const answerOf = (request) => {
    try {
      return JSON.parse(request.responseText);
    } catch {
      return {};
    }
  };

  const upload = (slot, file) => {
    const limit = Number(slot.dataset.limitMb);
    if (file.size > limit * 1048576) {
      say(slot, `${file.name} is larger than ${limit} MB. Pack it with gzip, or copy it into the inbox folder.`, "fail");
      return;
    }
    const bar = slot.querySelector("progress");
    const request = new XMLHttpRequest();
    const end = () => {
      bar.hidden = true;
      slot.removeAttribute("aria-busy");
      slot.querySelector("input").value = "";
    };
    slot.setAttribute("aria-busy", "true");
    bar.hidden = false;
    bar.value = 0;
    say(slot, `Uploading ${file.name} …`, "muted");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    });
    request.addEventListener("load", () => {
      end();
      const answer = answerOf(request);
      if (request.status === 200) {
        say(slot, answer.message, "ok");
        document.getElementById("live")?.dispatchEvent(new Event("refresh"));
      } else {
        const why = [answer.detail || `the server answered ${request.status}`, answer.hint].filter(Boolean).join(": ");
        say(slot, `Not uploaded: ${why}.`, "fail");
      }
    });
    request.addEventListener("error", () => {
      end();
      say(slot, "The connection broke off; nothing of the file was kept. Try again.", "fail");
    });
    request.open("POST", slot.dataset.upload);
    request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  };

  // Each file goes to the slot whose name it has; a single other one to the slot on which it was dropped.
  const distribute = (files, target) => {
    for (const file of files) {
      const named = slots.find((slot) => file.name.toLowerCase().startsWith(slot.dataset.stem));
      const slot = named || (files.length === 1 ? target : undefined);
      if (slot) upload(slot, file);
      else say(target || slots[0], `${file.name} has the name of no source: drop it on its slot.`, "fail");
    }
  };

  // Which exports wait, as the live part says. Versions have other names with the same beginning.
  const showWaiting = () => {
    const names = [...document.querySelectorAll("#live [data-waiting]")].map((line) => line.dataset.waiting.toLowerCase());
    for (const slot of slots) slot.classList.toggle("filled", names.some((name) => name.startsWith(slot.dataset.stem)));
    const begin = document.querySelector("[data-begin]");
    if (!begin) return;
    const wanted = slots.filter((slot) => slot.dataset.required === "true" && !slot.classList.contains("filled"));
    begin.textContent = wanted.length
      ? `Drop ${wanted.map((slot) => slot.dataset.fileName).join(" and ")} to begin`
      : "All exports are here";
  };
  document.addEventListener("htmx:after:swap", showWaiting);
  showWaiting();

  const mark = (over) => slots.forEach((slot) => slot.classList.toggle("over", slot === over));

  for (const slot of slots) {
    const input = slot.querySelector("input");
    slot.querySelector(".actions").hidden = true;
    const uploadChosen = () => input.files.length && upload(slot, input.files[0]);
    input.addEventListener("change", uploadChosen);
    uploadChosen(); // a file may have been chosen before this script ran
    slot.addEventListener("submit", (event) => event.preventDefault());
  }
  const isOfFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    mark(event.target.closest("form[data-upload]"));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || mark(null));
  document.addEventListener("drop", (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    mark(null);
    distribute([...event.dataTransfer.files], event.target.closest("form[data-upload]"));
  });
})();
