import {
  autocompletion,
  closeBrackets,
  completionKeymap,
  startCompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from "@codemirror/autocomplete";
import { Prec, type EditorState, type Extension } from "@codemirror/state";
import { EditorView, hoverTooltip, keymap, type Tooltip } from "@codemirror/view";
import { text } from "../text";
import { complete, type Candidate } from "./complete";
import { explained, type Kind, type Schema } from "./crd";
import { pathAt, read } from "./source";

const typeOf = (schema: Schema | undefined) => text.edit.types[schema?.type ?? ""] ?? schema?.type ?? "";

/** explanation is what the schema says of a field, as text. */
export function explanation(schema: Schema | undefined): { type: string; lines: string[] } {
  return {
    type: typeOf(schema),
    lines: [
      schema?.description ?? "",
      (schema?.enum?.length ?? 0) > 1 ? text.edit.oneOf((schema?.enum ?? []).map(String)) : "",
      schema?.default !== undefined
        ? text.edit.default(typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default))
        : "",
    ].filter(Boolean),
  };
}

function render(name: string, schema: Schema | undefined): HTMLElement {
  const { type, lines } = explanation(schema);
  const element = document.createElement("div");
  const head = element.appendChild(document.createElement("b"));
  head.textContent = name;
  element.append(` ${type}`);
  for (const line of lines) element.appendChild(document.createElement("p")).textContent = line;
  return element;
}

/** apply writes a candidate, puts the cursor at its place, and offers what comes next. */
function apply(candidate: Candidate) {
  return (view: EditorView, _: Completion, from: number, to: number) => {
    const at = candidate.apply.indexOf("|");
    const insert = candidate.apply.replace("|", "");
    view.dispatch({
      changes: { from, to, insert },
      selection: { anchor: from + (at < 0 ? insert.length : at) },
      userEvent: "input.complete",
      scrollIntoView: true,
    });
    if (candidate.kind === "field" && at >= 0) startCompletion(view);
  };
}

const detailOf = ({ kind, schema, isRequired, isDefault }: Candidate) =>
  kind === "value"
    ? isDefault
      ? text.edit.defaultValue
      : ""
    : isRequired
      ? `${typeOf(schema)}, ${text.edit.required}`
      : typeOf(schema);

function source(kind: Kind, dagTasks: () => string[]) {
  return (context: CompletionContext): CompletionResult | null => {
    const found = complete(kind, context.state.doc.toString(), context.pos, dagTasks());
    if (!found || (!context.explicit && found.from === context.pos && !isAfterOpening(context.state, context.pos)))
      return null;
    return {
      from: found.from,
      validFor: /^[\w./-]*$/,
      options: found.candidates.map((candidate) => ({
        label: candidate.label,
        detail: detailOf(candidate),
        boost: candidate.isRequired ? 10 : 0,
        apply: apply(candidate),
        ...(candidate.schema && { info: () => render(candidate.label, candidate.schema) }),
      })),
    };
  };
}

/** isAfterOpening reports whether a value is about to be typed: after a colon, a dash or a bracket. */
const isAfterOpening = (state: EditorState, offset: number) =>
  /(: |- |\[|, )$/.test(state.doc.lineAt(offset).text.slice(0, offset - state.doc.lineAt(offset).from));

/** fields completes and explains the fields of a kind. Tab is left alone, so that the keyboard can leave the editor. */
export function fields(kind: Kind, dagTasks: () => string[]): Extension {
  return [
    closeBrackets(),
    // Enter takes what is shown as soon as it is shown. With a delay it would break the line instead.
    autocompletion({
      interactionDelay: 0,
      override: [source(kind, dagTasks)],
      icons: false,
      defaultKeymap: false,
      maxRenderedOptions: 80,
    }),
    Prec.highest(keymap.of(completionKeymap)),
    hoverTooltip((view, offset): Tooltip | null => {
      const found = pathAt(read(view.state.doc.toString()), offset);
      const field = found && explained(kind, found.path);
      if (!found || !field?.schema.description) return null;
      return {
        pos: found.range.from,
        end: found.range.to,
        above: true,
        create: () => {
          const dom = render(field.name, field.schema);
          dom.className = "about";
          return { dom };
        },
      };
    }),
  ];
}
