import type { ChartTable } from "../charts/model.ts";

interface DataTableProps {
  readonly caption: string;
  readonly table: ChartTable;
}

const MOST_ROWS = 200;
/** Of an amount, a share or a time: it stands to the right, digit under digit. */
const isNumeric = (text: string) => /^[−$<>]*\s?[\d–]/.test(text);

export function DataTable({ caption, table: { columns, rows } }: DataTableProps) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`${caption}, table`}>
      <table>
        <caption class="sr-only">{caption}</caption>
        <thead><tr>{columns.map((column, i) => <th key={column} scope="col" class={i > 0 && rows.some((row) => isNumeric(row[i]?.text ?? "")) ? "num" : undefined}>{column}</th>)}</tr></thead>
        <tbody>
          {rows.slice(0, MOST_ROWS).map((row, n) => (
            <tr key={n}>
              {row.map(({ text, href }, i) => {
                const shown = href === undefined ? text : <a href={href}>{text}</a>;
                return i === 0 ? <th key={i} scope="row">{shown}</th> : <td key={i} class={isNumeric(text) ? "num" : undefined}>{shown}</td>;
              })}
            </tr>
          ))}
          {rows.length === 0 && <tr><td colSpan={columns.length}>Nothing in this time.</td></tr>}
        </tbody>
      </table>
      {rows.length > MOST_ROWS && <p class="note">{rows.length - MOST_ROWS} more rows are not shown. Narrow the time to see them.</p>}
    </div>
  );
}
