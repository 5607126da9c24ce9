/** toYAML writes a JSON value as YAML, in the layout of kubectl. It is for reading; the server parses what is written. */
export function toYAML(value: unknown): string {
  return write(value, "").replace(/^\n/, "");
}

const plain = /^[A-Za-z_/][\w ./:@%+()=,-]*$/;
const special = /^(true|false|null|yes|no|on|off|y|n|~|[-+.]?\d.*)$/i;

function scalar(value: unknown, indent: string): string {
  if (typeof value !== "string") return JSON.stringify(value) ?? "null";
  const isBlock = value.includes("\n") && !/[^\n\x20-\x7e\u00a0-\ud7ff]/.test(value) && !/^\s/.test(value) && !/ \n/.test(value);
  if (isBlock) {
    const chomp = value.endsWith("\n\n") ? "+" : value.endsWith("\n") ? "" : "-";
    const lines = value.replace(/\n$/, "").split("\n");
    return `|${chomp}\n${lines.map((line) => (line ? `${indent}${line}` : "")).join("\n")}`;
  }
  const isPlain = plain.test(value) && !special.test(value) && !/: |:$|\s$/.test(value);
  return isPlain ? value : JSON.stringify(value);
}

function isEmpty(value: object): boolean {
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
}

/** write returns a value that stands after a key or a dash. A map or list begins with a line break. */
function write(value: unknown, indent: string): string {
  if (value === null || typeof value !== "object") return scalar(value, `${indent}  `.slice(indent ? 0 : 2));
  if (isEmpty(value)) return Array.isArray(value) ? "[]" : "{}";
  if (Array.isArray(value)) {
    return value.map((item) => {
      const text = write(item, `${indent}  `);
      return `\n${indent}- ${text.startsWith("\n") ? text.slice(indent.length + 3) : text}`;
    }).join("");
  }
  return Object.entries(value).filter(([, item]) => item !== undefined).map(([key, item]) => {
    const deeper = Array.isArray(item) ? indent : `${indent}  `;
    const text = item !== null && typeof item === "object" ? write(item, deeper) : scalar(item, `${indent}  `);
    return `\n${indent}${scalar(key, "")}:${text.startsWith("\n") ? "" : " "}${text}`;
  }).join("");
}
