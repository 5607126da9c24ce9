import { isMap } from "yaml";
import type { Kind } from "./crd";
import { pairOf, read } from "./source";

/** Example is an object of manifests/examples. */
export interface Example {
  /** The name of its file, and of the object if the file has several of the kind. */
  id: string;
  name: string;
  /** The comment at the beginning of its file or before it. */
  about: string;
  text: string;
}

const files = import.meta.glob<string>("../../../manifests/examples/*.yaml", {
  query: "?raw",
  import: "default",
  eager: true,
});

/** examplesOf returns the examples of a kind, short ones first. They have no namespace, because people choose one. */
export function examplesOf(kind: Kind): Example[] {
  return Object.entries(files)
    .flatMap(([file, content]) => {
      const stem = file.replace(/^.*\/|\.yaml$/g, "");
      const documents = content.split(/^---\n/m);
      const found = documents.map((text) => withoutNamespace(text)).filter((each) => each.kind === kind);
      return found.map((each, index) => ({
        id: index ? `${stem}/${each.name}` : stem,
        name: each.name,
        text: each.text,
        about: commentOf(each.text) || (index ? "" : commentOf(documents[0] ?? "")),
      }));
    })
    .sort((a, b) => a.text.length - b.text.length);
}

function withoutNamespace(text: string): { kind: unknown; name: string; text: string } {
  const { document } = read(text);
  const metadata = document.get("metadata");
  const pair = isMap(metadata) ? pairOf(metadata, "namespace") : undefined;
  const from = (pair?.key as { range?: [number, number, number] } | undefined)?.range?.[0];
  const name = isMap(metadata) ? String(metadata.get("name") ?? "") : "";
  if (from === undefined) return { kind: document.get("kind"), name, text };
  const line = text.lastIndexOf("\n", from) + 1;
  return { kind: document.get("kind"), name, text: text.slice(0, line) + text.slice(text.indexOf("\n", from) + 1) };
}

/** commentOf returns the comment at the beginning of a text, up to its first empty line, as one line. */
function commentOf(text: string): string {
  const lines =
    /^(#.*\n)+/
      .exec(text)?.[0]
      .split("\n")
      .map((line) => line.replace(/^# ?/, "")) ?? [];
  const end = lines.findIndex((line) => line.trim() === "");
  return lines
    .slice(0, end < 0 ? undefined : end)
    .filter((line) => !/^ {2,}/.test(line))
    .join(" ")
    .trim();
}
