// The ink of a figure follows the page's scheme: its address says so, see site/ink.py.
(function () {
  "use strict";

  const page = document.documentElement;
  const figures = document.querySelectorAll('.bd-article img[src*="_images/"][src*=".svg"]');

  function address(element, name) {
    const old = element.getAttribute(name);
    const wanted = old.split("#")[0] + (page.dataset.theme === "dark" ? "#dark" : "");
    if (wanted !== old) element.setAttribute(name, wanted);
  }

  function ink(image) {
    const sources = image.parentElement.querySelectorAll(":scope > source");
    sources.forEach((source) => address(source, "srcset"));
    address(image, "src");
  }

  // One that is still on its way is left to arrive: another address would stop it.
  function inkAll() {
    figures.forEach((image) => {
      if (image.complete) ink(image);
      else image.addEventListener("load", () => ink(image), { once: true });
    });
  }

  new MutationObserver(inkAll).observe(page, { attributeFilter: ["data-theme"] });
  inkAll();
})();
