/** The front of a record, as `scope-record.ts` writes it, and the text of its parts. */
export interface Front {
  readonly opened: string;
  readonly openedAt: number;
  readonly found: string;
  readonly foundAt: number;
  /** From its `until` on. */
  readonly rest: string;
  readonly until: number;
}

const RECORD = /^([\d.]+)\|([\d.]+)\|(([\d.]+)\|.*)$/s;

/** @returns null for what is no record */
export function readFront(record: string): Front | null {
  const [, opened = '', found = '', rest = '', until = ''] = RECORD.exec(record) ?? [];
  const front = {
    opened,
    openedAt: Number.parseFloat(opened),
    found,
    foundAt: Number.parseFloat(found),
    rest,
    until: Number.parseFloat(until),
  };
  return Number.isNaN(front.openedAt + front.foundAt + front.until) ? null : front;
}

/**
 * What two processes know of one scope, in one record, whichever comes first: of openings the last, of
 * findings since then the one that parks longest, as new as the newest. The same as `Scope.learn`, for who reads no
 * more than the front.
 */
export function mergeRecords(one: Front, other: Front): string {
  const later = one.openedAt >= other.openedAt ? one : other;
  const valid = [one, other].filter((front) => isValid(front, later.openedAt));
  const [strongest] = valid.toSorted((a, b) => b.until - a.until);
  const [newest] = valid.toSorted((a, b) => b.foundAt - a.foundAt);
  if (strongest === undefined || newest === undefined) return `${later.opened}|0|0|`;
  return `${later.opened}|${newest.found}|${strongest.rest}`;
}

/** Whether a finding is newer than the opening. */
export const isValid = ({ foundAt }: Front, openedAt: number) => foundAt > 0 && foundAt >= openedAt;

/** Clocks drift by some milliseconds; that is no reason for everybody to tell everything anew. */
const DRIFT_MS = 50;

/** Whether two records say the same, as far as clocks can be compared. */
export function isSameRecord(one: string | undefined, other: string): boolean {
  const [a, b] = [readFront(one ?? ''), readFront(other)];
  if (a === null || b === null) return false;
  const isNear = (x: number, y: number) => Math.abs(x - y) <= DRIFT_MS && (x === 0) === (y === 0);
  const isOpened = isNear(a.openedAt, b.openedAt);
  return isOpened && isNear(a.foundAt, b.foundAt) && isNear(a.until, b.until);
}
