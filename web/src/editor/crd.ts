import data from "./crd.json";

/** Kind is a kind of objects that people write. */
export type Kind = keyof typeof data.kinds;

/** Schema describes a value of a manifest. It refers to other schemas by their position in the list. */
export interface Schema {
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  required?: string[];
  properties?: Record<string, number>;
  /** Of the elements of a list. */
  items?: number;
  /** Of the values of a map with free keys. */
  values?: number;
}

/** Path leads to a value: names of fields and positions in lists. */
export type Path = (string | number)[];

const nodes = data.nodes as unknown as Schema[];

/** field returns the schema of a field of a map. */
export function field(schema: Schema | undefined, name: string): Schema | undefined {
  const own = schema?.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : schema?.values;
  return own === undefined ? undefined : nodes[own];
}

/** element returns the schema of the elements of a list. */
export function element(schema: Schema | undefined): Schema | undefined {
  return schema?.items === undefined ? undefined : nodes[schema.items];
}

/** schemaAt returns the schema of the value at a path, or nothing if no field is there. */
export function schemaAt(kind: Kind, path: Path): Schema | undefined {
  let schema = nodes[data.kinds[kind]];
  for (const step of path) {
    schema = typeof step === "number" ? element(schema) : field(schema, step);
  }
  return schema;
}

/** explained returns the field that a path leads to, and its schema. An element is explained by its list. */
export function explained(kind: Kind, path: Path): { name: string; schema: Schema } | undefined {
  const end = path.findLastIndex((step) => typeof step === "string");
  const schema = end < 0 ? undefined : schemaAt(kind, path.slice(0, end + 1));
  return schema && { name: String(path[end]), schema };
}
