import type { AnswerShape, Fault, Limits } from '../../standin/standin.ts';

export const MINUTE = 60_000;
export const GOOD_MODEL = 'gemini-flash-latest';

/** How keys run out, and who asks meanwhile. All times are virtual, and counted from the start. */
export interface Scenario {
  /** One word, to play it alone. */
  readonly name: string;
  readonly title: string;
  /** Milliseconds since the epoch. */
  readonly startsAt: number;
  /** How many times faster than real time. */
  readonly speed: number;
  readonly seed: number;
  /** The default first. Default: one model. */
  readonly models?: readonly string[];
  readonly keys: readonly ScenarioKey[];
  readonly load: readonly Phase[];
  /** How long plain messages are, in characters, evenly spread. Default: one short message. */
  readonly messageLength?: { readonly least: number; readonly most: number };
  readonly special?: SpecialRequests;
  /** Of Understudy, beside keys and models. Default: none. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Several share a Redis, whose time is real: at a speed of 1 only. Default: 1. */
  readonly instances?: number;
  /** Default: `DEFAULT_BOUNDS`. */
  readonly bounds?: Partial<Bounds>;
  /** Default: `SHORT_ANSWER`. */
  readonly answer?: Required<Pick<AnswerShape, 'firstChunkMs' | 'chunks' | 'chunkMs'>>;
  /** When capacity is back after none was left, in minutes. */
  readonly recoversAt?: readonly number[];
  /** The index of the key whose wasted calls are counted apart. */
  readonly watched?: number;
}

/** What Understudy must keep to. */
export interface Bounds {
  /** Of what the all-knowing client serves, at least. */
  readonly share: number;
  /** Upstream calls for each answer, at most. */
  readonly callsPerAnswer: number;
  /** Of all that were not refused, in seconds, at most. */
  readonly p90?: number;
  readonly p99?: number;
  /** Upstream calls of any special request, at most. */
  readonly callsPerSpecial?: number;
}

const DEFAULT_BOUNDS: Bounds = { share: 0.99, callsPerAnswer: 1.1 };

/** Requests beside the plain ones that every key refuses for what is special about them. */
export interface SpecialRequests {
  readonly everyMs: number;
  /** Characters of the first message, longer than any plain one; each later one has one more. */
  readonly length: number;
  /** Default: false. */
  readonly isSearch?: boolean;
}

/** Of a fast model: its first words after 0.6 s, all after 1.6 s; whole milliseconds in real time, too. */
const SHORT_ANSWER = { firstChunkMs: 600, chunks: 5, chunkMs: 240 };

export interface ScenarioKey {
  readonly limits?: Limits;
  readonly modelLimits?: Readonly<Record<string, Limits>>;
  /** Who owns the quota. Default: the key itself. */
  readonly project?: string;
  /** Whether Understudy knows the project. Default: true. */
  readonly isLabelled?: boolean;
  readonly faults?: readonly FaultSpan[];
  /** Whether search grounding is refused. Default: false. */
  readonly refusesSearch?: boolean;
}

export interface FaultSpan {
  readonly fault: Fault;
  /** In minutes. Default: from the start, until the end. */
  readonly from?: number;
  readonly to?: number;
}

/** Callers come at random, independent of each other, so many a minute on average. */
export interface Phase {
  readonly minutes: number;
  readonly perMinute: number;
}

export const keyText = (index: number) => `exhaustion-key-${index + 1}`;

export const projectOf = ({ project }: ScenarioKey, index: number) => project ?? keyText(index);

export const modelsOf = ({ models = [GOOD_MODEL] }: Scenario) => models;

export const limitsOf = ({ limits = {}, modelLimits = {} }: ScenarioKey, model: string): Limits =>
  modelLimits[model] ?? limits;

export const answerOf = ({ answer = SHORT_ANSWER }: Scenario) => answer;

export const boundsOf = ({ bounds }: Scenario): Bounds => ({ ...DEFAULT_BOUNDS, ...bounds });
