// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// As programs for GJS were before it had modules.

/* exported half */

function half(x) {
  return x / 2;
}
