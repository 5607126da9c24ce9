import { createSignal } from "solid-js";

export type Theme = "system" | "light" | "dark";

function stored(): Theme {
  try {
    const value = localStorage.getItem("theme");
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

const [theme, setThemeSignal] = createSignal<Theme>(stored());
export { theme };

/** applyTheme puts the theme on the page. tokens.css does the rest. */
export function applyTheme(): void {
  if (theme() === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme();
}

/** nextTheme goes from the system's theme to light, dark, and back. */
export function nextTheme(): void {
  const order: Theme[] = ["system", "light", "dark"];
  setThemeSignal(order[(order.indexOf(theme()) + 1) % order.length] ?? "system");
  try {
    localStorage.setItem("theme", theme());
  } catch {
    // A browser that stores nothing still shows it.
  }
  applyTheme();
}
