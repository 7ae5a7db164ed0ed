import { z } from 'zod';
import type { Inspection } from '../pool/inspection.ts';
import { SERVICES, type Service } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Colleagues } from '../shared/colleagues.ts';
import { askOthers } from './ask-others.ts';
import type { KeyLedger } from './key-ledger.ts';
import { type KeyReport, reportKey } from './key-report.ts';
import { addKeyTallies, type KeyTally, keyTally } from './key-tally.ts';
import type { ReportedModels } from './monitor.ts';
import type { OperatorDesk } from './operator-desk.ts';

const TALLIES = 'key-tallies';
const question = z.object({ ids: z.array(z.string()) });
const answer = z.record(z.string(), keyTally);

export interface KeyReportsOptions {
  readonly inspection: Inspection;
  readonly models: ReportedModels;
  readonly ledger: KeyLedger;
  readonly desk: OperatorDesk;
  readonly colleagues: Colleagues;
  readonly clock: Pick<Clock, 'now'>;
}

/** A key, as it stands for one model. */
export interface AskedKey {
  readonly service: Service;
  readonly model: string;
  readonly id: string;
}

/**
 * Reports on keys from what all processes know of them: one question to the others, however many keys
 * there are. A key that there is not is left out.
 */
export function createKeyReports({
  inspection,
  models,
  ledger,
  desk,
  colleagues,
  clock,
}: KeyReportsOptions): (asked: readonly AskedKey[]) => Promise<readonly KeyReport[]> {
  const tallyOf = (id: string, inFlight: number): KeyTally => ({
    inFlight,
    ...ledger.of(id, clock.now()),
    lastAction: desk.lastOf(id),
  });
  const factsOf = ({ service, model, id }: AskedKey) => inspection.facts(service, model, id);
  const tellOf = (id: string): KeyTally => {
    const facts = SERVICES.map((service) => factsOf({ service, model: models[service][0], id }));
    return tallyOf(id, facts.find((one) => one !== null)?.inFlight ?? 0);
  };
  colleagues.answer(TALLIES, (asked) =>
    Object.fromEntries(question.parse(asked).ids.map((id) => [id, tellOf(id)])),
  );

  return async (asked) => {
    const now = clock.now();
    const found = asked.flatMap((one) => factsOf(one) ?? []);
    if (found.length === 0) return [];
    const ids = found.map(({ key }) => key.id);
    const others = await askOthers(colleagues, TALLIES, { ids }, answer);
    return found.map((facts) => {
      const { id } = facts.key;
      const own = tallyOf(id, facts.inFlight);
      return reportKey(facts, addKeyTallies([own, ...others.flatMap((all) => all[id] ?? [])]), now);
    });
  };
}
