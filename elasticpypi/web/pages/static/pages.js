// What makes the pages quicker to use. All of them work without it.
"use strict";

// ---- The address of this index as the browser has it: a proxy may have changed what the server was told.
const shown = document.querySelector("[data-base]");
if (shown) {
  const told = shown.dataset.base;
  const real = new URL(shown.dataset.root, location.href).href;
  if (told !== real) {
    const [toldScheme, toldRest] = told.split("://");
    const [realScheme, realRest] = real.split("://");
    for (const code of document.querySelectorAll("code[data-copy]")) {
      const pattern = new RegExp(`${escaped(toldScheme)}://([^/@\\s]+@)?${escaped(toldRest)}`, "g");
      code.textContent = code.textContent.replace(pattern, (_, user = "") => `${realScheme}://${user}${realRest}`);
    }
  }
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

// ---- Buttons that copy

async function copy(element) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(element.textContent);
    return;
  }
  // Without TLS there is no clipboard but this one.
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  document.execCommand("copy");
  selection.removeAllRanges();
}

for (const code of document.querySelectorAll("code[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy the ${code.dataset.copy}`);
  button.addEventListener("click", async () => {
    try {
      await copy(code);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Failed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  (code.closest("pre") || code).after(button);
}

// ---- Nothing is deleted before its name was typed; the server asks for it too.

for (const typed of document.querySelectorAll("input[name=confirm]")) {
  const { what } = typed.form.elements;
  const button = typed.form.querySelector("button");
  const check = () => { button.disabled = typed.value.trim() !== what.value; };
  typed.addEventListener("input", check);
  what.addEventListener("change", check);
  check();
}

// ---- Suggestions below the search box (ARIA: combobox with a list)

const form = document.querySelector("form.search");
if (form) {
  const input = form.elements.q;
  const root = form.dataset.root;
  const list = document.createElement("ul");
  let timer = 0;
  let asked = null;
  let current = -1;
  list.id = "suggestions";
  list.className = "suggestions";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Projects");
  form.append(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");

  const close = () => {
    clearTimeout(timer);
    asked?.abort();
    list.hidden = true;
    current = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };

  const choose = (number) => {
    current = number;
    [...list.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === number)));
    if (number < 0) {
      input.removeAttribute("aria-activedescendant");
    } else {
      input.setAttribute("aria-activedescendant", list.children[number].id);
      list.children[number].scrollIntoView({ block: "nearest" });
    }
  };

  const go = (name) => { location.href = `${root}project/${encodeURIComponent(name)}/`; };

  const show = (projects) => {
    list.replaceChildren(...projects.map((project, number) => {
      const item = document.createElement("li");
      const name = document.createElement("strong");
      const summary = document.createElement("span");
      item.id = `suggestion-${number}`;
      item.setAttribute("role", "option");
      name.textContent = project.name;
      summary.textContent = project.upstream ? `from the index ${project.upstream}` : project.summary;
      item.append(name, summary);
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        go(project.name);
      });
      return item;
    }));
    list.hidden = projects.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    choose(-1);
  };

  const ask = async (text) => {
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await fetch(`${form.action}?format=json&q=${encodeURIComponent(text)}`, { signal: asked.signal });
      if (answer.ok) {
        show((await answer.json()).projects.slice(0, 8));
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        close();
      }
    }
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    const text = input.value.trim();
    if (text) {
      timer = setTimeout(ask, 150, text);
    } else {
      close();
    }
  });
  input.addEventListener("keydown", (event) => {
    const count = list.hidden ? 0 : list.children.length;
    if (event.key === "Escape" && count) {
      event.preventDefault();
      close();
    } else if (count && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      choose(((current + 1 + step + count + 1) % (count + 1)) - 1);
    } else if (event.key === "Enter" && current >= 0) {
      event.preventDefault();
      go(list.children[current].firstChild.textContent);
    }
  });
  input.addEventListener("blur", close);
}
