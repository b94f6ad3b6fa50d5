// Applies the visitor's choice of light or dark before the page is painted. A plain script: nothing is imported.
{
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
