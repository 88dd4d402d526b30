// Scalars over places on Earth, whole columns at a time and by rows. As `plugins/geo` and `plugins/python/geo_py`, to be
// compared with them: every step is taken in their order, so that the results are the same to the last bit.

import { double, scalar } from './weir/index.js';

/** The Earth's mean radius, as the International Union of Geodesy and Geophysics has it. */
export const EARTH_RADIUS_KM = 6371.0088;

const POSITIONS = { lat1: double, lon1: double, lat2: double, lon2: double };

/** Infinity is refused as Python refuses it: a difference of huge numbers is one, and would be a distance that is not a number. */
function radians(degrees) {
  if (Math.abs(degrees) === Infinity) throw new RangeError(`${degrees} degrees have no direction`);
  return degrees * (Math.PI / 180);
}

/** Multiplied and not raised to a power, which need not be rounded alike. */
function halfSineSquared(degrees) {
  const sine = Math.sin(radians(degrees) / 2);
  return sine * sine;
}

export const great_circle_km_js = scalar(
  {
    name: 'great_circle_km_js',
    arguments: POSITIONS,
    result: double,
    description: 'The same as haversine_km_js for one row at a time.',
  },
  (lat1, lon1, lat2, lon2) => {
    const chord =
      halfSineSquared(lat2 - lat1) + Math.cos(radians(lat1)) * Math.cos(radians(lat2)) * halfSineSquared(lon2 - lon1);
    // Rounding can carry the chord of antipodes just past 1, where the arc sine ends.
    return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(Math.sqrt(chord), 1));
  },
);

export const haversine_km_js = scalar(
  {
    name: 'haversine_km_js',
    arguments: POSITIONS,
    result: double,
    columnar: true,
    description: 'The great-circle distance between two positions in degrees, in kilometres.',
  },
  (lat1, lon1, lat2, lon2) => lat1.map((lat, row) => great_circle_km_js(lat, lon1[row], lat2[row], lon2[row])),
);
