// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

throw new Error('this file cannot be imported');

export function nothing() {
}
