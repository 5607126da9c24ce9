import type { Parameter, ParameterValue, RunParameter } from "./api/types";

/** Values are what was typed, by parameter. A parameter that is not in it has its default. */
export type Values = Record<string, string | undefined>;

/** A parameter with defaultFromSecret takes the value of this key. */
const usualKey = "secret";

/** isSecret reports whether the value of a parameter is in a Secret. Only the name of the Secret is typed and shown. */
export const isSecret = (parameter: Parameter) => Boolean(parameter.defaultFromSecret ?? parameter.defaultSecretKeyRef);

/** secretText is a Secret as it is typed: its name, followed by /KEY unless it is the usual key. */
const secretText = (name: string, key = usualKey) => (key === usualKey ? name : `${name}/${key}`);

/** defaultOf is the default of a parameter as it would be typed. */
export function defaultOf(parameter: Parameter): string {
  const ref = parameter.defaultSecretKeyRef;
  return ref ? secretText(ref.name, ref.key) : parameter.defaultFromSecret ?? parameter.defaultValue ?? "";
}

/** valuesOfRun returns what an earlier run had other than the defaults, of those parameters. */
export function valuesOfRun(parameters: Parameter[], run: RunParameter[]): Values {
  const values: Values = {};
  for (const had of run) {
    const parameter = parameters.find((each) => each.name === had.name);
    if (!parameter) continue;
    const before = isSecret(parameter) ? had.secret && secretText(had.secret, had.key) : had.value;
    if (before !== undefined && before !== defaultOf(parameter)) values[had.name] = before;
  }
  return values;
}

/** overridesOf makes the parameters of a request: those that differ from their defaults. */
export function overridesOf(parameters: Parameter[], values: Values): ParameterValue[] {
  return parameters.flatMap((parameter): ParameterValue[] => {
    const value = values[parameter.name];
    if (value === undefined || value === defaultOf(parameter)) return [];
    if (!isSecret(parameter)) return [{ name: parameter.name, value }];
    if (value === "") return [];
    const [name = "", key] = value.split(/\/(.*)/s, 2);
    const secret = key === undefined ? { fromSecret: name } : { secretKeyRef: { name, key } };
    return [{ name: parameter.name, ...secret }];
  });
}
