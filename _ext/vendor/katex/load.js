// Renders the formulas of a page with the KaTeX 0.19.1 beside this file. Sphinx adds this script
// to pages with formulas only, and marks them as .math, wrapped in \( \) or \[ \].
{
  const here = new URL(".", document.currentScript.src);
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("katex.min.css", here);
  const library = document.createElement("script");
  library.src = new URL("katex.min.js", here);

  function render() {
    for (const place of document.querySelectorAll(".math")) {
      const number = place.querySelector(".eqno");
      number?.remove();
      const display = place.tagName === "DIV";
      const source = place.textContent
        .trim()
        .replace(/^\\[([]|\\[)\]]$/g, "")
        .replace(/\{(align|alignat|equation|gather)\}/g, "{$1*}"); // Sphinx has numbered them
      window.katex.render(source, place, { displayMode: display, throwOnError: false });
      if (number) place.prepend(number);
      if (display) place.tabIndex = 0; // a long formula scrolls sideways, by keyboard too
    }
    document.documentElement.dataset.formulas = "rendered";
  }

  library.addEventListener("load", () => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", render);
    else render();
  });
  document.head.append(style, library);
}
