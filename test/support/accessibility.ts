import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

/** Expects that nothing overflows and axe finds no serious fault, in both themes, on a phone and a desktop. */
export async function expectReadable(page: Page): Promise<void> {
  for (const width of [390, 1280]) {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await page.evaluate(SETTLED);
      const found = { width, colorScheme, overflow: await page.evaluate(OVERFLOW) };
      expect({ ...found, faults: await seriousFaults(page) }).toEqual({
        width,
        colorScheme,
        overflow: 0,
        faults: [],
      });
    }
  }
}

/** Listeners of the theme have run, and transitions between colours are over. */
const SETTLED = `new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
  for (const animation of document.getAnimations()) animation.finish();
  resolve();
})))`;

const OVERFLOW = 'document.documentElement.scrollWidth - window.innerWidth';

/** What axe finds serious or critical, each as `rule: selector`. */
async function seriousFaults(page: Page): Promise<string[]> {
  // The content policy of the page would refuse it as a script element.
  await page.evaluate(axe.source);
  // axe would read an imported style sheet by inline styles, which the policy refuses too.
  return page.evaluate(`axe.run({ preload: { assets: ['media'] } }).then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ target }) => id + ': ' + target.join(' '))))`);
}
