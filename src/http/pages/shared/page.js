// @ts-check

/**
 * `04:12`, with hours `1:04:12`, with days `2 d 1:04:12`.
 *
 * @param {number} ms
 */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const [days, hours] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24];
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (days > 0) return `${days} d ${hours}:${rest}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

/**
 * @param {number} number
 * @param {string} thing
 */
export const count = (number, thing) => `${number} ${thing}${number === 1 ? '' : 's'}`;

/**
 * `12.35 USD`, `0.4213 USD`; smaller amounts with two significant digits: `0.00042 USD`.
 *
 * @param {number} cost
 * @param {string | null} currency
 */
export function money(cost, currency) {
  const amount = cost.toLocaleString('en', {
    minimumFractionDigits: 2,
    maximumFractionDigits: cost < 1 ? 4 : 2,
    maximumSignificantDigits: 2,
    roundingPriority: 'morePrecision',
  });
  return `${amount} ${currency ?? ''}`.trim();
}

/**
 * For screen readers.
 *
 * @param {string} sentence
 */
export function announce(sentence) {
  const place = document.querySelector('#announcement');
  if (place !== null) place.textContent = sentence;
}
