// @ts-check
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
    const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
    tell(left === 0 ? '' : inMinutes(left));
    if (left === 0) stop();
  };
  const timer = setInterval(look, 1000);
  const stop = () => clearInterval(timer);
  look();
  return stop;
}

/** @param {number} seconds */
function inMinutes(seconds) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours === 0 ? rest : `${hours}:${rest}`;
}
