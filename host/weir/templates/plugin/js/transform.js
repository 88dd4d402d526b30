// A transform: several columns, computed when a job is asked, of what it has stored and of what the request says.

import { double, nullable, text, transform } from './weir/index.js';

export const unusual = transform(
  {
    name: '{{NAME}}',
    arguments: { amount: double, mean_fare: nullable(double) },
    results: { times: double, band: text },
    description: 'How many times what a rider usually pays an amount is; nothing of a rider of whom nothing is known.',
  },
  (amount, mean_fare) => {
    if (mean_fare === null || mean_fare <= 0) return null;
    const times = amount / mean_fare;
    return { times, band: times < 2 ? 'low' : 'high' };
  },
);
