import type { Tools } from './message';

/** @throws RangeError for a time zone that does not exist */
export function localTime({
  timeZone,
}: Tools['local_time']['input']): Tools['local_time']['output'] {
  const format = new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'short', timeZone });
  return { time: format.format(new Date()), timeZone: format.resolvedOptions().timeZone };
}
