// Set the theme before anything is drawn, so that the page never flashes in the other theme. This is a classic script,
// because modules run too late.
"use strict";
try {
  const chosen = localStorage.getItem("dnarc-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // storage is switched off: the page uses the system's theme
}
