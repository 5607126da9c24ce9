import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import solid from "vite-plugin-solid";
import { defineConfig } from "vitest/config";

/** Types of files that a web server can send compressed. */
const compressible = /\.(js|css|html|svg|json)$/;

/** gzip writes a .gz file beside each text file of the bundle. config.json has none, because operators edit it. */
function gzip(): Plugin {
  let out = "";
  return {
    name: "gzip",
    apply: "build",
    configResolved: (config) => void (out = resolve(config.root, config.build.outDir)),
    closeBundle() {
      for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !compressible.test(entry.name) || entry.name === "config.json") continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    },
  };
}

/**
 * policy is the Content-Security-Policy of the page, for web servers that do not send it as a header. A <meta> cannot
 * contain frame-ancestors. The development server injects scripts, so only the bundle has the policy.
 */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'";

function contentSecurityPolicy(): Plugin {
  return {
    name: "content-security-policy",
    apply: "build",
    transformIndexHtml: () => [
      { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: policy }, injectTo: "head-prepend" },
    ],
  };
}

export default defineConfig({
  base: "./",
  plugins: [solid(), contentSecurityPolicy(), gzip()],
  server: { fs: { allow: [".", "../manifests/examples"] } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the policy forbids data: images
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    manifest: true,
    chunkSizeWarningLimit: 640, // the editor; scripts/size.mjs limits what the first page loads
  },
  test: {
    environment: "jsdom",
    include: ["tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});
