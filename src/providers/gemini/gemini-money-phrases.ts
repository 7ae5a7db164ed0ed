/** Seen as "spend cap" and as "monthly spending cap", with a link to `#project-spend-caps`. */
export const SPEND_CAP = /\bspend(?:ing)?[ -]caps?\b/i;

/** A rolling window over what was spent: it clears by itself, unlike all the others here. */
export const SPEND_RATE = /\bspend-based rate limit/i;

export const PREPAID_CREDIT =
  /\bprepa(?:y|yment|id) credits?\b|\bcredits? (?:is|are|have been) depleted\b/i;

/** Not "check your plan and billing details": every spent quota says that. */
export const NEEDS_BILLING =
  /\bfree tier is not available\b|\benable billing\b|\bbilling (?:is )?required\b|\brequires billing\b/i;
