import { ADMIN_REFUSALS, ADMIN_SECURITY } from './admin-only.ts';
import { OURS } from './error-bodies.ts';
import type { Operation } from './operation.ts';
import { plain } from './page-answers.ts';
import { refusals } from './refusals.ts';

/** What Prometheus reads. */
export const metricsOperations = (): Operation[] => [
  {
    method: 'get',
    path: '/metrics',
    id: 'getMetrics',
    tag: 'On call',
    summary: 'Read the numbers for Prometheus',
    description: "Of this process, since its start. Times are in seconds, as is Prometheus' way.",
    security: ADMIN_SECURITY,
    answers: [
      {
        status: 200,
        description: "Everything as it stands now, in Prometheus' text format, version 0.0.4.",
        headers: ['cache-control'],
        content: [plain(NUMBERS)],
      },
      ...refusals([OURS], ADMIN_REFUSALS),
    ],
  },
];

const NUMBERS = `# HELP understudy_keys Keys by how they stand for a model: exhausted ones need somebody to act.
# TYPE understudy_keys gauge
understudy_keys{service="google",model="gemini-flash-latest",state="available"} 2
`;
