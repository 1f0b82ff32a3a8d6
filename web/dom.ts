/**
 * Elements and tables. Text only ever becomes a text node: nothing that a peer chose can be markup.
 */

type Child = Node | string | null;
type Attributes = Readonly<Record<string, string>>;

/** An element with attributes and children; strings become text. */
export function element(name: string, attributes: Attributes = {}, ...children: readonly Child[]): HTMLElement {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  for (const child of children) if (child !== null) made.append(child);
  return made;
}

/** An element of SVG. */
export function shape(name: string, attributes: Attributes, ...children: readonly Node[]): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => Child;
  /** What rows are sorted by; without it the column does not sort. */
  readonly order?: (row: Row) => string | number;
  readonly kind?: "number" | "wrap";
}

export interface TableOptions<Row> {
  /** Names the table, so that its order is kept while it is drawn anew. */
  readonly name: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly empty: string;
  readonly onOpen?: (row: Row) => void;
}

const ORDERS = new Map<string, { readonly column: number; readonly down: boolean }>();

/** A table whose titles sort it, and whose rows open by click and by Enter where that means something. `redraw` is called after a sort. */
export function tableOf<Row>({ name, columns, rows, empty, onOpen }: TableOptions<Row>, redraw: () => void): HTMLElement {
  if (rows.length === 0) return element("p", { class: "faint" }, empty);
  const order = ORDERS.get(name);
  const by = order === undefined ? undefined : columns[order.column]?.order;
  const sorted = by ? [...rows].sort((a, b) => compare(by(a), by(b)) * (order?.down ? -1 : 1)) : rows;
  const heads = columns.map((column, i) => {
    const sign = order?.column === i ? (order.down ? "descending" : "ascending") : "none";
    if (!column.order) return element("th", kindOf(column), column.title);
    const button = element("button", { type: "button" }, `${column.title}${sign === "none" ? "" : sign === "descending" ? " ↓" : " ↑"}`);
    button.addEventListener("click", () => {
      ORDERS.set(name, { column: i, down: sign === "ascending" });
      redraw();
    });
    return element("th", { ...kindOf(column), "aria-sort": sign }, button);
  });
  const body = sorted.map((row) => {
    const line = element(
      "tr",
      onOpen ? { tabindex: "0" } : {},
      ...columns.map((column) => element("td", kindOf(column), column.cell(row))),
    );
    if (onOpen) {
      line.addEventListener("click", () => onOpen(row));
      line.addEventListener("keydown", (event) => {
        if (event.key === "Enter") onOpen(row);
      });
    }
    return line;
  });
  return element(
    "div",
    { class: "scroll" },
    element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body)),
  );
}

const kindOf = ({ kind }: { readonly kind?: string }): Attributes => (kind ? { class: kind } : {});

const compare = (a: string | number, b: string | number): number =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });

/** What is left of a whole, as a bar behind its text. */
export function leftBar(text: string, left: number | null, whole: number | null): HTMLElement {
  const box = element("span", {}, text);
  if (left === null || !whole) return box;
  const fill = element("i");
  // Set by script: a style attribute would need a weaker policy.
  fill.style.width = `${Math.max(0, Math.min(100, (100 * left) / whole))}%`;
  box.append(element("span", { class: "bar", "aria-hidden": "true" }, fill));
  return box;
}

/** A line over time in the width of its box, from zero to its own top. */
export function sparkline(values: readonly number[], label: string): SVGElement {
  const top = Math.max(1, ...values);
  const step = values.length > 1 ? 200 / (values.length - 1) : 0;
  const points = values.map((value, i) => `${(i * step).toFixed(1)},${(40 - (36 * value) / top).toFixed(1)}`);
  const line = points.length > 0 ? `M${points.join("L")}` : "";
  const area = points.length > 1 ? `${line}L200,40L0,40Z` : "";
  const picture = { class: "chart", viewBox: "0 0 200 40", preserveAspectRatio: "none", role: "img", "aria-label": label };
  return shape("svg", picture, shape("path", { class: "area", d: area }), shape("path", { d: line }));
}

/** `48 s`, `7 min 5 s`, `8 h 0 min`. */
export function duration(seconds: number | null): string {
  if (seconds === null) return "-";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `192 B`, `1.5 kB`: powers of 1000, as IKE counts. */
export function octets(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [count, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}
