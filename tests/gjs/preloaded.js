// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

globalThis.preloaded = true;

export function nothing() {
}
