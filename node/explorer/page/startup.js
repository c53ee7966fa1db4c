// Say what failed if the page cannot start. A module that does not load or that the browser cannot read would otherwise
// leave an empty page. A classic script on purpose: it runs before the modules, and in browsers without them.
"use strict";
(function () {
  function isEmpty() {
    var content = document.getElementById("content");
    return content !== null && content.childElementCount === 0;
  }
  function tell(words) {
    if (!isEmpty()) return;
    var box = document.createElement("p");
    box.className = "problem";
    box.setAttribute("role", "alert");
    box.textContent = words;
    document.getElementById("content").append(box);
  }
  addEventListener(
    "error",
    function (event) {
      var address = event.target && (event.target.src || event.target.href);
      if (address) tell("This page is not complete: " + address + " did not load. Reload the page.");
      else tell("This page could not start in this browser: " + event.message + ". Use a current browser.");
    },
    true, // a file that does not load is told to listeners of this phase only
  );
  addEventListener("unhandledrejection", function (event) {
    tell("This page could not start in this browser: " + event.reason + ". Use a current browser.");
  });
})();
