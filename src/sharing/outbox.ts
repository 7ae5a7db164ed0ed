import type { Scope } from '../pool/scope.ts';
import type { Exchange, Report } from './exchange.ts';

/** The scopes that the others have to be told of. It holds scopes, not messages: each once, however often it changes. */
export interface Outbox {
  readonly size: number;
  add(scope: Scope): void;
  /** Resolves when nothing waits any more, or when the exchange does not take it. */
  flush(): Promise<void>;
}

export interface OutboxOptions {
  readonly exchange: Exchange;
  reportOf(scope: Scope): Report;
  /** What is there now, where that is not what was told. */
  answered(scope: Scope, record: string): void;
}

interface Told {
  readonly scope: Scope;
  readonly report: Report;
}

/** So many are told in one go. */
const BATCH = 500;
/** A script that was forgotten is sent whole the second time; what is refused twice in a row would be again. */
const MAX_REFUSALS = 2;

export function createOutbox({ exchange, reportOf, answered }: OutboxOptions): Outbox {
  const waiting = new Set<Scope>();
  let telling: Promise<void> | null = null;

  async function tellAll(): Promise<void> {
    // What changes at the same moment goes together.
    await null;
    let refusals = 0;
    while (waiting.size > 0 && exchange.isUp() && refusals < MAX_REFUSALS) {
      refusals = (await tellSome()) ? 0 : refusals + 1;
    }
  }

  async function tellSome(): Promise<boolean> {
    const told = takeSome(waiting).map((scope) => ({ scope, report: reportOf(scope) }));
    try {
      const records = await exchange.tell(told.map(({ report }) => report));
      told.forEach((one, index) => {
        hearOf(one, records[index]);
      });
      return true;
    } catch {
      // It says itself what is wrong; everything is told again when it is there again, or with the next finding.
      for (const { scope } of told) waiting.add(scope);
      return false;
    }
  }

  function hearOf({ scope, report }: Told, record: string | undefined): void {
    if (record !== undefined && record !== report.record) answered(scope, record);
  }

  return {
    get size() {
      return waiting.size;
    },
    add(scope) {
      waiting.add(scope);
      telling ??= tellAll().finally(() => {
        telling = null;
      });
    },
    async flush() {
      telling ??= tellAll().finally(() => {
        telling = null;
      });
      await telling;
    },
  };
}

function takeSome(waiting: Set<Scope>): readonly Scope[] {
  const some: Scope[] = [];
  for (const scope of waiting) {
    if (some.length === BATCH) break;
    waiting.delete(scope);
    some.push(scope);
  }
  return some;
}
