import { isError, plainText } from "./ansi";

/** Row is a line of a log, a part of too long a line, or a notice about what is missing at its place. */
export interface Row {
  /** Its position among the rows. It never changes. */
  index: number;
  /** The number of the line, counted from the beginning or from the last gap. 0 is a notice. */
  number: number;
  text: string;
  isAfterGap: boolean;
  /** It is the next part of the line of the row before it, and has its number. */
  isContinuation?: boolean;
  /** It stands for lines that this page has dropped. They are in the whole text. */
  isDropped?: boolean;
}

/** So many characters of a log are kept. Beyond that the older half is dropped. */
export const mostKept = 32 << 20;

/** A row counts as so many characters more: a log may consist of empty lines. */
const rowCost = 16;

/**
 * A row has at most so many characters. A longer line has several rows: it may never end, and whatever is seen of a row
 * is in the document with all of the row.
 */
export const longestRow = 4 << 10;

/** No line is cut so many characters or fewer behind the beginning of an escape sequence. */
const longestEscape = 32;

/** cutAt is where too long a line is cut: neither within an escape sequence nor within a character. */
function cutAt(line: string): number {
  const escape = line.lastIndexOf("\x1b", longestRow - 1);
  if (escape >= longestRow - longestEscape) return escape;
  const isHalf = /[\ud800-\udbff]/.test(line.charAt(longestRow - 1));
  return isHalf ? longestRow - 1 : longestRow;
}

/** So many errors are marked beside the log. */
const mostErrors = 200;

/** Lines are the rows of a log in the order in which they came. */
export class Lines {
  readonly rows: Row[] = [];
  /** The first rows that look like an error. */
  readonly errors: Row[] = [];
  /** Of how many lines there are rows. */
  count = 0;
  private rest = "";
  private counted = 0;
  /** What the rows count as, and how many characters were dropped before them. */
  private kept = 0;
  private dropped = 0;
  private isAfterGap = false;
  /** The next row continues the line of the last one. */
  private isWithinLine = false;

  /** append adds a part of the log. A part may end within a line. */
  append(part: string): void {
    const lines = (this.rest + part).split("\n");
    const last = lines.pop() ?? "";
    for (const line of lines) this.pushLine(line);
    this.rest = this.pushLong(last);
  }

  /** finish adds what follows the last line break. */
  finish(): void {
    if (this.rest) this.pushLine(this.rest);
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
    next.dropped = this.dropped;
    for (next.kept = this.kept; next.kept > most / 2 && first < this.rows.length; first++) {
      const row = this.rows[first] as Row;
      if (!row.number) continue;
      next.kept -= row.text.length + rowCost;
      next.dropped += row.text.length;
    }
    next.rows.push({ index: 0, number: 0, text: notice(next.dropped), isAfterGap: false, isDropped: true });
    for (const row of this.rows.slice(first)) next.rows.push({ ...row, index: next.rows.length });
    for (const row of this.errors) if (row.index >= first) next.errors.push(next.rows[row.index - first + 1] as Row);
    next.count = next.rows.filter((row) => row.number && (!row.isContinuation || row.index === 1)).length;
    [next.rest, next.counted, next.isAfterGap] = [this.rest, this.counted, this.isAfterGap];
    next.isWithinLine = this.isWithinLine;
    return next;
  }

  private pushLine(line: string): void {
    this.push(this.pushLong(line));
    this.isWithinLine = false;
  }

  /** pushLong adds rows until the rest of a line fits into one, and returns the rest. */
  private pushLong(line: string): string {
    let from = 0;
    while (line.length - from > longestRow) {
      const part = line.slice(from, from + longestRow);
      const end = cutAt(part);
      this.push(part.slice(0, end));
      this.isWithinLine = true;
      from += end;
    }
    return line.slice(from);
  }

  private push(text: string): void {
    this.kept += text.length + rowCost;
    if (!this.isWithinLine) {
      this.count++;
      this.counted++;
    }
    const row: Row = { index: this.rows.length, number: this.counted, text, isAfterGap: this.isAfterGap };
    if (this.isWithinLine) row.isContinuation = true;
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
