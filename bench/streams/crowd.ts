import { script } from '../support/script.ts';
import { spawnLines } from '../support/spawn-lines.ts';

/** Clients in a process of their own, each in the middle of a stream. */
export interface Crowd {
  /** How many streams were open when the last one had its first chunk. */
  readonly open: number;
  /** All hang up at once. */
  leave(): void;
  /** Once all streams are over: how many had come to their end. */
  countWhole(): Promise<number>;
}

/** They all come at once. @returns when each of them has its first chunk */
export async function startCrowd(url: string, count: number): Promise<Crowd> {
  const args = script('streams/crowd-process.ts', url, String(count));
  const crowd = spawnLines(process.execPath, args);
  return {
    open: Number(await crowd.nextLine()),
    leave: () => crowd.signal('SIGUSR2'),
    async countWhole() {
      const whole = Number(await crowd.nextLine());
      await crowd.stop();
      return whole;
    },
  };
}

const FEW = 100;

/** Some who leave at their first chunk, so that the server has done everything before it is measured. */
export async function warmUp(url: string): Promise<void> {
  const crowd = await startCrowd(url, FEW);
  crowd.leave();
  await crowd.countWhole();
}
