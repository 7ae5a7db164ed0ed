// @ts-check
import { countdown } from '/playground/countdown.js';

/**
 * Counts the time down, to nothing.
 *
 * @param {number} seconds
 * @param {(left: string) => void} tell `04:12`, at last the empty text
 * @returns {() => void} what ends it before
 */
export function startWait(seconds, tell) {
  const until = performance.now() + seconds * 1000;
  const look = () => {
    const leftMs = until - performance.now();
    tell(leftMs <= 0 ? '' : countdown(leftMs));
    if (leftMs <= 0) stop();
  };
  const timer = setInterval(look, 1000);
  const stop = () => clearInterval(timer);
  look();
  return stop;
}
