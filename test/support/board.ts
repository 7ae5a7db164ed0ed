import type { ClaimAnswer, Named, News, Report } from '../../src/sharing/exchange.ts';
import { type Front, isValid, mergeRecords, readFront } from '../../src/sharing/merge-records.ts';

/** Who tells or asks: a worker, by its number. */
type Worker = number;

interface Kept {
  readonly record: string;
  readonly keptUntil: number;
}

interface Claim {
  readonly holder: Worker;
  readonly until: number;
}

/** So many pieces of news between two looks for what is out of date. */
const SWEEP_EVERY = 10_000;

/** What the workers of one machine know of their keys, kept by their primary: it does what Redis does for instances. */
export class Board {
  readonly #now: () => number;
  readonly #kept = new Map<string, Kept>();
  readonly #claims = new Map<string, Claim>();
  #told = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns the record as it is now, and what the others have to hear of it */
  tell(report: Report, teller: Worker): { readonly record: string; readonly news: News | null } {
    const { name, frees } = report;
    const before = this.#read(name);
    const record = merged(report.record, before, this.#now());
    const isTrialOver = frees && this.#free(name, teller);
    if (record !== before) this.#keep(report, record);
    const isNews = isTrialOver || record !== before;
    return { record, news: isNews ? { name, record, isTrialOver } : null };
  }

  claim(scopes: readonly Named[], asker: Worker, holdMs: number): ClaimAnswer {
    const now = this.#now();
    const retryMs = Math.max(...scopes.map((scope) => this.#retryMs(scope, asker, now)));
    if (retryMs >= 0) {
      const records = scopes.map(({ name }) => ({ name, record: this.#read(name) ?? '' }));
      return { isGranted: false, retryMs, records };
    }
    for (const { name } of scopes) this.#claims.set(name, { holder: asker, until: now + holdMs });
    return { isGranted: true };
  }

  /** Some of all there is, in the order in which it was first told of. */
  some(from: number, count: number): readonly Named[] {
    if (from === 0) this.#sweep();
    return [...this.#kept.entries()]
      .slice(from, from + count)
      .map(([name, { record }]) => ({ name, record }));
  }

  /** What a worker held is free when it is gone. */
  gone(worker: Worker): readonly News[] {
    const held = [...this.#claims].filter(([, { holder }]) => holder === worker);
    return held.map(([name]) => {
      this.#claims.delete(name);
      return { name, record: this.#read(name) ?? '0|0|0|', isTrialOver: true };
    });
  }

  /** Below 0 when nothing stands against a trial. */
  #retryMs({ name, record }: Named, asker: Worker, now: number): number {
    const claim = this.#claims.get(name);
    const isHeld = claim !== undefined && claim.holder !== asker && claim.until > now;
    const known = readFront(this.#read(name) ?? '');
    const askers = readFront(record);
    const waits = [isHeld ? claim.until - now : -1];
    if (known !== null && askers !== null) waits.push(retryMs(known, askers, now));
    return Math.max(...waits);
  }

  #read(name: string): string | null {
    const kept = this.#kept.get(name);
    return kept !== undefined && kept.keptUntil > this.#now() ? kept.record : null;
  }

  #keep({ name, outlivesMs }: Report, record: string): void {
    const now = this.#now();
    const until = Math.max(readFront(record)?.until ?? 0, now) + outlivesMs;
    const keptUntil = Math.max(until, this.#kept.get(name)?.keptUntil ?? 0);
    this.#kept.set(name, { record, keptUntil });
    this.#told += 1;
    if (this.#told % SWEEP_EVERY === 0) this.#sweep();
  }

  #free(name: string, teller: Worker): boolean {
    return this.#claims.get(name)?.holder === teller && this.#claims.delete(name);
  }

  #sweep(): void {
    const now = this.#now();
    for (const [name, { keptUntil }] of this.#kept) if (keptUntil <= now) this.#kept.delete(name);
    for (const [name, { until }] of this.#claims) if (until <= now) this.#claims.delete(name);
  }
}

/** Of about now at the latest, whatever the clock of whoever tells it. */
const TOLERANCE_MS = 1000;

function merged(told: string, before: string | null, now: number): string {
  const front = readFront(told);
  if (front === null) return told;
  const other = readFront(before ?? '') ?? NOTHING;
  return mergeRecords(other, notLaterThan(front, now + TOLERANCE_MS));
}

function notLaterThan(front: Front, latest: number): Front {
  const { openedAt, foundAt } = front;
  const opening = openedAt > latest ? { opened: `${latest}`, openedAt: latest } : {};
  const finding = foundAt > latest ? { found: `${latest}`, foundAt: latest } : {};
  return { ...front, ...opening, ...finding };
}

const NOTHING: Front = { opened: '0', openedAt: 0, found: '0', foundAt: 0, rest: '0|', until: 0 };

/** Its time may not have passed, or it may be open already, for all that the asker knows. */
function retryMs(known: Front, askers: Front, now: number): number {
  if (!isValid(known, known.openedAt)) return known.openedAt > askers.foundAt ? 0 : -1;
  return known.until > now ? known.until - now : -1;
}
