// The page works without this: it remembers the reader's choice of light or dark, and lets what
// changes be exchanged in place instead of the whole page being loaded again.
"use strict";
(() => {
  const root = document.documentElement;
  const store = {
    get() { try { return localStorage.getItem("theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("theme", theme); } catch { /* not remembered, still applied */ } },
  };
  const chosen = store.get();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  const exchange = (fresh) => {
    const old = document.getElementById("main");
    const main = fresh.getElementById("main");
    if (!old || !main) return;
    const parts = [...main.children];
    const same = parts.length === old.children.length &&
      parts.every((part, i) => part.id === old.children[i].id && part.tagName === old.children[i].tagName);
    const open = [...old.querySelectorAll("details[open]")].map((d) => d.id);
    for (const id of open) main.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
    if (!same) { old.replaceWith(main); return; }
    parts.forEach((part, i) => {
      const before = old.children[i];
      if (before.isEqualNode(part)) return;
      // Whoever is reading or typing here is not disturbed; the next turn comes soon.
      if (before.contains(document.activeElement) && document.activeElement !== document.body) return;
      const lefts = [...before.querySelectorAll(".scroll, .charts")].map((s) => s.scrollLeft);
      before.replaceWith(part);
      part.querySelectorAll(".scroll, .charts").forEach((s, n) => { s.scrollLeft = lefts[n] ?? 0; });
    });
  };

  const live = async () => {
    const seconds = Number(document.body.dataset.refresh);
    if (!seconds) return;
    const again = () => setTimeout(live, seconds * 1000);
    const selected = getSelection();
    if (document.hidden || (selected && !selected.isCollapsed)) { again(); return; }
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      exchange(fresh);
      document.title = fresh.title;
      if (fresh.body.dataset.refresh) document.body.dataset.refresh = fresh.body.dataset.refresh;
      else delete document.body.dataset.refresh;
    } catch { /* the server is gone for a moment: what is shown stays */ }
    again();
  };

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      button.addEventListener("click", () => {
        root.dataset.theme = isDark() ? "light" : "dark";
        store.set(root.dataset.theme);
      });
    }
    setTimeout(live, Number(document.body.dataset.refresh || 0) * 1000);
  });
})();
