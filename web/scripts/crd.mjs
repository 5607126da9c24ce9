// Makes of the schemas of CustomResourceDefinitions what the editor needs to complete and to explain fields.

/** What the schema of a CustomResourceDefinition does not say, because Kubernetes knows it, or says at great length. */
const apiVersion = "The version of the schema of the object.";
const kind = "The kind of the object.";
const metadata = {
  type: "object",
  description: "Name, labels and annotations.",
  required: ["name"],
  properties: {
    name: { type: "string", description: "The name, unique among the objects of the kind in the namespace. It cannot be changed." },
    namespace: { type: "string", description: "The namespace. It cannot be changed." },
    labels: { type: "object", description: "Labels, to find and to group objects.", additionalProperties: { type: "string" } },
    annotations: { type: "object", description: "Notes of any kind, for people and tools.", additionalProperties: { type: "string" } },
  },
};

/**
 * compact returns the schemas of the kinds as JSON. A schema is a line of the list nodes, and refers to others by their
 * position. Equal schemas are one: DAGs and DagTasks share most of theirs.
 */
export function compact(crds) {
  const nodes = [], places = new Map(), kinds = {};
  const add = (schema) => {
    const { description, type, default: fallback, required, properties, items, additionalProperties } = schema;
    const node = {
      type: schema["x-kubernetes-int-or-string"] ? "integer or string" : type,
      description: description?.replace(/\s*\n\s*/g, " "),
      default: fallback, enum: schema.enum, required,
      properties: properties && Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, add(property)])),
      items: items && add(items),
      values: typeof additionalProperties === "object" ? add(additionalProperties) : undefined,
    };
    const line = JSON.stringify(node);
    if (!places.has(line)) places.set(line, nodes.push(line) - 1);
    return places.get(line);
  };
  for (const { spec } of crds) {
    const [version] = spec.versions;
    const schema = version.schema.openAPIV3Schema;
    kinds[spec.names.kind] = add({
      ...schema,
      required: ["apiVersion", "kind", "metadata", "spec"],
      properties: {
        apiVersion: { type: "string", description: apiVersion, enum: [`${spec.group}/${version.name}`] },
        kind: { type: "string", description: kind, enum: [spec.names.kind] },
        metadata, spec: schema.properties.spec,
      },
    });
  }
  return `{"kinds":${JSON.stringify(kinds)},"nodes":[\n${nodes.join(",\n")}\n]}\n`;
}
