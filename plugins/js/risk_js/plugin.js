// How unusual the amount of a ride is for its rider: computed when it is asked, of the amount in the request and of what a job has
// stored of the rider. As `plugins/risk` and `plugins/python/risk_py`, to be compared with them: every step is taken in their
// order, so that the bits are the same.

import { bigint, double, nullable, text, transform } from './weir/index.js';

/** What a ride costs where nothing is known of its rider. */
const USUAL_FARE = 20;
/** The usual fare counts as much as so many rides of the rider's own. */
const USUAL_RIDES = 5;
/** A ride of so many times what is expected beyond that itself has half of the highest score. */
const HALF = 3;
const MEDIUM = 0.25;
const HIGH = 0.5;

function bandOf(score) {
  if (score < MEDIUM) return 'low';
  return score < HIGH ? 'medium' : 'high';
}

export const risk_js = transform(
  {
    name: 'risk_js',
    arguments: { amount: double, mean_fare: nullable(double), rides: nullable(bigint) },
    // The score goes from 0, no more than is expected, to almost 1; `times_usual` is the amount in mean fares of the rider.
    results: { score: double, band: text, times_usual: nullable(double) },
    description:
      'How unusual an amount is for a rider of so many rides with this mean fare, neither of which a new rider has: a ' +
      'score from 0 to 1 and its band, low, medium or high.',
  },
  (amount, mean_fare, rides) => {
    const known = mean_fare !== null && mean_fare > 0 ? mean_fare : null;
    let expected = USUAL_FARE;
    if (known !== null && rides !== null && rides > 0n) {
      // A bigint of SQL comes as a BigInt; beyond 2^53 it is the nearest number.
      const count = Number(rides);
      expected = (count * known + USUAL_RIDES * USUAL_FARE) / (count + USUAL_RIDES);
    }
    const times = amount / expected;
    // What is not a number stays so, and its band is high.
    const beyond = times <= 1 ? 0 : times - 1;
    const score = 1 - HALF / (beyond + HALF);
    return { score, band: bandOf(score), times_usual: known === null ? null : amount / known };
  },
);
