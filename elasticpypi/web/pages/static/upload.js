// Uploads from the page: a bar for each file, and what the index says of it. Without it, the form is sent as it is.
"use strict";

const sheet = document.querySelector("form.upload");
const chooser = sheet.elements.content;
const sending = document.querySelector(".sending");
const root = sheet.dataset.root;
const direct = Number(sheet.dataset.direct); // bytes beyond which files go to the store itself; 0: none do
const HASHED = 2 ** 30; // the browser's own SHA-256 wants all bytes in memory
const ROUNDS = 4;
const PAUSE = 2000;
let busy = false;

// ---- A file: its line on the page

class Line {
  constructor(file) {
    this.item = element("li", "");
    this.bar = element("progress", "");
    this.said = element("span", "said", "Ready");
    this.bar.max = Math.max(file.size, 1);
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", file.name);
    this.said.setAttribute("role", "status");
    this.item.append(element("span", "name", file.name), element("span", "size", size(file.size)), this.bar, this.said);
  }

  say(text, value) {
    if (this.said.textContent !== text) {
      this.said.textContent = text;
    }
    if (value === undefined) {
      this.bar.removeAttribute("value"); // it takes a while, nobody knows how long
    } else {
      this.bar.value = value;
    }
  }

  end(state, text) {
    this.item.className = state;
    this.say(text, state === "done" ? this.bar.max : 0);
  }

  lead(project) {
    const link = element("a", "", `See ${project}`);
    link.href = `${root}project/${encodeURIComponent(project)}/`;
    this.said.append(" ", link);
  }
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function size(bytes) {
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (bytes >= unit) {
      return `${(bytes / unit).toFixed(1)} ${name}`;
    }
  }
  return `${bytes} B`;
}

// ---- Requests: with XMLHttpRequest, since fetch does not tell how much has left

function request(method, address, body, progress) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open(method, address);
    sent.setRequestHeader("Accept", "application/json");
    sent.upload.onprogress = (event) => progress?.(event.loaded);
    sent.onload = () => resolve(sent);
    sent.onerror = () => reject(new Error("The connection broke. Try again: what has arrived is not sent twice."));
    sent.send(body);
  });
}

async function ask(method, address, body, progress) {
  const { status, responseText } = await request(method, address, body, progress);
  let answer = {};
  try {
    answer = JSON.parse(responseText);
  } catch {
    // A proxy in between has words of its own.
  }
  if (status === 413) {
    throw new Error(`${answer.message || "Too large."} The command \`elasticpypi upload\` takes files of any size.`);
  }
  if (status >= 400) {
    throw new Error(answer.message || `The server answered ${status}.`);
  }
  return answer;
}

// ---- The two ways into the index

async function sendDirectly(file, line) {
  const form = new FormData();
  form.append("token", sheet.elements.token.value);
  form.append("content", file);
  const progress = (loaded) => line.say(loaded < file.size ? "Uploading" : "Checking", Math.min(loaded, file.size));
  progress(0);
  return (await ask("POST", sheet.action, form, progress)).messages.join(" ");
}

async function sendParts(file, line) {
  line.say("Reading");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  const fields = {
    ":action": "file_upload",
    protocol_version: "1",
    filetype: file.name.endsWith(".whl") ? "bdist_wheel" : "sdist",
    sha256_digest: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    filename: file.name,
    size: file.size,
  };
  let now = await ask("POST", `${root}uploads/`, new URLSearchParams(fields));
  const address = `${root}uploads/${now.id}`;
  for (let round = 0; now.state === "open" && round < ROUNDS; round++) {
    await sendMissing(file, line, now);
    now = await ask("POST", address); // it knows better than we do which parts arrived
  }
  while (now.state === "checking") {
    line.say("Checking");
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    now = await ask("GET", address);
  }
  if (now.state === "direct") {
    return sendDirectly(file, line);
  }
  if (now.state !== "done") {
    throw new Error(now.message || "Some parts did not arrive. Try again: those that did are not sent twice.");
  }
  return now.message;
}

async function sendMissing(file, line, { part_size: length, missing }) {
  const parts = Object.entries(missing).map(([number, link]) => [file.slice((number - 1) * length, number * length), link]);
  let arrived = file.size - parts.reduce((sum, [part]) => sum + part.size, 0);
  for (const [part, link] of parts) {
    try {
      await request("PUT", link, part, (loaded) => line.say("Uploading", arrived + loaded));
    } catch {
      continue; // the next round has it again
    }
    arrived += part.size;
  }
}

function send(file, line) {
  if (!direct || file.size <= direct) {
    return sendDirectly(file, line);
  }
  if (file.size > HASHED || !globalThis.crypto?.subtle) {
    throw new Error("Too large for this page. The command `elasticpypi upload` takes files of any size.");
  }
  return sendParts(file, line);
}

function projectOf(name) {
  const spelled = name.endsWith(".whl") ? name.split("-")[0] : name.replace(/-[^-]*$/, "");
  return spelled.replace(/[-_.]+/g, "-").toLowerCase();
}

// ---- Choosing, dropping, sending

let lines = [];

function show() {
  lines = Array.from(chooser.files, (file) => [file, new Line(file)]);
  sending.replaceChildren(...lines.map(([, line]) => line.item));
}

chooser.addEventListener("change", show);
show(); // browsers remember what was chosen before

sheet.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = sheet.querySelector("button");
  show();
  busy = button.disabled = chooser.disabled = true;
  for (const [file, line] of lines) {
    try {
      line.end("done", await send(file, line));
      line.lead(projectOf(file.name));
    } catch (error) {
      line.end("failed", error.message);
    }
  }
  busy = button.disabled = chooser.disabled = false;
});

// The whole page takes what is dropped: a browser would open it otherwise, and leave.
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    sheet.classList.toggle("over", kind === "dragover" && !busy);
  });
}
document.addEventListener("drop", ({ dataTransfer }) => {
  if (!busy && dataTransfer.files.length) {
    chooser.files = dataTransfer.files;
    show();
  }
});
addEventListener("beforeunload", (event) => {
  if (busy) {
    event.preventDefault();
  }
});
