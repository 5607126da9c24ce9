// Fails if the JavaScript that the first page loads is larger than 120 kB compressed. If it succeeds, it removes the
// manifest of the build: a bundle that has one is not finished.
import { readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";

const limit = 120_000;
const manifest = JSON.parse(readFileSync("dist/.vite/manifest.json", "utf8"));
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);

/** initial collects the chunks that a chunk imports statically, and the chunk itself. */
function initial(key, found = new Set()) {
  if (found.has(key)) return found;
  found.add(key);
  for (const next of manifest[key].imports ?? []) initial(next, found);
  return found;
}

let total = 0;
for (const key of initial(entry)) total += gzipSync(readFileSync(`dist/${manifest[key].file}`), { level: 9 }).length;
console.log(`initial JavaScript: ${(total / 1000).toFixed(1)} kB compressed, at most ${limit / 1000} kB`);
if (total > limit) process.exit(1);
rmSync("dist/.vite", { recursive: true });
