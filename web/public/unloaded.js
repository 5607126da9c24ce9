// While the UI is replaced by another version, a page may name scripts that its server has not yet, or no longer. A
// blank page would not say so. The policy forbids scripts in the page, so this is a file, whose name never changes.
addEventListener("error", (event) => {
  if (!(event.target instanceof HTMLScriptElement) || document.querySelector("[data-unloaded]")) return;
  const notice = document.createElement("p"), reload = document.createElement("button");
  notice.dataset.unloaded = "";
  notice.setAttribute("role", "alert");
  reload.textContent = "Reload";
  reload.addEventListener("click", () => location.reload());
  notice.append("A part of this page could not be loaded. It may have been replaced just now. ", reload);
  document.documentElement.append(notice);
}, true);
