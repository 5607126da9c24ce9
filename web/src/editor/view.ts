import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import {
  lintGutter,
  linter,
  lintKeymap,
  setDiagnostics,
  setDiagnosticsEffect,
  type Diagnostic,
} from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, StateField, type Range as Decorated } from "@codemirror/state";
import {
  Decoration,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
  tooltips,
  ViewPlugin,
  WidgetType,
  type DecorationSet,
  type ViewUpdate,
} from "@codemirror/view";
import { visible } from "../visible";
import type { Kind } from "./crd";
import type { Fault, Fix } from "./faults";
import { fields } from "./fields";
import { colours, deepest, theme } from "./theme";

export interface Options {
  parent: HTMLElement;
  kind: Kind;
  /** The accessible name. */
  label: string;
  text: string;
  /** Names of the DagTasks of the namespace. */
  dagTasks: () => string[];
  changed: (text: string) => void;
  moved: (offset: number) => void;
  save: () => void;
}

/** Editor is a text that is edited. */
export interface Editor {
  setText: (text: string) => void;
  setFaults: (faults: Fault[]) => void;
  insert: (at: number, text: string) => void;
  /** jump puts the cursor somewhere, and the keyboard into the editor. */
  jump: (offset: number) => void;
  destroy: () => void;
}

/** A message below the line of its fault. */
class Message extends WidgetType {
  constructor(readonly fault: Diagnostic) {
    super();
  }

  override eq(other: Message): boolean {
    return (
      other.fault.message === this.fault.message &&
      other.fault.severity === this.fault.severity &&
      other.fault.actions?.[0]?.name === this.fault.actions?.[0]?.name
    );
  }

  override toDOM(view: EditorView): HTMLElement {
    // The editor measures the outer element, and would miss its margin.
    const outer = document.createElement("div");
    outer.className = "message";
    const element = outer.appendChild(document.createElement("div"));
    element.className = this.fault.severity === "warning" ? "fault warning" : "fault";
    element.appendChild(document.createElement("span")).textContent = this.fault.message;
    for (const action of this.fault.actions ?? []) {
      const button = element.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = action.name;
      button.addEventListener("click", () => action.apply(view, this.fault.from, this.fault.to));
    }
    return outer;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

/** messages are the messages of the diagnostics. They move with their lines until there are new ones. */
const messages = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(shown, transaction) {
    let now = shown.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(setDiagnosticsEffect)) continue;
      const widgets: Decorated<Decoration>[] = effect.value.map((fault) =>
        Decoration.widget({ widget: new Message(fault), block: true, side: 1 }).range(
          transaction.newDoc.lineAt(fault.from).to,
        ),
      );
      now = Decoration.set(widgets, true);
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** hangs lets the rest of a wrapped line begin where the line does. The theme has the classes. */
const hangs = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = this.draw(view);
    }

    update(update: ViewUpdate) {
      if (update.docChanged || update.viewportChanged) this.decorations = this.draw(update.view);
    }

    draw(view: EditorView): DecorationSet {
      const lines: Decorated<Decoration>[] = [];
      for (const { from, to } of view.visibleRanges) {
        for (let at = from; at <= to;) {
          const line = view.state.doc.lineAt(at);
          const indent = Math.min(deepest, /^ *(- *)*/.exec(line.text)?.[0].length ?? 0);
          if (indent) lines.push(Decoration.line({ class: `hang-${indent}` }).range(line.from));
          at = line.to + 1;
        }
      }
      return Decoration.set(lines);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

function actionOf(fix: Fix) {
  return {
    name: fix.label,
    apply: (view: EditorView, from: number, to: number) =>
      view.dispatch({ changes: { from, to, insert: fix.insert }, selection: { anchor: from + fix.insert.length } }),
  };
}

/**
 * createEditor makes an editor in a shadow root of the parent. There its style sheets are adopted ones, which the
 * policy allows. In the document they would be <style> elements, which it forbids.
 */
export function createEditor(options: Options): Editor {
  const root = options.parent.attachShadow({ mode: "open" });
  let isInSight = true;
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lintGutter(),
        lineNumbers(),
        linter(null, { tooltipFilter: () => [] }),
        messages,
        history(),
        drawSelection(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        highlightSpecialChars(),
        bracketMatching(),
        highlightSelectionMatches(),
        search(),
        indentUnit.of("  "),
        yaml(),
        syntaxHighlighting(colours),
        theme,
        EditorView.lineWrapping,
        hangs,
        tooltips({ position: "fixed" }),
        fields(options.kind, options.dagTasks),
        keymap.of([
          { key: "Mod-s", run: () => (options.save(), true) },
          ...searchKeymap,
          ...historyKeymap,
          ...lintKeymap,
          ...defaultKeymap,
        ]),
        EditorView.contentAttributes.of({ "aria-label": options.label, spellcheck: "false", autocapitalize: "off" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.changed(update.state.doc.toString());
          if (!update.docChanged && !update.selectionSet) return;
          isInSight = true; // the view scrolls to it
          options.moved(update.state.selection.main.head);
        }),
      ],
    }),
  });
  // Messages and the list of faults take room. The cursor stays in sight, unless somebody has scrolled away from it.
  const keepInSight = () => {
    if (view.hasFocus && isInSight)
      view.dispatch({ effects: EditorView.scrollIntoView(view.state.selection.main.head) });
  };
  view.scrollDOM.addEventListener("wheel", () => (isInSight = false), { passive: true });
  const resized = new ResizeObserver(keepInSight);
  resized.observe(options.parent);
  return {
    setText: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    setFaults: (faults) => {
      const length = view.state.doc.length;
      view.dispatch(
        setDiagnostics(
          view.state,
          faults.flatMap((fault): Diagnostic[] =>
            fault.range
              ? [
                  {
                    from: Math.min(fault.range.from, length),
                    to: Math.min(fault.range.to, length),
                    severity: fault.isWarning ? "warning" : "error",
                    message: visible(fault.detail),
                    ...(fault.fix && { actions: [actionOf(fault.fix)] }),
                  },
                ]
              : [],
          ),
        ),
      );
      keepInSight();
    },
    insert: (at, text) => {
      view.dispatch({
        changes: { from: at, insert: text },
        selection: { anchor: at + text.trimEnd().length },
        scrollIntoView: true,
      });
      view.focus();
    },
    jump: (offset) => {
      view.dispatch({
        selection: { anchor: Math.min(offset, view.state.doc.length) },
        effects: EditorView.scrollIntoView(Math.min(offset, view.state.doc.length), { y: "center" }),
      });
      view.focus();
    },
    destroy: () => {
      resized.disconnect();
      view.destroy();
    },
  };
}
