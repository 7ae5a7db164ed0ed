// @ts-check

/**
 * Who has answered: the key's id only where the server told it, which it does to whoever has logged in.
 *
 * @param {{ attempts: number, key: string | null }} answeredBy
 */
export function whoAnswered({ attempts, key }) {
  const which = attempts === 1 ? 'at the first attempt' : `after ${attempts} attempts`;
  return key === null ? which : `by ${key} ${which}`;
}

/**
 * @param {number} number
 * @param {string} thing
 */
export const count = (number, thing) => `${number} ${thing}${number === 1 ? '' : 's'}`;

/** @param {string} sentence */
export function announce(sentence) {
  const place = document.querySelector('#announcement');
  if (place !== null) place.textContent = sentence;
}
