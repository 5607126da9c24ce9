import { render } from "solid-js/web";
import { App } from "./app";
import { configure } from "./api/client";
import { ended, restore } from "./session";
import { applyTheme } from "./theme";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/app.css";

/** readConfig reads config.json, which names the path of the API. A missing or broken file means the default. */
async function readConfig(): Promise<{ api: string }> {
  try {
    const response = await fetch(new URL("config.json", document.baseURI.split("#")[0]), { cache: "no-cache" });
    const config = (await response.json()) as { api?: unknown };
    return { api: typeof config.api === "string" ? config.api : "api/v1" };
  } catch {
    return { api: "api/v1" };
  }
}

applyTheme();
const config = await readConfig();
configure(config.api, ended);
void restore();
render(() => <App />, document.body);
