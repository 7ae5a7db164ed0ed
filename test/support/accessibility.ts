import axe from 'axe-core';
import type { Page } from 'playwright-core';

/** What axe finds serious or critical, each as `rule: selector`. */
export async function seriousFaults(page: Page): Promise<string[]> {
  // As a script of the page its content policy would refuse it.
  await page.evaluate(axe.source);
  return page.evaluate(`axe.run().then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ target }) => id + ': ' + target.join(' '))))`);
}
