import type { ApiKey } from '../shared/api-key.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import type { FeatureParks } from './feature-parks.ts';

/** Which keys one request may have. */
export interface Choice {
  /** Ids of keys that must not be chosen. */
  readonly except?: ReadonlySet<string>;
  /** Whether the request can use a key at all; without it, any. */
  readonly only?: (key: ApiKey) => boolean;
  /** Called only when it matters: after a refusal, or while a feature is parked. Default: plain. */
  readonly shape?: () => RequestShape;
}

/** Whether a key may be chosen; null where every one may, so that nobody has to be asked. */
export type Allows = ((key: ApiKey) => boolean) | null;

export const EVERY_KEY: Allows = null;

/** The feature of a request, while any is parked; null where it makes no difference. */
export const featureOf = ({ shape }: Choice, parks: FeatureParks, now: number): string | null =>
  shape === undefined || parks.isEmpty(now) ? null : shape().feature;

/** @param parks the features that are parked for the model */
export function allowedBy(choice: Choice, parks: FeatureParks, now: number): Allows {
  const { except, only } = choice;
  const hasExceptions = except !== undefined && except.size > 0;
  const feature = featureOf(choice, parks, now);
  if (!hasExceptions && feature === null) return only ?? EVERY_KEY;
  return (key) =>
    !(hasExceptions && except.has(key.id)) &&
    (only === undefined || only(key)) &&
    (feature === null || !parks.isParked(key.project, feature, now));
}
