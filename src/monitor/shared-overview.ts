import type { Clock } from '../shared/clock.ts';
import type { Colleagues } from '../shared/colleagues.ts';
import { isoTime } from '../shared/iso-time.ts';
import { askOthers } from './ask-others.ts';
import { goodFor } from './good-for.ts';
import { type Overview, type OverviewSources, reportOverview } from './overview.ts';
import { type Counted, overviewTally, takeTally } from './overview-tally.ts';

/** Each open dashboard asks every two seconds, and an overview walks all keys several times. */
const GOOD_FOR_MS = 1000;
const TALLY = 'overview-tally';
/** Said, not asked, when an operator has acted. */
const ACTION = 'operator-action';

export interface SharedOverviewOptions extends OverviewSources, Counted {
  readonly inspection: OverviewSources['inspection'];
  readonly colleagues: Colleagues;
  readonly clock: Pick<Clock, 'now'>;
}

export interface SharedOverview {
  /** Of all processes; a second old at most, and what the others have counted one more. */
  get(): Promise<Overview>;
  /** Here and elsewhere, the next one is new. */
  renew(): void;
}

export function createSharedOverview(options: SharedOverviewOptions): SharedOverview {
  const { colleagues, clock } = options;
  const tally = goodFor(GOOD_FOR_MS, clock.now, () => takeTally(options, clock.now()));
  const overview = goodFor(GOOD_FOR_MS, clock.now, async () => {
    const others = await askOthers(colleagues, TALLY, null, overviewTally);
    const now = clock.now();
    return reportOverview(options, [takeTally(options, now), ...others], now);
  });
  const forget = () => {
    tally.forget();
    overview.forget();
  };
  colleagues.answer(TALLY, () => tally.get());
  colleagues.answer(ACTION, () => {
    forget();
    return null;
  });
  return {
    // Countdowns go by its time, and would falter.
    get: async () => ({ ...(await overview.get()), now: isoTime(clock.now()) }),
    renew() {
      forget();
      void colleagues.ask(ACTION, null);
    },
  };
}
