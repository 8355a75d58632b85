/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-lease.h"
#include "mp-ring-block-private.h"

G_BEGIN_DECLS

/* Takes @block, which is lent. */
MpLease *mp_lease_new (MpRingBlock *block);

G_END_DECLS
