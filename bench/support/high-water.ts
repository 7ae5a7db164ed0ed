const SAMPLE_MS = 100;

export interface HighWater {
  /** @returns the most that it came to */
  stop(): number;
}

/** Reads a level again and again until `stop`. */
export function watchHighWater(read: () => number): HighWater {
  let most = read();
  const timer = setInterval(() => {
    most = Math.max(most, read());
  }, SAMPLE_MS);
  return {
    stop() {
      clearInterval(timer);
      return Math.max(most, read());
    },
  };
}
