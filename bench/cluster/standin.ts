import type { StandinOptions } from '../../standin/standin.ts';
import { type Child, startChild } from '../support/child.ts';
import { script } from '../support/script.ts';

export type StandinShape = Omit<StandinOptions, 'clock'>;

/** What becomes of calls is asked with `report`: how many there were. */
export const startStandinProcess = (shape: StandinShape): Promise<Child> =>
  startChild(process.execPath, script('cluster/standin-process.ts', JSON.stringify(shape)));

/** What makes a server use the keys of a stand-in. */
export const settingsFor = ({ keys }: StandinShape, { url }: Child): Record<string, string> => ({
  GOOGLE_BASE_URL: url,
  ...Object.fromEntries(keys.map(({ key }, index) => [`GOOGLE_API_KEY_${index + 1}`, key])),
});
