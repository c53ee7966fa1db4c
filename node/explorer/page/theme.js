// Set the theme before anything is drawn, so that the page never flashes in the other one. A classic script on purpose:
// modules run too late for that.
"use strict";
try {
  const chosen = localStorage.getItem("dnarc-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // storage is switched off: the system's theme will do
}
