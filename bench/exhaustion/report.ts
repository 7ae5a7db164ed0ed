import { printTable } from '../support/table.ts';
import { type Figures, figuresOf } from './figures.ts';
import type { Played } from './outcome.ts';
import type { Scenario } from './scenario.ts';

/** Beside the all-knowing client. */
const LEAST_SERVED = 0.99;
const MOST_CALLS_PER_ANSWER = 1.25;

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
  return missed(understudy, allKnowing).map((sentence) => `${scenario.name}: ${sentence}`);
}

const toRow = (name: string, { recoversAt }: Scenario, figures: Figures, possible: Figures) => [
  name,
  String(figures.requests),
  String(figures.served),
  percent(figures.served / possible.served),
  figures.callsPerAnswer.toFixed(2),
  figures.p50.toFixed(1),
  figures.p99.toFixed(1),
  recoversAt === undefined ? '' : (figures.recovery?.toFixed(1) ?? 'never'),
];

function printNotes(scenario: Scenario, round: Round, figures: Record<string, Figures>): void {
  for (const [name, { odd }] of Object.entries(figures)) {
    if (odd.size > 0) console.log(`Neither 200 nor 503, ${name}: ${listOf(odd)}.\n`);
  }
  const { understudy, usual } = round;
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

function missed(understudy: Figures, allKnowing: Figures): readonly string[] {
  const share = understudy.served / allKnowing.served;
  const sentences: string[] = [];
  if (!(share >= LEAST_SERVED)) {
    sentences.push(`served ${percent(share)}, less than ${percent(LEAST_SERVED)}`);
  }
  if (!(understudy.callsPerAnswer <= MOST_CALLS_PER_ANSWER)) {
    const calls = understudy.callsPerAnswer.toFixed(3);
    sentences.push(`${calls} upstream calls per answer, more than ${MOST_CALLS_PER_ANSWER}`);
  }
  return sentences;
}

const percent = (share: number) => `${(share * 100).toFixed(1)}%`;

const listOf = (odd: ReadonlyMap<number, number>) =>
  [...odd].map(([status, count]) => `${count} × ${status === 0 ? 'gave up' : status}`).join(', ');
