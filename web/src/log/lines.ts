import { isError, plainText } from "./ansi";

/** Row is a line of a log, or a notice about what is missing at its place. */
export interface Row {
  /** Its position among the rows. It never changes. */
  index: number;
  /** The number of the line, counted from the beginning or from the last gap. 0 is a notice. */
  number: number;
  text: string;
  isAfterGap: boolean;
  /** It stands for lines that this page has dropped. They are in the whole text. */
  isDropped?: boolean;
}

/** So many characters of a log are kept. Beyond that the older half is dropped. */
export const mostKept = 32 << 20;

/** So many errors are marked beside the log. */
const mostErrors = 200;

/** Lines are the rows of a log in the order in which they came. */
export class Lines {
  readonly rows: Row[] = [];
  /** The first rows that look like an error. */
  readonly errors: Row[] = [];
  private rest = "";
  private counted = 0;
  /** How many characters the rows have, and how many were dropped before them. */
  private kept = 0;
  private dropped = 0;
  private isAfterGap = false;

  /** append adds a part of the log. A part may end within a line. */
  append(part: string): void {
    const lines = (this.rest + part).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.push(line);
  }

  /** finish adds what follows the last line break. */
  finish(): void {
    if (this.rest) this.push(this.rest);
    this.rest = "";
  }

  /** gap notes that something is missing here. After it nobody knows the number of a line. */
  gap(notice: string): void {
    this.finish();
    this.rows.push({ index: this.rows.length, number: 0, text: notice, isAfterGap: false });
    this.counted = 0;
    this.isAfterGap = true;
  }

  /**
   * bounded returns these lines, or new ones that lack the older half of too long a log. They have the same numbers and
   * other positions. notice is what stands where lines were dropped.
   */
  bounded(notice: (dropped: number) => string, most = mostKept): Lines {
    if (this.kept <= most) return this;
    const next = new Lines();
    let first = 0;
    for (next.kept = this.kept; next.kept > most / 2 && first < this.rows.length; first++) {
      const row = this.rows[first] as Row;
      if (row.number) next.kept -= row.text.length;
    }
    next.dropped = this.dropped + this.kept - next.kept;
    next.rows.push({ index: 0, number: 0, text: notice(next.dropped), isAfterGap: false, isDropped: true });
    for (const row of this.rows.slice(first)) next.rows.push({ ...row, index: next.rows.length });
    for (const row of this.errors) if (row.index >= first) next.errors.push(next.rows[row.index - first + 1] as Row);
    [next.rest, next.counted, next.isAfterGap] = [this.rest, this.counted, this.isAfterGap];
    return next;
  }

  private push(text: string): void {
    this.kept += text.length;
    const row = { index: this.rows.length, number: ++this.counted, text, isAfterGap: this.isAfterGap };
    this.rows.push(row);
    if (this.errors.length < mostErrors && isError(plainText(text))) this.errors.push(row);
  }
}

/** Heights are where rows stand, in units of one row, when long lines wrap. */
export class Heights {
  private readonly ends: number[] = [];

  constructor(private readonly columns: number) {}

  get length(): number {
    return this.ends.length;
  }

  get total(): number {
    return this.ends[this.ends.length - 1] ?? 0;
  }

  /** add measures more rows. */
  add(rows: readonly Row[]): void {
    for (let index = this.ends.length; index < rows.length; index++) {
      const row = rows[index] as Row;
      this.ends.push(this.total + (row.number === 0 ? 3 : wrapped(row.text, this.columns)));
    }
  }

  /** top returns where a row begins. */
  top(index: number): number {
    return index <= 0 ? 0 : this.ends[Math.min(index, this.ends.length) - 1] ?? 0;
  }

  /** at returns the row at a height. */
  at(height: number): number {
    let low = 0, high = this.ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ends[middle] as number) <= height) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, Math.max(0, this.ends.length - 1));
  }
}

/** wrapped returns how many rows a line takes. Infinity columns do not wrap. */
function wrapped(text: string, columns: number): number {
  if (text.length <= columns || columns === Infinity) return 1;
  let width = 0;
  for (const character of plainText(text)) {
    const code = character.codePointAt(0) ?? 0;
    width += code === 9 ? 8 - (width % 8) : code >= 0x1100 && (code <= 0x115f || (code >= 0x2e80 && code <= 0xffdc) || code >= 0x1f300) ? 2 : 1;
  }
  return Math.max(1, Math.ceil(width / columns));
}

/** Search finds the rows that contain a text, whatever its case. Rows that come later are added to what it found. */
export class Search {
  readonly hits: Row[] = [];
  private searched = 0;

  /** folded are the texts of the rows in lower case, as far as any search needed them. */
  constructor(private readonly query: string, private readonly folded: string[] = []) {}

  /** add searches the rows that it has not searched yet. */
  add(rows: readonly Row[]): void {
    if (!this.query) return;
    const wanted = this.query.toLowerCase();
    for (; this.searched < rows.length; this.searched++) {
      const row = rows[this.searched] as Row;
      const text = (this.folded[row.index] ??= row.number > 0 ? plainText(row.text).toLowerCase() : "");
      if (text.includes(wanted)) this.hits.push(row);
    }
  }
}
