import type { Response } from 'express';
import { sendText } from '../reply.ts';

export const CSV = 'text/csv';

type Cell = string | number | null | undefined;

/** A table to download, after RFC 4180. The first row has the names of the columns. */
export function sendCsv(
  response: Response,
  fileName: string,
  rows: readonly (readonly Cell[])[],
): void {
  response.setHeader('content-disposition', `attachment; filename="${fileName}"`);
  const text = rows.map((cells) => `${cells.map(toCell).join(',')}\r\n`).join('');
  sendText(response, 200, `${CSV}; charset=utf-8`, text);
}

/** A spreadsheet executes a cell that begins so (https://owasp.org/www-community/attacks/CSV_Injection). */
const FORMULA = /^[=+\-@\t\r]/;

function toCell(value: Cell): string {
  const text = String(value ?? '');
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
