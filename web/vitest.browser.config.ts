import { defineConfig } from "vitest/config";

/** The tests that drive a browser. They need KONTROLER_WEB, the address of a page with the real server behind it. */
export default defineConfig({
  test: { environment: "node", include: ["browser/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000,
    fileParallelism: false },
});
