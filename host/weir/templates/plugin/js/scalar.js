// Scalar functions: one value from the arguments of each row.

import { double, nullable, scalar } from './weir/index.js';

/** The share of a fare that is tip, in percent. */
export const share = scalar(
  {
    name: '{{NAME}}',
    arguments: { fare: double, tip: nullable(double) },
    result: double,
    description: 'The share of a fare that is tip, in percent.',
  },
  (fare, tip) => (fare > 0 ? ((tip ?? 0) / fare) * 100 : null),
);
