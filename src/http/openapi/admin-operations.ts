import { adminPagesOperations } from './admin-pages-operations.ts';
import { keyActionOperations } from './key-action-operations.ts';
import { loginOperations } from './login-operations.ts';
import { metricsOperations } from './metrics-operations.ts';
import type { Operation } from './operation.ts';
import { reportOperations } from './report-operations.ts';

/** Everything that exists only with an `ADMIN_TOKEN`. */
export const adminOperations = (): Operation[] => [
  ...reportOperations(),
  ...keyActionOperations(),
  ...metricsOperations(),
  ...loginOperations(),
  ...adminPagesOperations(),
];
