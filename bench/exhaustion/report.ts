import { printTable } from '../support/table.ts';
import { countStatuses, type Figures, figuresOf } from './figures.ts';
import type { Played } from './outcome.ts';
import { boundsOf, type Scenario } from './scenario.ts';

export interface Round {
  readonly understudy: Played;
  readonly usual: Played;
  readonly allKnowing: Played;
}

const HEAD = [
  'pool',
  'requests',
  'served',
  'of what is possible',
  'upstream calls per answer',
  'p50, s',
  'p90, s',
  'p99, s',
  'recovers within, s',
];

/** Prints the table of one scenario. @returns a sentence for each bound that Understudy missed */
export function report(scenario: Scenario, round: Round): readonly string[] {
  const understudy = figuresOf(scenario, round.understudy);
  const usual = figuresOf(scenario, round.usual);
  const allKnowing = figuresOf(scenario, round.allKnowing);
  console.log(`### ${scenario.title}\n`);
  printTable(HEAD, [
    toRow('all-knowing', scenario, allKnowing, allKnowing),
    toRow('**Understudy**', scenario, understudy, allKnowing),
    toRow('the usual pool', scenario, usual, allKnowing),
  ]);
  printNotes(scenario, round, { understudy, usual });
  return missed(scenario, round, understudy, allKnowing).map(
    (sentence) => `${scenario.name}: ${sentence}`,
  );
}

const toRow = (name: string, { recoversAt }: Scenario, figures: Figures, possible: Figures) => [
  name,
  String(figures.requests),
  String(figures.served),
  percent(figures.served / possible.served),
  decimal(figures.callsPerAnswer, 2),
  decimal(figures.p50, 1),
  decimal(figures.p90, 1),
  decimal(figures.p99, 1),
  recoversAt === undefined ? '' : (figures.recovery?.toFixed(1) ?? 'never'),
];

function printNotes(scenario: Scenario, round: Round, figures: Record<string, Figures>): void {
  for (const [name, { odd }] of Object.entries(figures)) {
    if (odd.size > 0) console.log(`Neither 200 nor 503, ${name}: ${listOf(odd)}.\n`);
  }
  const { understudy, usual } = round;
  printSpecials('Understudy', understudy);
  printSpecials('the usual pool', usual);
  if (understudy.watchedInVain !== null) {
    console.log(
      `Wasted calls to the spent key: Understudy ${understudy.watchedInVain}, the usual pool ${usual.watchedInVain}.\n`,
    );
  }
  const latest = Math.max(understudy.latestMs, usual.latestMs) / 1000;
  console.log(
    `${scenario.speed} × real time; no request left later than ${latest.toFixed(1)} s.\n`,
  );
}

function printSpecials(name: string, { specials }: Played): void {
  if (specials === null) return;
  const { outcomes, upstreamCalls, mostCalls } = specials;
  const each = (upstreamCalls / outcomes.length).toFixed(2);
  console.log(
    `Special requests, ${name}: ${listOf(countStatuses(outcomes))}; ${each} upstream calls each, at most ${mostCalls}.\n`,
  );
}

function missed(
  scenario: Scenario,
  { understudy: { specials, latestMs } }: Round,
  figures: Figures,
  allKnowing: Figures,
): readonly string[] {
  const bounds = boundsOf(scenario);
  const share = figures.served / allKnowing.served;
  const late = `, while requests left up to ${(latestMs / 1000).toFixed(1)} s late`;
  const isServed = share >= bounds.share;
  return [
    ...(isServed ? [] : [`served ${percent(share)}, less than ${percent(bounds.share)}`]),
    ...above(bounds.callsPerAnswer, figures.callsPerAnswer, 'upstream calls per answer'),
    ...above(bounds.p90, figures.p90, 's at the 90th percentile', late),
    ...above(bounds.p99, figures.p99, 's at the 99th percentile', late),
    ...above(bounds.callsPerSpecial, specials?.mostCalls ?? 0, 'calls for a special request'),
  ];
}

const above = (bound: number | undefined, value: number, what: string, note = '') =>
  bound === undefined || value <= bound
    ? []
    : [`${value.toFixed(3)} ${what}, more than ${bound}${note}`];

/** Empty where nothing was served. */
const decimal = (value: number, digits: number) =>
  Number.isNaN(value) ? '' : value.toFixed(digits);

const percent = (share: number) => `${(share * 100).toFixed(1)}%`;

const listOf = (odd: ReadonlyMap<number, number>) =>
  [...odd].map(([status, count]) => `${count} × ${status === 0 ? 'gave up' : status}`).join(', ');
