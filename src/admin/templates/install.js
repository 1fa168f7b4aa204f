// Adds a copy button to each block of lines. The page is complete without it.
"use strict";

// navigator.clipboard exists only on https and localhost, and this page is on plain http.
function copyText(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "copying";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

for (const block of document.querySelectorAll("pre")) {
  const text = block.textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", () => {
    button.textContent = copyText(text) ? "Copied" : "Failed";
    button.focus();
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  block.append(button);
}
