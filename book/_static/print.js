// On paper nothing can be unfolded. The theme's script does this for solutions alone.
(function () {
  "use strict";

  let opened = [];

  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll(".bd-article details:not([open])")];
    opened.forEach((box) => { box.open = true; });
  });
  window.addEventListener("afterprint", () => {
    opened.forEach((box) => { box.open = false; });
    opened = [];
  });
})();
