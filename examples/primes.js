// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// What the workers of main-loop.js run.

function isPrime(n) {
  for (let d = 2; d * d <= n; d++) {
    if (n % d === 0)
      return false;
  }
  return n > 1;
}

// How many primes there are from one number to another, which does not count.
export function count([from, to]) {
  let n = 0;

  for (let i = from; i < to; i++)
    n += isPrime(i);
  return n;
}
