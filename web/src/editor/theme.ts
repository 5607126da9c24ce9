import { HighlightStyle } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

/** colours are those of the tokens. Fields are ink, because there are so many. Values and comments stand out from it. */
export const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--ink)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--ansi-cyan)" },
  { tag: [tags.content, tags.literal], color: "var(--ink-2)" },
  { tag: [tags.bool, tags.null, tags.number], color: "var(--ansi-magenta)" },
  { tag: [tags.labelName, tags.typeName, tags.attributeValue, tags.meta], color: "var(--ansi-yellow)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--ink-3)" },
  { tag: [tags.separator, tags.punctuation, tags.squareBracket, tags.brace], color: "var(--ink-3)" },
]);

/** Lines that are indented deeper hang no deeper. */
export const deepest = 24;

const hanging = Object.fromEntries(
  Array.from({ length: deepest }, (_, index) => [
    `.cm-line.hang-${index + 1}`,
    { paddingLeft: `calc(${index + 1}ch + 6px)`, textIndent: `-${index + 1}ch` },
  ]),
);

const floating = {
  backgroundColor: "var(--raised)",
  color: "var(--ink)",
  border: "1px solid var(--line-2)",
  borderRadius: "var(--radius)",
  boxShadow: "var(--elevation-1)",
};

/** theme is how the editor looks. It is an adopted style sheet of its shadow root, which the policy allows. */
export const theme = EditorView.theme({
  "&": { height: "100%", backgroundColor: "var(--sunken)", color: "var(--ink)", font: "var(--m-13)" },
  "&.cm-focused": { outline: "0" }, // the ring is around the host, above the gutter
  ".cm-scroller": { font: "inherit", overflow: "auto", scrollbarWidth: "thin" },
  ".cm-content": { padding: "8px 0 24px", caretColor: "var(--ink)" },
  ".cm-line": { padding: "0 16px 0 6px" },
  ...hanging,
  ".cm-cursor, .cm-dropCursor": { borderLeft: "2px solid var(--ink)" },
  [["", ".cm-focused"].map((focus) => `&${focus} > .cm-scroller > .cm-selectionLayer .cm-selectionBackground`).join(", ")]:
    { backgroundColor: "color-mix(in srgb, var(--running) 28%, transparent)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--ink) 5%, transparent)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--ink-3)", border: "0" },
  ".cm-gutterElement": { font: "var(--m-12)", lineHeight: "20px" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "28px", padding: "0 8px 0 0" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--ink)" },
  ".cm-gutter-lint": { width: "14px" },
  ".cm-gutter-lint .cm-gutterElement": { padding: "0" },
  ".cm-lint-marker": { width: "14px", height: "20px", display: "grid", placeItems: "center" },
  ".cm-lint-marker-error, .cm-lint-marker-warning": { content: "normal" },
  ".cm-lint-marker-error::before": { content: "'✕'", color: "var(--failed)", font: "var(--m-12)", fontWeight: "700" },
  ".cm-lint-marker-warning::before": {
    content: "'!'",
    color: "var(--cancelled)",
    font: "var(--m-12)",
    fontWeight: "700",
  },
  ".cm-lintRange": { paddingBottom: "0" },
  ".cm-lintRange-error, .cm-lintRange-warning": {
    backgroundImage: "none",
    textDecoration: "underline wavy var(--failed)",
    textUnderlineOffset: "4px",
    textDecorationSkipInk: "none",
  },
  ".cm-lintRange-warning": { textDecorationColor: "var(--cancelled)" },
  ".cm-lintRange-active": { backgroundColor: "color-mix(in srgb, var(--failed) 12%, transparent)" },
  ".cm-lintPoint::after": { display: "none" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": {
    backgroundColor: "var(--selected)",
    outline: "1px solid var(--edge)",
  },
  ".cm-nonmatchingBracket, &.cm-focused .cm-nonmatchingBracket": {
    backgroundColor: "transparent",
    color: "var(--failed-ink)",
  },
  ".cm-selectionMatch": { backgroundColor: "var(--selected)" },
  ".cm-searchMatch": { backgroundColor: "var(--hit)", color: "inherit" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--hit-now)", color: "var(--on-hit-now)" },
  ".cm-panels": { backgroundColor: "var(--surface)", color: "var(--ink)", font: "var(--t-13)" },
  ".cm-panels-bottom": { borderTop: "1px solid var(--line)" },
  ".cm-panel.cm-search": { padding: "8px 32px 8px 12px" },
  ".cm-panel.cm-search label": { font: "var(--t-12)" },
  ".cm-textfield": {
    backgroundColor: "var(--surface)",
    border: "1px solid var(--edge)",
    borderRadius: "var(--radius)",
    font: "var(--t-13)",
    color: "var(--ink)",
  },
  ".cm-button": {
    backgroundImage: "none",
    backgroundColor: "var(--surface)",
    border: "1px solid var(--line-2)",
    borderRadius: "var(--radius)",
    font: "var(--t-13)",
    color: "var(--ink)",
  },
  ".cm-panel.cm-search [name=close]": { color: "var(--ink-2)", fontSize: "20px" },
  ".cm-tooltip": floating,
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { font: "var(--m-12)", maxHeight: "14em", padding: "4px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": {
    padding: "2px 8px",
    lineHeight: "20px",
    borderRadius: "var(--radius)",
    display: "flex",
    gap: "12px",
  },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--selected)", color: "var(--ink)" },
  ".cm-completionLabel": { flex: "1" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-completionDetail": { color: "var(--ink-3)", fontStyle: "normal", marginLeft: "0" },
  ".cm-completionInfo": {
    ...floating,
    padding: "8px 12px",
    font: "var(--t-12)",
    color: "var(--ink-2)",
    maxWidth: "320px",
  },
  // Where nothing is free beside the list, the field at the cursor is explained below the editor.
  ".cm-completionInfo-left-narrow, .cm-completionInfo-right-narrow": { display: "none" },
  ".cm-specialChar": { color: "var(--failed-ink)" },
  ".about": {
    padding: "8px 12px",
    maxWidth: "360px",
    font: "var(--t-12)",
    color: "var(--ink-2)",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
  },
  ".about b, .cm-completionInfo b": { color: "var(--ink)", font: "var(--m-12)", fontWeight: "600" },
  ".about p, .cm-completionInfo p": { margin: "2px 0 0", overflowWrap: "anywhere" },
  ".message": { padding: "2px 12px 4px 6px" },
  ".fault": {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: "2px 12px",
    padding: "4px 12px",
    font: "var(--t-13)",
    whiteSpace: "normal",
    overflowWrap: "anywhere",
    color: "var(--failed-ink)",
    backgroundColor: "var(--failed-wash)",
    borderLeft: "2px solid var(--failed)",
  },
  ".fault.warning": {
    color: "var(--cancelled-ink)",
    backgroundColor: "var(--cancelled-wash)",
    borderLeftColor: "var(--cancelled)",
  },
  ".fault button": {
    border: "0",
    padding: "0",
    background: "none",
    color: "inherit",
    font: "inherit",
    textDecoration: "underline",
    textUnderlineOffset: "3px",
    cursor: "pointer",
  },
  ".fault button:focus-visible": { outline: "2px solid var(--focus)", outlineOffset: "2px" },
});
