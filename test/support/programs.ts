import type { Fault } from '../../standin/fault.ts';
import type { AnswerShape, StandinKey } from '../../standin/standin-key.ts';
import { type App, type Setting, shareApp, startApp } from './start-app.ts';

/** What a program brings instead of a key. */
export const CLIENT_TOKEN = 'program-token-0123456789';
export const MODEL = 'gemini-flash-latest';
export const WORDS = 'one two three';
export const UNTOUCHED = { total: 2, available: 2, cooling_down: 0, exhausted: 0 };

interface More {
  readonly environment?: object;
  /** The models that Google has. Default: its permanent aliases. */
  readonly models?: readonly string[];
  /** Of the second key. */
  readonly keys?: Partial<StandinKey>;
}

/** Two keys for programs to draw from; the first may have a fault. */
export const startForPrograms = (
  fault: Fault | null = null,
  answer: AnswerShape = { chunks: 3, text: WORDS },
  more: More = {},
): Promise<App> => startApp(forPrograms(fault, answer, more));

/** The same, once for all tests of a block. */
export const shareForPrograms = (
  answer: AnswerShape = { chunks: 3, text: WORDS },
  more: More = {},
): (() => App) => shareApp(forPrograms(null, answer, more));

const forPrograms = (
  fault: Fault | null,
  answer: AnswerShape,
  { environment = {}, models, keys = {} }: More,
): Setting => ({
  environment: {
    GOOGLE_API_KEY: 'g-one',
    GOOGLE_API_KEY_2: 'g-two',
    CLIENT_TOKENS: CLIENT_TOKEN,
    ...environment,
  },
  standin: {
    answer,
    ...(models === undefined ? {} : { models }),
    keys: [
      { key: 'g-one', service: 'google', ...(fault === null ? {} : { fault }) },
      { key: 'g-two', service: 'google', ...keys },
    ],
  },
});
