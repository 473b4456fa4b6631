// Light, dark or as the system says; set before anything is drawn, kept in this browser.
{
  const root = document.documentElement;
  const orders = ["system", "light", "dark"];
  const known = () => { try { return localStorage.getItem("theme") ?? "system"; } catch { return "system"; } };

  const show = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${theme}`;
  };

  root.classList.add("scripted");
  show(known());
  addEventListener("DOMContentLoaded", () => {
    show(known());
    document.getElementById("theme").addEventListener("click", () => {
      const next = orders[(orders.indexOf(known()) + 1) % orders.length];
      try { localStorage.setItem("theme", next); } catch { /* kept for this page only */ }
      show(next);
      dispatchEvent(new Event("themed"));
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themed")));
}
