import { defineConfig } from "vitest/config";

/** What drives a browser. It needs KONTROLER_WEB, the address of a page with the real server behind it. */
export default defineConfig({
  test: { environment: "node", include: ["browser/**/*.{test,bench}.ts"], testTimeout: 60_000, hookTimeout: 60_000,
    fileParallelism: false, disableConsoleIntercept: true },
});
